//! What runs at this moment: permits, the table of sessions, the shards that sessions of jobs live on, and the end of all.
//!
//! Knows neither flows nor routes. Entry type: [`Runs`]. Invariants: there are never more instances than permits; a run
//! that has ended has given its permit back; once the host drains nothing begins.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::entrance::Entrance;
use super::quota::Quotas;
use crate::call::{Body, CallError, HostEnd, Session, SessionAddress, ShardQueue, TenantBounds};
use crate::plugin::FlowRuntime;

pub(super) struct Runs {
    permits: Arc<Semaphore>,
    quotas: Quotas,
    permits_in_all: usize,
    runtime: FlowRuntime,
    pub(super) entrance: Entrance,
    ending: watch::Sender<bool>,
    shards: Mutex<Vec<Arc<ShardQueue>>>,
    next_shard: AtomicUsize,
    delayed: Arc<Semaphore>,
    sessions: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    tenant: Arc<str>,
    flow: Arc<str>,
    address: SessionAddress,
}

/// A session's place in the table. Dropping it gives the place up.
pub(super) struct Listed {
    runs: Arc<Runs>,
    id: String,
}

impl Runs {
    /// `most` runs at a time, on `runtime`; and `delayed` jobs that wait for their time.
    pub(super) fn new(most: usize, delayed: usize, runtime: impl Into<FlowRuntime>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most)),
            quotas: Quotas::new(most),
            permits_in_all: most,
            runtime: runtime.into(),
            entrance: Entrance::default(),
            ending: watch::Sender::new(false),
            shards: Mutex::default(),
            next_shard: AtomicUsize::new(0),
            delayed: Arc::new(Semaphore::new(delayed)),
            sessions: Mutex::default(),
        }
    }

    /// A thread for one more run of a tenant.
    pub(super) fn runtime_for(&self, bounds: &TenantBounds) -> &Handle {
        self.runtime.pick_or(bounds.overruns.confined_to())
    }

    /// A thread for one more task.
    pub(super) fn runtime(&self) -> &Handle {
        self.runtime.pick()
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.permits_in_all
            .saturating_sub(self.permits.available_permits())
    }

    /// What each tenant may have of the runs. They outlive a plan: a new one finds those of its tenants again.
    pub(super) fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Whether there is no run left, for nobody.
    pub(super) fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// The right to run one more, of the host's.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// The right to wait for a later time.
    pub(super) fn delay(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.delayed).try_acquire_owned().ok()
    }

    /// Lets other sessions of the tenant reach this one.
    pub(super) fn list(self: &Arc<Self>, session: &Session) -> Listed {
        let id = session.id().to_owned();
        let entry = Entry {
            tenant: Arc::clone(&session.context().tenant),
            flow: Arc::clone(&session.context().flow),
            address: session.address(),
        };
        self.sessions().insert(id.clone(), entry);
        // Whoever ends all has said so before looking for sessions: of the two, one sees the other.
        if *self.ending.borrow() {
            session.address().stop(HostEnd::SHUTTING_DOWN);
        }
        Listed {
            runs: Arc::clone(self),
            id,
        }
    }

    /// How many may run at a time.
    pub(super) fn most(&self) -> usize {
        self.permits_in_all
    }

    /// Where the sessions are reached that are alive; those of one tenant, if one is named. In no order.
    pub(super) fn addresses(&self, tenant: Option<&str>) -> Vec<SessionAddress> {
        let wanted = |entry: &&Entry| tenant.is_none_or(|tenant| *entry.tenant == *tenant);
        let sessions = self.sessions();
        let entries = sessions.values().filter(wanted);
        entries.map(|entry| entry.address.clone()).collect()
    }

    /// Where this session is reached.
    pub(super) fn address(&self, id: &str) -> Option<SessionAddress> {
        self.sessions().get(id).map(|entry| entry.address.clone())
    }

    /// Puts a payload into the mailbox of a session of the tenant. Another tenant's session is as if it were not there.
    pub(super) fn send(&self, tenant: &str, session: &str, payload: Body) -> Result<(), CallError> {
        match self.sessions().get(session) {
            Some(entry) if *entry.tenant == *tenant => entry.address.post(payload),
            _ => Err(CallError::UnknownDestination("no such session".to_owned())),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.entrance.is_closed()
    }

    /// Ends every session, those that are about to begin too, and what runs within [`Runs::until_the_end`].
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
        for session in self.addresses(None) {
            session.stop(HostEnd::SHUTTING_DOWN);
        }
    }

    /// Those of one flow.
    pub(super) fn addresses_of(&self, tenant: &str, flow: &str) -> Vec<SessionAddress> {
        let sessions = self.sessions();
        let of = sessions
            .values()
            .filter(|entry| *entry.tenant == *tenant && *entry.flow == *flow);
        of.map(|entry| entry.address.clone()).collect()
    }

    /// Waits to its end (its output) or to that of the host (none). Not for a run, which ends with its session.
    pub(super) async fn until_the_end<F: Future>(&self, run: F) -> Option<F::Output> {
        let mut ending = self.ending.subscribe();
        tokio::select! {
            output = run => Some(output),
            _ = ending.wait_for(|ending| *ending) => None,
        }
    }

    pub(super) fn add_shard(&self, queue: Arc<ShardQueue>) {
        self.shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue);
    }

    /// Those that were added, in their order.
    pub(super) fn shards(&self) -> Vec<Arc<ShardQueue>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A shard for a session that no call began: each in its turn.
    pub(super) fn shard(&self) -> Option<Arc<ShardQueue>> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next_shard.fetch_add(1, Ordering::Relaxed);
        shards.get(turn.checked_rem(shards.len())?).map(Arc::clone)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.runs.sessions().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::call::{
        Denial, DialGrant, DialPolicy, DialRequest, EventKind, Services, SessionContext, TenantBounds,
    };
    use crate::config::limits::{CallLimits, TenantLimits};

    struct Nowhere;

    impl DialPolicy for Nowhere {
        fn grant(&self, _: &DialRequest<'_>) -> Result<DialGrant, CallError> {
            Err(CallError::Denied(Denial::Destination))
        }
    }

    fn session(tenant: &str) -> Session {
        session_within(tenant, Arc::default())
    }

    fn session_within(tenant: &str, bounds: Arc<TenantBounds>) -> Session {
        let limits = CallLimits {
            mailbox_events: 4,
            record_fields_max: 2,
            ..CallLimits::default()
        };
        let context = SessionContext {
            tenant: tenant.into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::new()),
            auto_ring: false,
            grants: crate::call::Grants::all(),
            policy: Arc::new(Nowhere),
            services: Services::none(),
            limits: Arc::new(limits),
            bounds,
        };
        Session::detached(format!("a session of {tenant}"), context)
    }

    #[tokio::test]
    async fn a_word_reaches_a_session_of_the_same_tenant_while_there_is_room_and_it_lives() {
        let runs = Arc::new(Runs::new(1, 1, Handle::current()));
        let session = session("acme");
        let listed = runs.list(&session);
        let word = || session.body("text/plain", b"word".to_vec()).unwrap();
        let unknown = |sent| matches!(sent, Err(CallError::UnknownDestination(_)));
        assert!(
            unknown(runs.send("other", session.id(), word())),
            "as if it were not there"
        );
        assert!(unknown(runs.send("acme", "nobody", word())));
        for _ in 0..4 {
            runs.send("acme", session.id(), word()).unwrap();
        }
        assert_eq!(
            runs.send("acme", session.id(), word()),
            Err(CallError::Denied(Denial::Limit("limits.call.mailbox_events")))
        );
        let event = session.next_event(None, Some(Duration::ZERO)).await.unwrap();
        assert!(
            matches!(event.kind, EventKind::External(body) if body.data() == "word"),
            "nothing was lost"
        );
        runs.send("acme", session.id(), word()).unwrap();
        drop(listed);
        assert!(unknown(runs.send("acme", session.id(), word())));
    }

    #[tokio::test]
    async fn the_fields_of_a_record_are_checked_and_bounded() {
        let session = session("acme");
        for key in ["", "a b", "a=b", "größe", &"x".repeat(65)] {
            let refused = session.set_record_field(key, "");
            assert!(matches!(refused, Err(CallError::Invalid(_))), "{key}");
        }
        session.set_record_field("a", "1").unwrap();
        session.set_record_field("b-2.x_", "\n").unwrap();
        session.set_record_field("a", "2").unwrap();
        assert!(matches!(
            session.set_record_field("c", ""),
            Err(CallError::Denied(Denial::Limit("limits.call.record_fields_max")))
        ));
        let long = "x".repeat(257);
        assert!(matches!(
            session.set_record_field("a", &long),
            Err(CallError::Denied(Denial::Limit(
                "limits.call.record_value_max_bytes"
            )))
        ));
        let fields = session.record_fields();
        let fields: Vec<_> = fields.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(fields, [("a", "2"), ("b-2.x_", "\n")]);
    }

    #[tokio::test]
    async fn what_lies_unread_in_mailboxes_is_the_tenants_memory() {
        let runs = Arc::new(Runs::new(1, 1, Handle::current()));
        let bounds = TenantBounds::new(
            "acme",
            &TenantLimits {
                memory_max_bytes: 100,
                ..TenantLimits::default()
            },
        );
        let session = session_within("acme", Arc::clone(&bounds));
        let _listed = runs.list(&session);
        let send = || {
            runs.send(
                "acme",
                session.id(),
                session.body("text/plain", vec![b'x'; 50]).unwrap(),
            )
        };
        send().unwrap();
        assert_eq!(
            send(),
            Err(CallError::Denied(Denial::Limit("limits.tenant.memory_max_bytes")))
        );
        assert_eq!(bounds.memory.taken(), 60);
        drop(session.next_event(None, Some(Duration::ZERO)).await.unwrap());
        assert_eq!(bounds.memory.taken(), 0);
        send().unwrap();
        drop(session);
        assert_eq!(
            bounds.memory.taken(),
            0,
            "a session that is over leaves nothing behind"
        );
    }
}
