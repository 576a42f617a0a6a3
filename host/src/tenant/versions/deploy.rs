//! How a version is taken in, promoted, rolled back and read back at the start.
//!
//! Size, contract, compilation in a child, what the flow is for, a try on a virtual call: all of that before the switch,
//! so that what fails leaves the version that serves alone. Entry points: [`Directory::deploy`], [`Directory::promote`],
//! [`Directory::roll_back`]; the start is [`Directory::take_up`].

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::line::{Fallen, Line, NoChange, Record, Rollout};
use super::pin::Pin;
use super::report::{Failure, short};
use super::shelf::Shelf;
use super::{Versions, admit};
use crate::plugin::{FlowVersion, Loader, digest_of};
use crate::tenant::directory::{Directory, Loaded};
use crate::tenant::flow::Version;
use crate::tenant::plan::Found;
use crate::unix_time::now_ms;

/// The longest that somebody who brings or changes a version waits for the flow's turn.
const TURN: Duration = Duration::from_secs(2);

/// What compiles the versions of a host and where they are kept.
pub(in crate::tenant) struct Keeper {
    loader: Loader,
    /// `versions/` in the state folder.
    folder: PathBuf,
}

/// A version that was taken in, or put in another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// `tenant/flow`.
    pub flow: String,
    /// The number of the version.
    pub number: u32,
    /// What logs and `session.flow-version` call it.
    pub version: String,
    /// How long it took to compile, or to find compiled.
    pub compile_ms: u64,
    /// From the end of the compilation to the first call that could get it.
    pub switch_ms: u64,
    /// Numbers whose calls stay on other versions.
    pub pinned_elsewhere: Vec<String>,
}

/// A version was not taken; the one that serves goes on.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// No such flow.
    #[error("there is no flow {0:?}; there are: {1}")]
    UnknownFlow(String, String),
    /// Another one is being taken.
    #[error("another version of {0} is being taken at this moment: try again when that is over")]
    Busy(String),
    /// It is not fit; what is wrong and what to do.
    #[error("{0}")]
    Refused(String),
    /// It cannot be kept on disk, so the next start would not know it.
    #[error("it cannot be kept: {0}")]
    NotKept(String),
    /// It cannot take that place.
    #[error(transparent)]
    NoChange(#[from] NoChange),
    /// What it asks makes no sense.
    #[error("{0}")]
    Asked(&'static str),
    /// The host was not told where versions are kept, or ends.
    #[error("this host takes no versions")]
    NotHere,
}

/// Where a version comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From<'a> {
    /// Somebody brought it.
    Hand(&'a str),
    /// The flow's own file has changed.
    Folder,
    /// The flow's own file, when the host starts or first hears of the flow.
    Start,
}

impl From<'_> {
    fn name(self) -> String {
        match self {
            Self::Hand(who) => who.chars().filter(|c| !c.is_control()).take(64).collect(),
            Self::Folder => "folder".to_owned(),
            Self::Start => "start".to_owned(),
        }
    }
}

impl Directory {
    /// Keeps the versions of all flows in `state_dir` from now on, and lets them be changed. To be called before the flows are loaded.
    pub fn keep_versions(&self, loader: Loader, state_dir: &Path) {
        // A second call changes nothing: what serves came from the first folder.
        let _ = self.keeper.set(Keeper {
            loader,
            folder: state_dir.join("versions"),
        });
    }

    /// Takes a version of the flow `tenant/flow` in. `by` is who brought it.
    ///
    /// Goes on to its end even when nobody waits for it any more.
    ///
    /// # Errors
    /// [`DeployError`]: the version that serves goes on.
    pub async fn deploy(
        &self,
        flow: &str,
        bytes: Vec<u8>,
        rollout: Rollout,
        by: &str,
    ) -> Result<Deployed, DeployError> {
        if rollout
            .canary
            .is_some_and(|percent| !(1..=100).contains(&percent))
        {
            return Err(DeployError::Asked("a canary gets 1 to 100 percent of the calls"));
        }
        let found = self.flow_named(flow)?;
        let by = by.to_owned();
        self.detached(move |directory| async move {
            let _turn = directory.turn(&found).await?;
            directory.take(&found, bytes, &rollout, From::Hand(&by)).await
        })
        .await
    }

    /// Makes a version current: the named one, or the one that is tried.
    ///
    /// # Errors
    /// [`DeployError`]: nothing has changed.
    pub async fn promote(&self, flow: &str, number: Option<u32>) -> Result<Deployed, DeployError> {
        let found = self.flow_named(flow)?;
        self.detached(move |directory| async move {
            let _turn = directory.turn(&found).await?;
            directory
                .switch(&found, "promoted", move |line| line.promote(number))
                .await
        })
        .await
    }

    /// Takes the latest step back: gives up the canary, or makes the version before the current one current again; with
    /// pins, takes those away and nothing else.
    ///
    /// # Errors
    /// [`DeployError`]: nothing has changed.
    pub async fn roll_back(&self, flow: &str, pins: Vec<Pin>) -> Result<Deployed, DeployError> {
        let found = self.flow_named(flow)?;
        self.detached(move |directory| async move {
            let _turn = directory.turn(&found).await?;
            directory
                .switch(&found, "rolled back", move |line| {
                    let current = line.current.ok_or(NoChange::NothingBefore)?;
                    if !pins.is_empty() {
                        line.unpin(&pins)?;
                        return Ok(current);
                    }
                    Ok(match line.roll_back()? {
                        Fallen::BackTo(number) => number,
                        _ => current,
                    })
                })
                .await
        })
        .await
    }

    fn flow_named(&self, name: &str) -> Result<Found, DeployError> {
        let plan = self.plan();
        let found = name
            .split_once('/')
            .and_then(|(tenant, flow)| plan.flow(tenant, flow));
        found.ok_or_else(|| {
            let names: Vec<String> = plan.flows().map(|found| name_of(&found)).collect();
            DeployError::UnknownFlow(name.to_owned(), names.join(", "))
        })
    }

    /// The flow's turn. What is done in the background holds it for a moment: that is worth a wait, a long compilation is not.
    async fn turn<'a>(&self, found: &'a Found) -> Result<tokio::sync::MutexGuard<'a, ()>, DeployError> {
        let turn = tokio::time::timeout(TURN, found.flow.versions.turn.lock()).await;
        turn.map_err(|_| DeployError::Busy(name_of(found)))
    }

    /// Runs to the end, whether or not somebody waits for it: a client that goes away leaves nothing half done.
    async fn detached<F, T>(&self, work: impl FnOnce(Arc<Self>) -> F) -> Result<T, DeployError>
    where
        F: Future<Output = Result<T, DeployError>> + Send + 'static,
        T: Send + 'static,
    {
        let directory = self.myself.upgrade().ok_or(DeployError::NotHere)?;
        let done = tokio::spawn(work(directory)).await;
        done.unwrap_or(Err(DeployError::NotHere))
    }

    /// Everything that a version passes on its way in. To be called in the flow's turn.
    pub(super) async fn take(
        &self,
        found: &Found,
        bytes: Vec<u8>,
        rollout: &Rollout,
        from: From<'_>,
    ) -> Result<Deployed, DeployError> {
        let keeper = self.keeper.get().ok_or(DeployError::NotHere)?;
        let shelf = keeper.shelf(found);
        let taken = self.try_and_take(found, &keeper.loader, Some(&shelf), bytes, rollout, from);
        let result = taken.await;
        self.deploys.count(&result);
        self.tell(found, from, &result);
        if result.is_err() {
            let line = found.flow.versions.book().line.clone();
            let _ = tokio::task::spawn_blocking(move || shelf.sweep(&line)).await;
        }
        result
    }

    async fn try_and_take(
        &self,
        found: &Found,
        loader: &Loader,
        shelf: Option<&Shelf>,
        bytes: Vec<u8>,
        rollout: &Rollout,
        from: From<'_>,
    ) -> Result<Deployed, DeployError> {
        let versions = &found.flow.versions;
        let (digest, bytes) = blocking(move || (digest_of(&bytes), bytes)).await?;
        let of_file = matches!(from, From::Folder | From::Start);
        if of_file {
            let mut book = versions.book();
            book.tried = Some(digest.clone());
            if let Some(why) = book.line.why_broken(&digest) {
                return Err(DeployError::Refused(format!(
                    "version {} was taken out of service ({why}): change the file, or deploy it by hand",
                    short(&digest)
                )));
            }
        }
        let kept = match shelf {
            Some(shelf) if bytes.len() <= loader.component_max_bytes() => {
                let (shelf, digest) = (shelf.clone(), digest.clone());
                let (kept, bytes) = blocking(move || (shelf.put(&digest, &bytes), bytes)).await?;
                (kept.map_err(|error| error.to_string()), bytes)
            }
            _ => (Ok(()), bytes),
        };
        let (kept, bytes) = kept;
        let begun = Instant::now();
        let code = loader.load_bytes(bytes).await;
        let code = code.map_err(|error| DeployError::Refused(error.to_string()))?;
        let compiled = Instant::now();
        admit::check(found, &code).map_err(DeployError::Refused)?;
        // Nobody else gives numbers while this is the flow's turn.
        let number = versions.book().line.next_number();
        let version = Arc::new(Version::new(number, Arc::clone(&code)));
        // What has nothing to fall back to is taken as it is: its calls fail with it or without it.
        if from != From::Start || versions.current().is_some() {
            self.smoke(found, &version).await.map_err(DeployError::Refused)?;
        }
        match (kept, from) {
            // Without the disk calls are answered all the same, until the next start.
            (Err(why), From::Start) => {
                tracing::warn!(flow = name_of(found), "the version cannot be kept: {why}")
            }
            (Err(why), _) => return Err(DeployError::NotKept(why)),
            (Ok(()), _) => {}
        }
        let compile = compiled - begun;
        let record = |line: &Line| record(line, &code, compile, from);
        let limits = &self.version_limits;
        let accept = |line: &mut Line| {
            let record = record(line);
            let number = record.number;
            line.accept(record, rollout, limits.pins_max)?;
            if of_file {
                line.file_seen = Some(digest.clone());
            }
            Ok(number)
        };
        if let Some(shelf) = shelf {
            let saved = self.save_as(versions, shelf, &accept).await?;
            match (saved, from) {
                (Err(why), From::Start) => {
                    tracing::warn!(flow = name_of(found), "the version cannot be kept: {why}");
                }
                (Err(why), _) => return Err(DeployError::NotKept(why)),
                (Ok(()), _) => {}
            }
        }
        versions.change(Some(version), limits.kept_max, accept)?;
        Ok(Deployed {
            flow: name_of(found),
            number,
            version: code.version().to_owned(),
            compile_ms: ms(compile),
            switch_ms: ms(compiled.elapsed()),
            pinned_elsewhere: pinned_elsewhere(versions, number),
        })
    }

    /// Writes down what the line will be after a change, before it is made: what serves is what the next start serves.
    async fn save_as<T>(
        &self,
        versions: &Arc<Versions>,
        shelf: &Shelf,
        change: impl FnOnce(&mut Line) -> Result<T, NoChange>,
    ) -> Result<Result<(), String>, DeployError> {
        let (mut line, changes) = {
            let book = versions.book();
            (book.line.clone(), book.changes)
        };
        change(&mut line)?;
        line.prune(self.version_limits.kept_max);
        let (versions, shelf) = (Arc::clone(versions), shelf.clone());
        blocking(move || {
            let saved = {
                let _writing = versions.writing();
                shelf.save(&line)
            };
            if saved.is_ok() {
                // What happens meanwhile counts further, and is written by who tends the versions.
                versions.book().written = changes + 1;
            }
            saved.map_err(|error| error.to_string())
        })
        .await
    }

    /// Changes which version is current, reading its code back where it is not at hand.
    async fn switch(
        &self,
        found: &Found,
        what: &str,
        change: impl Fn(&mut Line) -> Result<u32, NoChange>,
    ) -> Result<Deployed, DeployError> {
        let keeper = self.keeper.get().ok_or(DeployError::NotHere)?;
        let (versions, shelf) = (&found.flow.versions, keeper.shelf(found));
        let begun = Instant::now();
        let mut line = versions.book().line.clone();
        let number = change(&mut line)?;
        let at_hand = versions.code(number);
        let compile = begun.elapsed();
        let code = match at_hand {
            Some(version) => version,
            None => keeper
                .read_back(found, &line, number)
                .await
                .map_err(DeployError::Refused)?,
        };
        admit::check(found, &code.flow).map_err(DeployError::Refused)?;
        self.save_as(versions, &shelf, &change)
            .await?
            .map_err(DeployError::NotKept)?;
        let version = code.flow.version().to_owned();
        versions.change(Some(code), self.version_limits.kept_max, &change)?;
        tracing::info!(flow = name_of(found), number, version, "{what}");
        self.tend.wake();
        Ok(Deployed {
            flow: name_of(found),
            number,
            version,
            compile_ms: ms(compile),
            switch_ms: ms(begun.elapsed()),
            pinned_elsewhere: pinned_elsewhere(versions, number),
        })
    }

    /// The start of a flow: what was kept, and its own file where that has changed since. Without a keeper the file alone.
    pub(in crate::tenant) async fn take_up(&self, found: &Found, loader: &Loader) -> Loaded {
        let versions = &found.flow.versions;
        let _turn = versions.turn.lock().await;
        let keeper = self.keeper.get();
        if let Some(keeper) = keeper
            && !versions.book().restored
        {
            keeper.restore(found).await;
        }
        let file = &found.flow.file;
        let taken = match loader.read(file).await {
            Ok(bytes) => {
                let (digest, bytes) = match blocking(move || (digest_of(&bytes), bytes)).await {
                    Ok(read) => read,
                    Err(error) => return loaded(found, Err(error.to_string())),
                };
                if versions.has_seen(&digest) {
                    Ok(())
                } else if keeper.is_some() {
                    let taken = self.take(found, bytes, &Rollout::default(), From::Start).await;
                    taken.map(drop)
                } else {
                    let rollout = Rollout::default();
                    let taken = self.try_and_take(found, loader, None, bytes, &rollout, From::Start);
                    taken.await.map(drop)
                }
            }
            Err(error) => Err(DeployError::Refused(error.to_string())),
        };
        match (taken, versions.current()) {
            (Ok(()), Some(version)) => loaded(found, Ok(version.name.to_string())),
            (Ok(()), None) => loaded(
                found,
                Err("the versions that were kept cannot be used, see the log".to_owned()),
            ),
            (Err(error), None) => loaded(found, Err(format!("{}: {error}", file.display()))),
            (Err(error), Some(version)) => {
                tracing::warn!(
                    flow = name_of(found),
                    version = &*version.name,
                    "{}: {error}; the version of before serves on",
                    file.display()
                );
                loaded(found, Ok(version.name.to_string()))
            }
        }
    }

    /// Says in the log, and in what `callbox versions` shows, how it went.
    fn tell(&self, found: &Found, from: From<'_>, result: &Result<Deployed, DeployError>) {
        let (name, by) = (name_of(found), from.name());
        let versions = &found.flow.versions;
        match result {
            Ok(done) => {
                versions.book().failure = None;
                tracing::info!(
                    flow = name,
                    number = done.number,
                    version = done.version,
                    by,
                    compile_ms = done.compile_ms,
                    switch_ms = done.switch_ms,
                    "new version"
                );
                self.tend.wake();
            }
            Err(error) => {
                let why = error.to_string();
                let serving = versions.current();
                let serving = serving.as_ref().map_or("none", |version| &*version.name);
                if from != From::Start {
                    tracing::warn!(flow = name, by, serving, "the new version is not taken: {why}");
                }
                versions.book().failure = Some(Failure {
                    at_ms: now_ms(),
                    by,
                    why,
                });
            }
        }
    }
}

impl Keeper {
    pub(super) fn loader(&self) -> &Loader {
        &self.loader
    }

    pub(super) fn shelf(&self, Found { account, flow }: &Found) -> Shelf {
        Shelf::new(&self.folder, &account.name, &flow.name)
    }

    /// The code of a version that is kept.
    pub(super) async fn read_back(
        &self,
        found: &Found,
        line: &Line,
        number: u32,
    ) -> Result<Arc<Version>, String> {
        let record = line.record(number).ok_or("it is not kept")?;
        let (shelf, digest) = (self.shelf(found), record.digest.clone());
        let most = self.loader.component_max_bytes();
        let bytes = blocking(move || shelf.get(&digest, most))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let code = self
            .loader
            .load_bytes(bytes)
            .await
            .map_err(|error| error.to_string())?;
        admit::check(found, &code)?;
        Ok(Arc::new(Version::new(number, code)))
    }

    /// Puts to work what was kept over the restart.
    async fn restore(&self, found: &Found) {
        let versions = &found.flow.versions;
        let shelf = self.shelf(found);
        let read = {
            let shelf = shelf.clone();
            blocking(move || shelf.line()).await
        };
        let mut line = match read {
            Ok(Ok(line)) => line.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::warn!(
                    flow = name_of(found),
                    "the versions that were kept are not used, the flow's own file is: {error}"
                );
                shelf.put_aside();
                Line::default()
            }
            Err(_) => Line::default(),
        };
        loop {
            let needed = line.needed();
            let mut lost = None;
            for number in needed {
                if versions.code(number).is_some() {
                    continue;
                }
                match self.read_back(found, &line, number).await {
                    Ok(version) => drop(versions.book().loaded.insert(number, version)),
                    Err(why) => {
                        tracing::warn!(
                            flow = name_of(found),
                            number,
                            "a version that was kept cannot be used: {why}"
                        );
                        lost = Some(number);
                        break;
                    }
                }
            }
            // Gone from the disk, or unfit for this host: as if it had never been.
            let Some(number) = lost else { break };
            line.lose(number);
        }
        let mut book = versions.book();
        book.line = line;
        book.restored = true;
        versions.serve(&mut book);
    }
}

impl Versions {
    fn writing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The code of a version if it is in memory, because it is needed or a call has it.
    fn code(&self, number: u32) -> Option<Arc<Version>> {
        let book = self.book();
        let loaded = book.loaded.get(&number).map(Arc::clone);
        loaded.or_else(|| book.alive.get(&number)?.upgrade())
    }

    /// The file with this digest is what serves, or what was looked at last.
    pub(super) fn has_seen(&self, digest: &str) -> bool {
        let mut book = self.book();
        if book.line.file_seen.as_deref() == Some(digest) {
            return true;
        }
        let current = book.line.current.and_then(|number| book.line.record(number));
        let serves = current.is_some_and(|record| record.digest == digest);
        if serves {
            book.line.file_seen = Some(digest.to_owned());
            book.changes += 1;
        }
        serves
    }

    /// Writes the line down if that was not done since it changed. Blocks.
    pub(super) fn write_down(&self, shelf: &Shelf) -> Result<(), String> {
        let _writing = self.writing();
        let (line, changes) = {
            let book = self.book();
            if book.written == book.changes {
                return Ok(());
            }
            (book.line.clone(), book.changes)
        };
        shelf.save(&line).map_err(|error| error.to_string())?;
        self.book().written = changes;
        Ok(())
    }
}

fn record(line: &Line, code: &FlowVersion, compile: Duration, from: From<'_>) -> Record {
    let inspection = code.inspection();
    Record {
        number: line.next_number(),
        digest: inspection.sha256.clone(),
        bytes: inspection.file_bytes,
        accepted_ms: now_ms(),
        by: from.name(),
        compile_ms: ms(compile),
        world: code.world().to_string(),
        imports: inspection
            .imports
            .iter()
            .map(|import| import.name.clone())
            .collect(),
        proven: false,
        broken: None,
    }
}

fn pinned_elsewhere(versions: &Versions, number: u32) -> Vec<String> {
    let book = versions.book();
    let elsewhere = book.line.pins.iter().filter(|pinned| pinned.number != number);
    elsewhere.map(|pinned| pinned.pin.to_string()).collect()
}

pub(super) fn name_of(Found { account, flow }: &Found) -> String {
    format!("{}/{}", account.name, flow.name)
}

fn loaded(found: &Found, version: Result<String, String>) -> Loaded {
    Loaded {
        flow: name_of(found),
        version,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DeployError> {
    // Only a runtime that ends loses work.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| DeployError::NotHere)
}
