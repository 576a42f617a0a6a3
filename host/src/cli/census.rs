//! What is alive, said in the log whenever an operator asks with SIGUSR1.
//!
//! On a host that rests every number but `connections` and `trapped` (since the start) is 0: what is not has been forgotten by somebody.

use std::convert::Infallible;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::tenant::Directory;
use crate::wire::Wire;

/// Waits for the question.
pub(super) struct Census {
    asked: Signal,
}

impl Census {
    /// Catches SIGUSR1, which would end the process. To be called within a runtime.
    pub(super) fn new() -> anyhow::Result<Self> {
        let asked = signal(SignalKind::user_defined1()).context("cannot wait for SIGUSR1")?;
        Ok(Self { asked })
    }

    /// Answers for ever.
    pub(super) async fn answer(&mut self, directory: &Directory, wire: &Wire) -> Infallible {
        loop {
            if self.asked.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            let counts = wire.counts();
            tracing::info!(
                sessions = directory.calls(),
                trapped = directory.trapped(),
                legs = counts.legs,
                dialogs = counts.dialogs,
                transactions = counts.transactions,
                registrations = counts.registrations,
                subscriptions = counts.subscriptions,
                timers = counts.timers,
                connections = wire.connections(),
                "alive"
            );
        }
    }
}
