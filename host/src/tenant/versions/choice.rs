//! Which versions a call of certain numbers may get, for those who only want to know.
//!
//! Entry type: [`Choice`]. Invariant: says what [`Versions::pick`] does, and is read from the same place.

use serde::{Deserialize, Serialize};

use super::Versions;
use crate::tenant::flow::Version;

/// A version that a call may get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What logs and `session.flow-version` call it.
    pub version: String,
    /// Counted from 1 for each flow.
    pub number: u32,
    /// Why calls get it.
    pub share: Share,
    /// How many calls of a hundred.
    pub percent: u8,
    /// It has trapped too often: its calls get `trap_code` at once.
    pub open: bool,
}

/// Why calls get a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// The number is pinned to it.
    Pinned,
    /// It is tried on a share of the calls.
    Canary,
    /// It is what calls get.
    Current,
}

impl Versions {
    /// What calls to and of these numbers get, as [`Versions::pick`] would choose, with the share of each.
    pub(in crate::tenant) fn choices(&self, dialled: &str, caller: &str) -> Vec<Choice> {
        let serving = self.serving.load();
        let choice = |version: &Version, share: Share, percent: u8| Choice {
            version: version.name.to_string(),
            number: version.number,
            share,
            percent,
            open: version.circuit.is_open(),
        };
        if let Some(version) = serving.pinned(dialled, &mut || caller.to_owned()) {
            return vec![choice(version, Share::Pinned, 100)];
        }
        let tried = serving.canary.as_ref();
        let canary = tried.map(|(percent, version)| choice(version, Share::Canary, *percent));
        let rest = 100 - tried.map_or(0, |(percent, _)| (*percent).min(100));
        let current = serving.current.as_ref().filter(|_| rest > 0);
        canary
            .into_iter()
            .chain(current.map(|version| choice(version, Share::Current, rest)))
            .collect()
    }
}
