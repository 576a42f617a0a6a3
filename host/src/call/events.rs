//! The mailbox of a session: everything that happened and was not waited for.
//!
//! Bounded, for itself and together with the other mailboxes of the tenant: when there is no room the oldest of its events
//! that may be lost goes, and the reader is told how many went. Incoming, answered,
//! failed and hung-up events are never lost; their number is bounded by the number of legs and attempts. An event may hold a
//! question of the peer's: whoever drops it unread has it answered with no. Entry type: [`Mailbox`]; what a flow
//! reads: [`Event`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::dtmf::Dtmf;
use super::error::{CallError, HangupInfo, Status};
use super::incoming_offer::IncomingOffer;
use super::info::InfoRequest;
use super::leg::{AnswerInfo, Leg};
use super::referral::Referral;
use super::share::Share;
use super::subscription::Notification;
use super::tenant_bounds::TenantBounds;
use super::text::Body;
use crate::config::limits;

/// Something that happened to a session.
#[derive(Debug)]
pub struct Event {
    /// The leg, registration or subscription it is about; 0 is the session itself.
    pub source: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. The contract's `event-kind`.
#[derive(Debug)]
pub enum EventKind {
    /// One more call for the session. The source is the leg whose place it wants (RFC 3891).
    Incoming(Leg),
    /// A provisional response to a call that `dial` placed.
    Progress {
        /// 101..=199.
        status: Status,
        /// Early media.
        body: Option<Body>,
        /// It was reliable (RFC 3262).
        reliable: bool,
    },
    /// The call that `dial` placed was answered.
    Answered(AnswerInfo),
    /// The call that `dial` placed failed.
    Failed(CallError),
    /// A leg ended.
    HungUp(HangupInfo),
    /// A digit.
    Dtmf(Dtmf),
    /// An INFO that is no digit.
    Info(InfoRequest),
    /// A MESSAGE within the call.
    Message(Body),
    /// A re-INVITE or UPDATE of a leg under `decide-offers`.
    Offer(IncomingOffer),
    /// The peer put the leg on hold.
    Held,
    /// The peer took the leg off hold.
    Resumed,
    /// The peer asks us to call somebody else.
    Refer(Referral),
    /// How a transfer of ours goes on.
    TransferProgress(Status),
    /// A NOTIFY of a subscription.
    Notify(Box<Notification>),
    /// A registration is no longer in force; the host may still get it back.
    RegistrationLost(CallError),
    /// A timer of the flow.
    Timer(u32),
    /// Posted to the session from outside.
    External(Body),
    /// The host drains: finish within this time.
    Shutdown(Duration),
    /// So many events were lost before this one.
    Overflow(u32),
}

impl EventKind {
    /// These decide what becomes of a call, so a full mailbox never loses them.
    fn must_be_kept(&self) -> bool {
        matches!(
            self,
            EventKind::Incoming(_)
                | EventKind::Answered(_)
                | EventKind::Failed(_)
                | EventKind::HungUp(_)
                | EventKind::Shutdown(_)
        )
    }
}

pub(super) struct Mailbox {
    queue: VecDeque<(u64, Event)>,
    max: usize,
    /// Counts the queue with the tenant.
    share: Share,
    lost: u32,
    next_ticket: u64,
    closed: bool,
}

impl Mailbox {
    pub(super) fn new(max: usize, bounds: &Arc<TenantBounds>) -> Self {
        Self {
            queue: VecDeque::new(),
            max,
            share: Share::new(bounds, |bounds| &bounds.events, "limits.tenant.events_max"),
            lost: 0,
            next_ticket: 1,
            closed: false,
        }
    }

    /// Adds an event and returns its ticket, by which it can be taken back; and the event that is lost for it, which the
    /// caller drops when nothing is locked that its end may need.
    pub(super) fn put(&mut self, source: u32, kind: EventKind) -> (u64, Option<Event>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let event = Event { source, kind };
        if self.closed {
            return (ticket, Some(event));
        }
        let full = self.queue.len() >= self.max;
        if !full && self.share.take().is_ok() {
            self.queue.push_back((ticket, event));
            return (ticket, None);
        }
        let may_be_lost = |(_, event): &(u64, Event)| !event.kind.must_be_kept();
        let lost = match self.queue.iter().position(may_be_lost) {
            // With the tenant, the new one has the place of the old one.
            Some(oldest) => {
                let lost = self.queue.remove(oldest).map(|(_, event)| event);
                self.queue.push_back((ticket, event));
                lost
            }
            None if event.kind.must_be_kept() => {
                self.share.take_anyway();
                self.queue.push_back((ticket, event));
                return (ticket, None);
            }
            None => Some(event),
        };
        if full {
            limits::hit("limits.call.mailbox_events");
        }
        self.lose_one();
        (ticket, lost)
    }

    /// Adds an event that costs no other one its place. None when nobody reads any more.
    pub(super) fn offer(
        &mut self,
        source: u32,
        kind: impl FnOnce() -> Result<EventKind, CallError>,
    ) -> Option<Result<(), CallError>> {
        if self.closed {
            return None;
        }
        if self.queue.len() >= self.max {
            return Some(Err(CallError::limit("limits.call.mailbox_events")));
        }
        if let Err(row) = self.share.take() {
            return Some(Err(CallError::limit(row)));
        }
        let kind = match kind() {
            Ok(kind) => kind,
            Err(why) => {
                self.share.shrink_to(self.queue.len());
                return Some(Err(why));
            }
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push_back((ticket, Event { source, kind }));
        Some(Ok(()))
    }

    /// Nobody will read any more. What was not read is the caller's to drop.
    pub(super) fn close(&mut self) -> VecDeque<(u64, Event)> {
        self.closed = true;
        self.share.shrink_to(0);
        std::mem::take(&mut self.queue)
    }

    /// Counts an event that will never come.
    pub(super) fn lose_one(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// The oldest event of these sources; the news that events were lost comes first.
    pub(super) fn take(&mut self, sources: Option<&[u32]>) -> Option<(u64, Event)> {
        let wanted = |source: u32| sources.is_none_or(|sources| sources.contains(&source));
        if self.lost > 0 && wanted(0) {
            let lost = std::mem::take(&mut self.lost);
            return Some((
                0,
                Event {
                    source: 0,
                    kind: EventKind::Overflow(lost),
                },
            ));
        }
        let at = self.queue.iter().position(|(_, event)| wanted(event.source))?;
        self.remove(at)
    }

    /// Takes an event back: a blocking wait has consumed it, or it is no longer true.
    pub(super) fn take_back(&mut self, ticket: u64) -> Option<Event> {
        let at = self
            .queue
            .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
            .ok()?;
        self.remove(at).map(|(_, event)| event)
    }

    fn remove(&mut self, at: usize) -> Option<(u64, Event)> {
        let taken = self.queue.remove(at);
        self.share.shrink_to(self.queue.len());
        taken
    }

    /// Drops the events for which `which` holds.
    pub(super) fn forget(&mut self, which: impl Fn(&Event) -> bool) {
        self.queue.retain(|(_, event)| !which(event));
        self.share.shrink_to(self.queue.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mailbox(max: usize) -> Mailbox {
        Mailbox::new(max, &Arc::default())
    }

    fn timer(id: u32) -> EventKind {
        EventKind::Timer(id)
    }

    #[test]
    fn a_full_mailbox_loses_the_oldest_that_may_be_lost_and_says_so() {
        let mut mailbox = mailbox(3);
        mailbox.put(1, EventKind::Failed(CallError::Timeout));
        mailbox.put(0, timer(1));
        mailbox.put(0, timer(2));
        mailbox.put(0, timer(3));
        assert!(matches!(
            mailbox.take(None).unwrap().1.kind,
            EventKind::Overflow(1)
        ));
        assert!(matches!(
            mailbox.take(None).unwrap().1.kind,
            EventKind::Failed(CallError::Timeout)
        ));
        assert!(matches!(mailbox.take(None).unwrap().1.kind, EventKind::Timer(2)));
        assert!(matches!(mailbox.take(None).unwrap().1.kind, EventKind::Timer(3)));
        assert!(mailbox.take(None).is_none());
    }

    #[test]
    fn events_that_decide_a_call_are_kept_above_the_bound() {
        let mut mailbox = mailbox(2);
        for leg in 1..=3 {
            mailbox.put(leg, EventKind::Failed(CallError::Cancelled));
        }
        mailbox.put(0, timer(9));
        assert!(matches!(
            mailbox.take(None).unwrap().1.kind,
            EventKind::Overflow(1)
        ));
        for leg in 1..=3 {
            assert_eq!(mailbox.take(None).unwrap().1.source, leg);
        }
        assert!(mailbox.take(None).is_none());
    }

    #[test]
    fn only_the_wanted_sources_are_taken_and_order_holds() {
        let mut mailbox = mailbox(8);
        mailbox.put(1, timer(1));
        mailbox.put(2, timer(2));
        let (ticket, _) = mailbox.put(2, timer(3));
        mailbox.put(2, timer(4));
        mailbox.take_back(ticket);
        assert!(matches!(
            mailbox.take(Some(&[2])).unwrap().1.kind,
            EventKind::Timer(2)
        ));
        assert!(matches!(
            mailbox.take(Some(&[2])).unwrap().1.kind,
            EventKind::Timer(4)
        ));
        assert!(mailbox.take(Some(&[2])).is_none());
        assert_eq!(mailbox.take(Some(&[1])).unwrap().1.source, 1);
    }
}
