//! A call for a service, from its INVITE until a session has it or it is over.
//!
//! Shared between the shard on which the call lives, the waiting room, and the session that takes it. Entry type:
//! [`ServiceCall`]. Invariant: of taking it, refusing it and its own end, exactly one happens first, under its lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callbox_sip::endpoint::{LegEvent, LegId};
use callbox_sip::message::Message;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::super::command::Scheduled;
use super::super::exchange::ShardQueue;
use super::super::incoming::Refusal;
use super::super::leg::LegShared;
use super::super::tenant_bounds::Place;
use super::{Service, WaitingRoom};

pub(in crate::call) struct ServiceCall {
    pub(super) service: Service,
    room: Arc<WaitingRoom>,
    pub(in crate::call) sip: LegId,
    pub(in crate::call) request: Message,
    /// When it came in.
    pub(in crate::call) came: std::time::Instant,
    pub(in crate::call) shard: Arc<ShardQueue>,
    /// When it is refused if nobody has taken it.
    until: Instant,
    standing: Mutex<Standing>,
    /// Among the tenant's calls, until the leg that takes it has that.
    place: Mutex<Option<Place>>,
}

enum Standing {
    /// In the room; the handle ends the task that waits for `until`.
    Waiting(Option<AbortHandle>),
    /// A session has it. It can go back to the room until its shard knows.
    Taken { leg: Arc<LegShared>, attempt: u32 },
    /// A session has it for good, or it is over.
    Settled,
}

/// What a shard does with the call's leg from now on.
pub(in crate::call) enum HandedOver {
    /// Nobody has it: it waits still.
    No,
    /// It is this leg's, in this attempt.
    To(Arc<LegShared>, u32),
    /// It is over.
    Over,
}

impl ServiceCall {
    pub(in crate::call) fn new(
        service: Service,
        room: Arc<WaitingRoom>,
        sip: LegId,
        request: Message,
        shard: Arc<ShardQueue>,
        place: Place,
    ) -> Arc<Self> {
        let until = Instant::now() + room.patience();
        Arc::new(Self {
            service,
            room,
            sip,
            request,
            came: std::time::Instant::now(),
            shard,
            until,
            standing: Mutex::new(Standing::Waiting(None)),
            place: Mutex::new(Some(place)),
        })
    }

    /// The call's place among the tenant's calls, for the leg that takes it.
    pub(in crate::call) fn take_place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same when the call comes back.
    pub(in crate::call) fn keep_place(&self, place: Option<Place>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.lock(), Standing::Waiting(_))
    }

    /// Remembers what ends its wait; ends that at once when it does not wait any more.
    pub(super) fn watched_by(&self, timer: AbortHandle) {
        match &mut *self.lock() {
            Standing::Waiting(place) => {
                if let Some(before) = place.replace(timer) {
                    before.abort();
                }
            }
            Standing::Taken { .. } | Standing::Settled => timer.abort(),
        }
    }

    /// Gives the call to a leg that accepts with this ticket; false when the call or the leg is no longer free.
    pub(super) fn give_to(self: &Arc<Self>, leg: &Arc<LegShared>, ticket: u64) -> bool {
        let mut standing = self.lock();
        if !matches!(*standing, Standing::Waiting(_)) {
            return false;
        }
        let Some(attempt) = leg.take_in(self, ticket) else {
            return false;
        };
        let leg = Arc::clone(leg);
        if let Standing::Waiting(Some(timer)) =
            std::mem::replace(&mut *standing, Standing::Taken { leg, attempt })
        {
            timer.abort();
        }
        true
    }

    /// The accepting method was dropped before its flow saw the call: back to the room, in front.
    pub(in crate::call) fn put_back(self: &Arc<Self>, leg: &Arc<LegShared>) {
        {
            let mut standing = self.lock();
            let Standing::Taken { attempt, .. } = *standing else {
                return;
            };
            if !leg.give_back(self, attempt) {
                return;
            }
            *standing = Standing::Waiting(None);
        }
        self.room.offer_again(self);
    }

    /// Nobody may take it any more; it gets this answer.
    pub(super) fn refuse(&self, refusal: Refusal) {
        {
            let mut standing = self.lock();
            let Standing::Waiting(timer) = &*standing else {
                return;
            };
            if let Some(timer) = timer {
                timer.abort();
            }
            *standing = Standing::Settled;
        }
        self.shard.schedule(Scheduled::Refusal(self.sip, refusal));
    }

    /// The shard has news of the call's leg: whose is it? From now on it cannot go back.
    pub(in crate::call) fn news(self: &Arc<Self>, event: &LegEvent) -> HandedOver {
        let mut standing = self.lock();
        let over = matches!(event, LegEvent::Ended(_));
        match std::mem::replace(&mut *standing, Standing::Settled) {
            Standing::Taken { leg, attempt } => HandedOver::To(leg, attempt),
            Standing::Waiting(timer) if over => {
                if let Some(timer) = timer {
                    timer.abort();
                }
                drop(standing);
                self.room.forget(self);
                HandedOver::Over
            }
            waiting @ Standing::Waiting(_) => {
                *standing = waiting;
                HandedOver::No
            }
            Standing::Settled if over => HandedOver::Over,
            Standing::Settled => HandedOver::No,
        }
    }
}
