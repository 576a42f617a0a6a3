//! The host as the admin API sees it.
//!
//! Entry type: [`Node`], one a process, shared by all handlers.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::Semaphore;

use super::tail::LogLines;
use crate::config::Config;
use crate::config::limits::AdminLimits;
use crate::metrics::{LogTally, Sources};
use crate::pii::Redaction;
use crate::plugin::Loader;
use crate::tenant::{Directory, Reloader};
use crate::wire::WireView;

/// What handlers look at and act on. Its parts are shared with the host; it owns nothing of it.
pub struct Node {
    /// What the host was started with.
    pub config: Arc<Config>,
    /// Tenants, flows, and what runs.
    pub directory: Arc<Directory>,
    /// Compiles and loads flows.
    pub loader: Loader,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
    /// The sockets.
    pub wire: WireView,
    /// What is counted of all of it.
    pub(super) metrics: Sources,
    /// The log, as it is written.
    pub(super) log: LogLines,
    /// Places of those who follow the log.
    pub(super) streams: Arc<Semaphore>,
    /// By the clock, for people.
    pub(super) started: SystemTime,
    /// The same, to measure from.
    pub(super) since: Instant,
}

impl Node {
    /// The host that has just started.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        directory: Arc<Directory>,
        loader: Loader,
        reloader: Arc<Reloader>,
        wire: WireView,
        (log, tally): (LogLines, Arc<LogTally>),
    ) -> Arc<Self> {
        let started = SystemTime::now();
        Arc::new(Self {
            metrics: Sources {
                directory: Arc::clone(&directory),
                engine: loader.engine().clone(),
                wire: wire.clone(),
                log: tally,
                started,
            },
            streams: Arc::new(Semaphore::new(config.limits.admin.streams_max)),
            log,
            config,
            directory,
            loader,
            reloader,
            wire,
            started,
            since: Instant::now(),
        })
    }

    /// What makes tags of numbers and addresses, if they are not to be shown: those that the log has.
    pub(super) fn redaction(&self) -> Option<&'static Redaction> {
        self.config.admin.redact.then(Redaction::of_process)
    }

    pub(super) fn limits(&self) -> &AdminLimits {
        &self.config.limits.admin
    }
}
