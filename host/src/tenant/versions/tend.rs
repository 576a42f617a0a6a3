//! What is done about versions in the background: changes are written down, the code of the version to fall back to is read
//! back, flows' own files are looked at.
//!
//! One task, on the thread of signals and files. Entry point: [`Directory::tend_versions`].

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::deploy::{Keeper, name_of};
use super::watch::Watch;
use crate::tenant::directory::Directory;
use crate::tenant::plan::Found;

/// How often everything is looked at without being asked to.
const LOOK: Duration = Duration::from_secs(2);

/// Asks for a look.
#[derive(Debug, Clone, Default)]
pub(in crate::tenant) struct Tending {
    asked: Arc<Notify>,
}

impl Tending {
    /// Has everything looked at soon. Cheap, from any thread.
    pub(in crate::tenant) fn wake(&self) {
        self.asked.notify_one();
    }
}

impl Directory {
    /// Looks after the versions of all flows for ever. Does nothing before [`Directory::keep_versions`].
    pub async fn tend_versions(self: &Arc<Self>) -> Infallible {
        let mut watch = Watch::new(self.tend.clone());
        let mut unwritten = BTreeSet::new();
        loop {
            let mut next = LOOK;
            if let Some(keeper) = self.keeper.get() {
                for found in self.plan().flows() {
                    self.tend_one(keeper, &found, &mut unwritten).await;
                }
                next = next.min(watch.look(self).await);
            }
            let _ = tokio::time::timeout(next, self.tend.asked.notified()).await;
        }
    }

    async fn tend_one(&self, keeper: &Keeper, found: &Found, unwritten: &mut BTreeSet<String>) {
        let versions = &found.flow.versions;
        let missing = {
            let book = versions.book();
            let mut missing = book.line.needed();
            if book.falling.is_some() {
                missing.extend(book.line.before_current());
            }
            missing.retain(|number| !book.loaded.contains_key(number));
            if missing.is_empty() && book.falling.is_none() && book.written == book.changes {
                return;
            }
            missing
        };
        // Somebody changes it at this moment, and asks for a look when that is done.
        let Ok(_turn) = versions.turn.try_lock() else {
            return;
        };
        for number in missing {
            let line = versions.book().line.clone();
            match keeper.read_back(found, &line, number).await {
                Ok(version) => {
                    let mut book = versions.book();
                    book.loaded.insert(number, version);
                }
                Err(why) => {
                    tracing::warn!(
                        flow = name_of(found),
                        number,
                        "a version that was kept cannot be used: {why}"
                    );
                    let mut book = versions.book();
                    book.line.lose(number);
                    book.changes += 1;
                }
            }
        }
        let falling = versions.book().falling.clone();
        match falling {
            Some((number, why)) => {
                let fallen = versions.fall(number, &why, self.version_limits.kept_max);
                let serving = versions.current();
                let serving = serving.as_ref().map_or("none", |version| &*version.name);
                tracing::warn!(flow = name_of(found), number, serving, ?fallen, "gave way");
            }
            None => versions.serve(&mut versions.book()),
        }
        let (shelf, written) = (keeper.shelf(found), Arc::clone(versions));
        let written = tokio::task::spawn_blocking(move || written.write_down(&shelf)).await;
        let name = name_of(found);
        match written {
            Ok(Err(error)) if unwritten.insert(name.clone()) => {
                tracing::error!(
                    flow = name,
                    "what became of its versions cannot be written down, and the next start would not know it: {error}"
                );
            }
            Ok(Ok(())) => drop(unwritten.remove(&name)),
            _ => {}
        }
    }
}
