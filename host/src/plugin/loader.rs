//! From a tenant's file to a flow version that calls can run.
//!
//! Size, kind, compilation (in a child, or from the cache), contract, pool needs, linking: each step refuses with a
//! sentence for the flow's author. Entry types: [`Loader`], [`FlowVersion`]. Knows nothing of tenants or routes.
//!
//! Invariant: a [`FlowVersion`] never changes, and whoever holds it keeps it alive: calls end on the version that
//! they began with.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};

use super::cache::{Cache, CacheError, Key, Room, Use, Verified};
use super::compile::{CompileError, Compiler};
use super::contract::{Import, World, WrongWorld};
use super::engine::{Engine, MEMORIES_PER_CALL, TABLE_ELEMENTS, TABLES_PER_CALL};
use super::host_api::bindings::{self, Entry};
use super::inspect::Inspection;
use super::native_code::NotMapped;
use super::source::{NotWasm, Source};
use super::state::CallState;
use super::{native_code, outcome};
use crate::config::limits::{self, PluginLimits};

/// A file was not loaded. The text says what is wrong with it and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is over the limit.
    #[error(
        "the file has more than {limit} bytes (limits.plugin.component_max_bytes): strip it, or raise the limit"
    )]
    TooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not WebAssembly.
    #[error(transparent)]
    NotWasm(#[from] NotWasm),
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Compiled code could not be kept or read back.
    #[error("compiled code cannot be kept: {0}")]
    Cache(String),
    /// It implements no world of ours.
    #[error(transparent)]
    WrongWorld(#[from] WrongWorld),
    /// It needs what it is not given.
    #[error("it imports what it is not given: {}", refused(.0))]
    Imports(Vec<Import>),
    /// An interface has the right name but another shape.
    #[error("it does not fit this host: {0}. Build it against this host's wit/")]
    Link(String),
    /// It is built in a way that the pool of instances cannot hold; the engine's words.
    #[error("an instance of it does not fit into the pool: {0}")]
    Unfit(String),
    /// The compiling child is of another build than this process; the engine's words.
    #[error(
        "the code that was just compiled does not run in this process ({0}): was the program's file replaced while it runs? Start the host again"
    )]
    Foreign(String),
    /// One instance of it would not fit into the pool.
    #[error("one instance needs {needs} {what}, and a call may have {limit}")]
    TooDemanding {
        /// Of what.
        what: &'static str,
        /// How much it needs.
        needs: u64,
        /// How much there is.
        limit: u64,
    },
}

fn refused(imports: &[Import]) -> String {
    let one = |import: &Import| Some(format!("`{}` ({})", import.name.escape_debug(), import.refused?));
    imports
        .iter()
        .filter_map(one)
        .take(8)
        .collect::<Vec<_>>()
        .join(", ")
}

/// One version of a flow, ready to be instantiated.
pub struct FlowVersion {
    version: String,
    world: World,
    engine: Engine,
    entry: Entry,
    inspection: Inspection,
    /// Its code stays in the cache for the next start.
    _kept: Use,
}

impl FlowVersion {
    /// The beginning of the SHA-256 of its file, in hexadecimal: enough to tell versions apart in a log.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The world it implements.
    pub fn world(&self) -> World {
        self.world
    }

    /// What is known of its file.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The engine it was compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl std::fmt::Debug for FlowVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowVersion")
            .field("version", &self.version)
            .field("world", &self.world)
            .finish_non_exhaustive()
    }
}

/// Loads flows. A clone shares the cache and the bound on compiling children.
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    cache: Cache,
    compiler: Compiler,
}

impl Loader {
    /// A loader that keeps compiled code in `cache_dir` and compiles with `program compile …`, which must end in
    /// [`super::compile_child_main`]: for callbox itself that is `std::env::current_exe()`.
    pub fn new(engine: Engine, cache_dir: &Path, program: PathBuf) -> Result<Self, CacheError> {
        let limits = engine.limits();
        let room = Room {
            bytes: limits.cache_max_bytes,
            entries: limits.cache_entries_max,
        };
        let cache = Cache::open(cache_dir, room)?;
        let compiler = Compiler::new(program, engine.limits());
        Ok(Self {
            engine,
            cache,
            compiler,
        })
    }

    /// Loads the flow in a file.
    pub async fn load(&self, path: &Path) -> Result<Arc<FlowVersion>, LoadError> {
        self.load_bytes(self.read(path).await?).await
    }

    /// Loads a flow.
    pub async fn load_bytes(&self, bytes: Vec<u8>) -> Result<Arc<FlowVersion>, LoadError> {
        let (component, inspection, kept) = self.compile(bytes).await?;
        let world = inspection.world.clone()?;
        if inspection.imports.iter().any(|import| import.refused.is_some()) {
            return Err(LoadError::Imports(inspection.imports));
        }
        check_pool(&inspection, self.engine.limits())?;
        let pre: InstancePre<CallState> = self
            .engine
            .linker()
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Link(outcome::text_of(&error)))?;
        let entry = bindings::entry(world, pre).map_err(|error| LoadError::Link(outcome::text_of(&error)))?;
        let version = inspection
            .sha256
            .get(..12)
            .unwrap_or(&inspection.sha256)
            .to_owned();
        Ok(Arc::new(FlowVersion {
            version,
            world,
            engine: self.engine.clone(),
            entry,
            inspection,
            _kept: kept,
        }))
    }

    /// What a file is, for `callbox check`: also when it would not be loaded, as long as it compiles.
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, LoadError> {
        Ok(self.compile(self.read(path).await?).await?.1)
    }

    /// What its flows run in.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Bytes that a flow's file may have.
    #[must_use]
    pub fn component_max_bytes(&self) -> usize {
        self.engine.limits().component_max_bytes
    }

    /// Reads a file, at most a byte more than a flow may have.
    pub async fn read(&self, path: &Path) -> Result<Vec<u8>, LoadError> {
        let path = path.to_owned();
        let limit = self.engine.limits().component_max_bytes;
        blocking(move || {
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(LoadError::Unreadable)?;
            file.take(limit as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(LoadError::Unreadable)?;
            Ok(bytes)
        })
        .await
    }

    async fn compile(&self, bytes: Vec<u8>) -> Result<(Component, Inspection, Use), LoadError> {
        let limit = self.engine.limits().component_max_bytes;
        if bytes.len() > limit {
            limits::hit("limits.plugin.component_max_bytes");
            return Err(LoadError::TooBig { limit });
        }
        let source = Source::recognise(&bytes)?;
        let key = Key::new(&bytes, self.engine.code_hash());
        let kept = self.cache.hold(&key);
        let size = bytes.len();
        let cached = self.map_cached(&key).await?;
        let from_cache = cached.is_some();
        let (component, code_bytes) = match cached {
            Some(mapped) => mapped,
            None => {
                let code = self.compile_in_child(&key, bytes).await?;
                self.map_new(&key, code).await?
            }
        };
        let inspection = Inspection::new(&component, source, key.content(), size, code_bytes, from_cache);
        Ok((component, inspection, kept))
    }

    /// What the cache has of it and this engine runs, and its size in bytes. An entry that cannot be used is taken away.
    async fn map_cached(&self, key: &Key) -> Result<Option<(Component, usize)>, LoadError> {
        let (cache, engine, key) = (self.cache.clone(), self.engine.clone(), key.clone());
        blocking(move || {
            let Some(code) = read_cached(&cache, &key) else {
                return Ok(None);
            };
            match native_code::map(engine.wasmtime(), &code) {
                Ok(component) => Ok(Some((component, code.bytes().len()))),
                Err(NotMapped::Unfit(error)) => Err(LoadError::Unfit(outcome::text_of(&error))),
                Err(NotMapped::Foreign(error)) => {
                    let error = outcome::text_of(&error);
                    tracing::warn!(
                        flow = key.content(), error,
                        "compiled code in the cache is for another processor, engine or setting and is made again"
                    );
                    cache.remove(&key);
                    Ok(None)
                }
            }
        })
        .await
    }

    /// What the child has just made.
    async fn map_new(&self, key: &Key, code: Verified) -> Result<(Component, usize), LoadError> {
        let (cache, engine, key) = (self.cache.clone(), self.engine.clone(), key.clone());
        blocking(move || match native_code::map(engine.wasmtime(), &code) {
            Ok(component) => Ok((component, code.bytes().len())),
            Err(NotMapped::Unfit(error)) => Err(LoadError::Unfit(outcome::text_of(&error))),
            Err(NotMapped::Foreign(error)) => {
                cache.remove(&key);
                Err(LoadError::Foreign(outcome::text_of(&error)))
            }
        })
        .await
    }

    async fn compile_in_child(&self, key: &Key, bytes: Vec<u8>) -> Result<Verified, LoadError> {
        let keep = |error: io::Error| LoadError::Cache(error.to_string());
        let scratch = self.cache.scratch().map_err(keep)?;
        let (input, output) = (
            scratch.path().join("flow.wasm"),
            scratch.path().join("flow.cwasm"),
        );
        tokio::fs::write(&input, bytes).await.map_err(keep)?;
        self.compiler
            .compile(&input, &output, self.engine.limits())
            .await?;
        let (cache, entry) = (self.cache.clone(), key.clone());
        blocking(move || {
            // The scratch directory must outlive the rename out of it.
            let _scratch = scratch;
            cache
                .adopt(&entry, &output)
                .map_err(|error| LoadError::Cache(error.to_string()))
        })
        .await
    }
}

/// A whole and private entry, or none: anything else is removed and made again.
fn read_cached(cache: &Cache, key: &Key) -> Option<Verified> {
    match cache.read(key) {
        Ok(entry) => entry,
        Err(error) => {
            tracing::warn!(flow = key.content(), %error, "compiled code in the cache is not used and is made again");
            cache.remove(key);
            None
        }
    }
}

/// One instance must fit into what the pool holds for one call.
fn check_pool(inspection: &Inspection, limits: &PluginLimits) -> Result<(), LoadError> {
    let Some(needs) = &inspection.needs else {
        return Err(LoadError::Link(
            "it imports a module or an instance of one".to_owned(),
        ));
    };
    for (what, needs, limit) in [
        (
            "memories",
            u64::from(needs.memories),
            u64::from(MEMORIES_PER_CALL),
        ),
        ("tables", u64::from(needs.tables), u64::from(TABLES_PER_CALL)),
        (
            "bytes of memory at its start",
            needs.largest_memory_bytes,
            limits.memory_max_bytes as u64,
        ),
        (
            "elements in one table",
            needs.largest_table,
            TABLE_ELEMENTS.min(limits.table_elements) as u64,
        ),
    ] {
        if needs > limit {
            return Err(LoadError::TooDemanding { what, needs, limit });
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LoadError::Cache(error.to_string())),
    }
}
