//! How many versions were to be taken in, and what became of them.
//!
//! Entry type: [`Deploys`], one a host.

use std::sync::atomic::{AtomicU64, Ordering};

use super::deploy::{DeployError, Deployed};

/// Counts versions.
#[derive(Debug, Default)]
pub(in crate::tenant) struct Deploys {
    taken: AtomicU64,
    refused: AtomicU64,
    not_kept: AtomicU64,
    not_possible: AtomicU64,
    fallen: AtomicU64,
}

impl Deploys {
    /// One was tried.
    pub(super) fn count(&self, result: &Result<Deployed, DeployError>) {
        let counter = match result {
            Ok(_) => &self.taken,
            Err(DeployError::Refused(_)) => &self.refused,
            Err(DeployError::NotKept(_)) => &self.not_kept,
            Err(
                DeployError::UnknownFlow(..)
                | DeployError::Busy(_)
                | DeployError::NoChange(_)
                | DeployError::Asked(_)
                | DeployError::NotHere,
            ) => &self.not_possible,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// One was taken out of service because it trapped.
    pub(super) fn count_fallen(&self) {
        self.fallen.fetch_add(1, Ordering::Relaxed);
    }

    /// By result.
    pub(in crate::tenant) fn read(&self) -> Vec<(&'static str, u64)> {
        [
            ("taken", &self.taken),
            ("refused", &self.refused),
            ("not-kept", &self.not_kept),
            ("not-possible", &self.not_possible),
        ]
        .into_iter()
        .map(|(result, counter)| (result, counter.load(Ordering::Relaxed)))
        .collect()
    }

    /// Versions that were taken out of service.
    pub(in crate::tenant) fn fallen(&self) -> u64 {
        self.fallen.load(Ordering::Relaxed)
    }
}
