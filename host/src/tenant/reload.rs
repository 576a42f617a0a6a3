//! A new configuration for a host that runs: read whole, made ready beside the old one, and put in its place, or not.
//!
//! Calls and jobs that are up keep what they began with. Deliberately knows no signals and no API: whoever wants a reload
//! calls [`Reloader::reload`]. Entry type: [`Reloader`]. Invariants: one reload at a time; one that fails has changed
//! nothing; a flow that is new, or has a new file, is loaded before anybody can call it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::directory::Directory;
use super::plan::Plan;
use super::versions::check;
use crate::call::{HostEnd, Siblings};
use crate::config::{Config, ConfigError, Listen, Tls};
use crate::plugin::{Loader, World};

/// Reads the configuration of one host again.
pub struct Reloader {
    directory: Arc<Directory>,
    loader: Loader,
    file: PathBuf,
    /// Listeners that the command line names instead of the file.
    listen: Option<Vec<Listen>>,
    /// What the host was started with.
    started: Arc<Config>,
    turn: tokio::sync::Mutex<()>,
    watch: Option<Arc<dyn ReloadWatch>>,
    /// Who takes another certificate over.
    renew: Option<RenewTls>,
}

/// Takes certificate, key and authorities of a new configuration for the connections to come. Must not wait.
pub type RenewTls = Box<dyn Fn(&Tls) + Send + Sync>;

/// Who wants to know when a configuration is exchanged: a supervisor. Neither method may wait.
pub trait ReloadWatch: Send + Sync {
    /// A reload begins.
    fn reloading(&self);
    /// It is over, whether it was taken or not; calls were answered all the time.
    fn reloaded(&self);
}

/// Tells of the end however that comes: who asked by the admin API may be gone before it.
struct Told<'a>(Option<&'a dyn ReloadWatch>);

impl<'a> Told<'a> {
    fn of(watch: Option<&'a dyn ReloadWatch>) -> Self {
        if let Some(watch) = watch {
            watch.reloading();
        }
        Self(watch)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.0 {
            watch.reloaded();
        }
    }
}

/// Why everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There are mistakes in the files: all of them.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Flows that are new or changed would not serve: all of them.
    #[error("{}", .0.join("\n"))]
    Flows(Vec<String>),
    /// The thread that reads files is gone.
    #[error("the files were not read: {0}")]
    Reading(String),
}

impl Reloader {
    /// For a host whose configuration is in `file`, but for the listeners, which may come from elsewhere.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        loader: Loader,
        file: PathBuf,
        listen: Option<Vec<Listen>>,
    ) -> Self {
        Self {
            started: Arc::clone(&directory.plan().config),
            directory,
            loader,
            file,
            listen,
            turn: tokio::sync::Mutex::new(()),
            watch: None,
            renew: None,
        }
    }

    /// Tells somebody of each reload.
    #[must_use]
    pub fn watched_by(mut self, watch: Arc<dyn ReloadWatch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Has the certificate of each configuration taken over that is read again.
    #[must_use]
    pub fn renewing(mut self, renew: RenewTls) -> Self {
        self.renew = Some(renew);
        self
    }

    /// Reads all files again and puts them to work: for the calls that come from then on. Says in the log what has
    /// changed, or why nothing has.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed.
    pub async fn reload(&self) -> Result<Changes, ReloadError> {
        let _turn = self.turn.lock().await;
        let _told = Told::of(self.watch.as_deref());
        let outcome = self.exchange().await;
        match &outcome {
            Ok(changes) => {
                for line in changes.lines() {
                    tracing::info!("reload: {line}");
                }
                for line in &changes.restart {
                    tracing::warn!("reload: stays as it was until callbox is started again: {line}");
                }
                tracing::info!(changes = changes.lines().count(), "configuration reloaded");
            }
            Err(error) => {
                for line in error.to_string().lines() {
                    tracing::error!("reload: {line}");
                }
                tracing::error!("configuration not reloaded: everything is as it was");
            }
        }
        outcome
    }

    async fn exchange(&self) -> Result<Changes, ReloadError> {
        let file = self.file.clone();
        let config = tokio::task::spawn_blocking(move || Config::load_whole(&file))
            .await
            .map_err(|error| ReloadError::Reading(error.to_string()))?;
        let mut config = config?;
        if let Some(listen) = &self.listen {
            config.listen.clone_from(listen);
        }
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let changes = self
            .directory
            .exchange(config, &self.started, &self.loader)
            .await?;
        // A host that was started without has no socket for it.
        if let (Some(renew), Some(_), Some(tls)) =
            (&self.renew, &self.started.tls, &self.directory.plan().config.tls)
        {
            renew(tls);
        }
        Ok(changes)
    }
}

impl Directory {
    async fn exchange(
        self: &Arc<Self>,
        mut config: Config,
        started: &Config,
        loader: &Loader,
    ) -> Result<Changes, ReloadError> {
        let before = self.plan();
        let changes = Changes::between(started, &before.config, &config);
        let siblings: std::sync::Weak<dyn Siblings> = std::sync::Weak::<Self>::clone(&self.myself);
        let quotas = self.runs.quotas();
        // The sockets are those that it was started with, and rules of dialling ask for our own addresses.
        config.listen.clone_from(&started.listen);
        let config = Arc::new(config);
        let plan = Plan::new(
            &config,
            quotas,
            &self.ledger,
            &self.room,
            &siblings,
            Some(&*before),
        );
        // Until it is in its place the old sizes hold.
        drop(quotas.of(&before.config.tenants, &before.config.limits.host));
        let (mut refused, mut later) = (Vec::new(), Vec::new());
        for found in plan.flows() {
            let name = format!("flow {}/{}", found.account.name, found.flow.name);
            let old = before.flow(&found.account.name, &found.flow.name);
            let same_file = old.is_some_and(|old| old.flow.file == found.flow.file);
            match found.flow.versions.current() {
                Some(version) if same_file => {
                    refused.extend(
                        check(&found, &version.flow)
                            .err()
                            .map(|why| format!("{name}: {why}")),
                    );
                }
                // Calls have these versions already: tried now, taken when nothing can be refused any more.
                Some(_) => {
                    let tried = loader
                        .load(&found.flow.file)
                        .await
                        .map_err(|error| error.to_string());
                    match tried.and_then(|version| check(&found, &version)) {
                        Ok(()) => later.push((name, found)),
                        Err(why) => refused.push(format!("{name}: {}: {why}", found.flow.file.display())),
                    }
                }
                None if same_file => later.push((name, found)),
                None => match self.take_up(&found, loader).await.version {
                    Ok(version) => tracing::info!("{name}: version {version}"),
                    Err(why) => refused.push(format!("{name}: {why}")),
                },
            }
        }
        if !refused.is_empty() {
            return Err(ReloadError::Flows(refused));
        }
        drop(quotas.of(&config.tenants, &config.limits.host));
        let gone = jobs_without_a_place(&before, &plan);
        self.plan.store(Arc::new(plan));
        self.room.resize(&config.limits.call);
        self.reschedule();
        // A call ends by itself; a job that nothing names any more may run for ever.
        let grace = Duration::from_millis(started.limits.host.drain_grace_ms);
        for (tenant, flow) in gone {
            let ended = self.end_flow(&tenant, &flow, HostEnd::REMOVED, grace);
            if ended > 0 {
                tracing::info!(%tenant, %flow, ended, ?grace, "the configuration has this job no more: its runs end");
            }
        }
        // One that has not served before stands in nobody's way.
        for (name, found) in later {
            match self.take_up(&found, loader).await.version {
                Ok(version) => tracing::info!("{name}: version {version}"),
                Err(why) => tracing::warn!("{name}: still not loaded: {why}"),
            }
        }
        Ok(changes)
    }
}

/// Jobs, by tenant and flow, that the plan to come has not: with their flow, with their tenant, or because their table is gone.
fn jobs_without_a_place(before: &Plan, after: &Plan) -> Vec<(Arc<str>, Arc<str>)> {
    let mut gone = Vec::new();
    for found in before.flows() {
        let version = found.flow.versions.current();
        if version.is_none_or(|version| version.flow.world() != World::JobFlow) {
            continue;
        }
        let next = after.flow(&found.account.name, &found.flow.name);
        let stays = match next {
            Some(next) => found.flow.job.is_none() || next.flow.job.is_some(),
            None => false,
        };
        if !stays {
            gone.push((Arc::clone(&found.account.name), Arc::clone(&found.flow.name)));
        }
    }
    gone
}
