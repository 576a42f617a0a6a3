//! What is known of a flow's file, for `callbox check`, logs and the pool.
//!
//! Entry type: [`Inspection`]. Made from a compiled component, so it says nothing of a file that does not compile.

use std::fmt;

use wasmtime::component::Component;

use super::contract::{self, Import, World, WrongWorld};
use super::source::Source;
use crate::config::Capability;

/// What one instance takes from the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Linear memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// The largest memory at its start, in bytes.
    pub largest_memory_bytes: u64,
    /// The largest table at its start, in elements.
    pub largest_table: u64,
}

/// What is known of a flow's file.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// A component, or a core module that was encoded.
    pub source: Source,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of the compiled code.
    pub code_bytes: usize,
    /// The compiled code was found in the cache.
    pub from_cache: bool,
    /// The world it implements.
    pub world: Result<World, WrongWorld>,
    /// Everything it imports.
    pub imports: Vec<Import>,
    /// What one instance takes; `None` when it imports core modules and nobody can tell.
    pub needs: Option<Needs>,
}

impl Inspection {
    pub(super) fn new(
        component: &Component,
        source: Source,
        sha256: &str,
        file_bytes: usize,
        code_bytes: usize,
        from_cache: bool,
    ) -> Self {
        let needs = component.resources_required().map(|needs| Needs {
            memories: needs.num_memories,
            tables: needs.num_tables,
            largest_memory_bytes: needs
                .max_initial_memory_size
                .unwrap_or(0)
                .saturating_mul(64 << 10),
            largest_table: needs.max_initial_table_size.unwrap_or(0),
        });
        Self {
            source,
            sha256: sha256.to_owned(),
            file_bytes,
            code_bytes,
            from_cache,
            world: World::of(component),
            imports: contract::imports(component),
            needs,
        }
    }

    /// The functions that it imports and that need this capability; for `job` what it exports to be run.
    #[must_use]
    pub fn functions_of(&self, capability: Capability) -> Vec<String> {
        if capability == Capability::Job {
            let is_job = self.world == Ok(World::JobFlow);
            return is_job.then(|| "job.run".to_owned()).into_iter().collect();
        }
        self.functions()
            .filter(|function| capability.functions().contains(&function.as_str()))
            .collect()
    }

    /// The functions of the contract that it imports, as `interface.function`.
    pub fn functions(&self) -> impl Iterator<Item = String> {
        self.imports.iter().flat_map(|import| {
            let interface = import.interface();
            import
                .functions
                .iter()
                .filter_map(move |function| Some(format!("{}.{function}", interface?)))
        })
    }

    /// True when the file would be loaded, as far as its names tell.
    pub fn is_flow(&self) -> bool {
        self.world.is_ok() && self.imports.iter().all(|import| import.refused.is_none())
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::Component => "component",
            Source::CoreModule => "core module, encoded as a component",
        };
        writeln!(
            f,
            "kind      {kind}, {} bytes, {} bytes compiled",
            self.file_bytes, self.code_bytes
        )?;
        writeln!(f, "sha256    {}", self.sha256)?;
        match &self.world {
            Ok(world) => writeln!(f, "world     {world}")?,
            Err(error) => writeln!(f, "world     none: {error}")?,
        }
        for import in &self.imports {
            match import.refused {
                None => writeln!(f, "import    {}: granted", import.name.escape_debug())?,
                Some(why) => writeln!(f, "import    {}: NOT GRANTED, {why}", import.name.escape_debug())?,
            }
        }
        match &self.needs {
            Some(needs) => write!(
                f,
                "instance  {} memories ({} KiB at the start), {} tables (the largest has {} elements)",
                needs.memories,
                needs.largest_memory_bytes >> 10,
                needs.tables,
                needs.largest_table
            ),
            None => write!(f, "instance  unknown: it imports core modules"),
        }
    }
}
