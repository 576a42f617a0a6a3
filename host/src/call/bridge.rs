//! Two legs joined in the host: the signalling of a B2BUA, without waking the flow for each message.
//!
//! What arrives on one leg is taken from its events on its shard's thread ([`tap`]), told to the [`Bridge`] between the two,
//! and leaves as [`orders`] for the other leg's shard, which may be another thread. Bodies pass as they are: the bridge reads
//! no session description. `join` makes a bridge, [`offers`] relays offers, [`watch`] finds feature codes among digits.
//!
//! Invariants: locks are taken in one order, the bridge's and then one leg's; never two legs' at once, and whoever
//! holds a leg's takes no bridge's. What is relayed wakes no flow. A bridge relays one offer at a time, and an order for a leg stands in its outbox before
//! the next piece of news is heard, so that news and orders of one leg keep their order. A leg that is not bridged
//! pays one pointer.

mod join;
mod offers;
mod orders;
mod tap;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use callbox_sip::endpoint::{InDialogRequest, Reason, RequestId};
use callbox_sip::message::{Message, Method};

use super::command::Command;
use super::ending;
use super::error::CallError;
use super::events::EventKind;
use super::facts;
use super::leg::{LegInner, LegShared, Phase};
use super::options::BridgeOptions;
use offers::Relayed;
pub(super) use orders::Order;
pub(super) use tap::{News, Note, tap};
use watch::Watch;

/// One of the two legs of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// What a leg keeps of the bridge that it stands in.
pub(super) struct Bridged {
    bridge: Arc<Bridge>,
    side: Side,
    /// The endpoint asks about the peer's offers, so that none is answered behind the bridge's back.
    armed: bool,
    /// A relayed offer is under way, and the leg is `reoffering` for it.
    busy: bool,
    /// The relayed offer that the leg's endpoint has.
    sent: Option<RequestId>,
}

impl Bridged {
    /// Whether the bridge wants the peer's offers, so that neither the endpoint nor the flow decides about them.
    pub(super) fn takes_offers(&self) -> bool {
        self.bridge.options.relay_offers
    }

    /// Whether a relayed offer is under way on this leg.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The leg has ended. No leg may be locked.
    pub(super) fn left(self, reason: Option<Reason>) {
        Note {
            bridge: self.bridge,
            side: self.side,
            news: News::Ended(reason),
        }
        .deliver();
    }
}

/// What stands between two legs.
pub(super) struct Bridge {
    a: Weak<LegShared>,
    b: Weak<LegShared>,
    options: BridgeOptions,
    /// For the pause between two digits.
    runtime: Option<tokio::runtime::Handle>,
    /// INFO and MESSAGE are the bridge's. Only a hint: what it decides under its lock counts.
    relaying: AtomicBool,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    offer: Option<Relayed>,
    watch_a: Watch,
    watch_b: Watch,
}

/// How far a bridge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The offers that joining needs are under way; nothing is relayed yet.
    Joining,
    Joined,
    /// Parted, but an offer that was being relayed is not over.
    Parting,
    /// Neither leg knows the bridge any more.
    Parted,
}

impl Bridge {
    fn new(a: &Arc<LegShared>, b: &Arc<LegShared>, options: &BridgeOptions) -> Arc<Self> {
        Arc::new(Self {
            a: Arc::downgrade(a),
            b: Arc::downgrade(b),
            options: options.clone(),
            runtime: tokio::runtime::Handle::try_current().ok(),
            relaying: AtomicBool::new(false),
            state: Mutex::new(State {
                stage: Stage::Joining,
                offer: None,
                watch_a: Watch::default(),
                watch_b: Watch::default(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain data, each step of which is valid on its own.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears what one leg's shard, or its flow, has to tell.
    fn hear(self: &Arc<Self>, side: Side, news: News) {
        let mut state = self.lock();
        match news {
            News::Offer(offer) => self.offered(&mut state, side, offer),
            News::OfferWithdrawn(id) => self.withdrawn(&mut state, side, id),
            News::Settled(outcome) => self.settled(&mut state, side, outcome),
            News::TimedOut => self.timed_out(&mut state, side),
            News::NotSent(why) => self.not_sent(&mut state, side, why),
            News::Confirmed(body) => self.confirmed(&mut state, side, body),
            News::Info(request) => self.info(&mut state, side, &request),
            News::Message(request) => self.pass(side.other(), Method::Message, &request),
            News::Ended(reason) => self.ended(&mut state, side, reason),
        }
    }

    /// Runs `act` on a leg, if it is still there.
    fn with<T>(&self, side: Side, act: impl FnOnce(&Arc<LegShared>, &mut LegInner) -> T) -> Option<T> {
        let leg = match side {
            Side::A => self.a.upgrade(),
            Side::B => self.b.upgrade(),
        }?;
        let mut inner = leg.lock();
        Some(act(&leg, &mut inner))
    }

    /// Leaves an order for the shard of a leg. One offer is relayed at a time, so a few stand there at most.
    fn order(&self, side: Side, order: Order) {
        self.with(side, |leg, inner| leg.push_at_once(inner, Command::Bridge(order)));
    }

    /// Makes a leg `reoffering` for a relayed offer, unless something else is under way there.
    fn claim(&self, side: Side) -> bool {
        let claimed = self.with(side, |_, inner| {
            let free = inner.phase == Phase::Connected;
            if let Some(bridged) = inner.bridge.as_mut().filter(|_| free) {
                bridged.busy = true;
                inner.phase = Phase::Reoffering;
                return true;
            }
            false
        });
        claimed.unwrap_or(false)
    }

    /// The opposite of [`Bridge::claim`]; does nothing on a leg that was not claimed.
    fn release(&self, side: Side) {
        self.with(side, |_, inner| {
            if let Some(bridged) = &mut inner.bridge {
                bridged.busy = false;
            }
            inner.offers_settled();
        });
    }

    /// Sends a request of one peer to the other: its body, for its headers belong to its dialog.
    fn pass(&self, to: Side, method: Method, request: &Message) {
        let body = facts::body(request).as_ref().map(facts::to_sip_body);
        self.send(to, method, body);
    }

    fn send(&self, to: Side, method: Method, body: Option<callbox_sip::endpoint::Body>) {
        let request = Box::new(InDialogRequest {
            method,
            headers: Vec::new(),
            body,
        });
        self.with(to, |leg, inner| {
            let full = inner.outbox.len() >= leg.session.context.limits.commands_max;
            let talks = matches!(
                inner.phase,
                Phase::Connected | Phase::Reoffering | Phase::OfferedByRemote
            );
            if full || !talks {
                tracing::debug!(call = %leg.session.id, leg = leg.id, full, "request of the bridge's other side dropped");
                return;
            }
            let ticket = None;
            leg.push_at_once(inner, Command::Request { ticket, request });
        });
    }

    /// A leg has ended, by whomever.
    fn ended(self: &Arc<Self>, state: &mut State, side: Side, reason: Option<Reason>) {
        let other = side.other();
        match state.stage {
            Stage::Parted => {}
            Stage::Joined if self.options.hangup_other => {
                self.flush(state, side);
                self.relaying.store(false, Ordering::Release);
                (state.stage, state.offer) = (Stage::Parted, None);
                let leg = match other {
                    Side::A => self.a.upgrade(),
                    Side::B => self.b.upgrade(),
                };
                if let Some(leg) = leg {
                    leg.follow(reason);
                }
            }
            Stage::Joined | Stage::Parting => {
                self.flush(state, side);
                self.offers_lost(state, side);
                self.part(state);
            }
            Stage::Joining => self.part(state),
        }
    }

    /// Parts the legs: now, or when the offer that is being relayed is over.
    fn part(self: &Arc<Self>, state: &mut State) {
        self.relaying.store(false, Ordering::Release);
        if state.offer.is_some() {
            state.stage = Stage::Parting;
            return;
        }
        state.stage = Stage::Parted;
        for side in [Side::A, Side::B] {
            self.with(side, |leg, inner| {
                // The leg may stand in another bridge by now.
                if inner
                    .bridge
                    .take_if(|one| Arc::ptr_eq(&one.bridge, self))
                    .is_some()
                {
                    if self.options.relay_offers {
                        leg.tell_who_decides(inner);
                    }
                    inner.offers_settled();
                }
                leg.session.changed.notify_waiters();
            });
        }
    }

    /// The flow's `unbridge`.
    fn unbridge(self: &Arc<Self>) -> Result<(), CallError> {
        let mut state = self.lock();
        if state.stage != Stage::Joined {
            return Err(CallError::WrongState(
                "unbridge: the leg is not bridged".to_owned(),
            ));
        }
        for side in [Side::A, Side::B] {
            self.flush(&mut state, side);
        }
        self.part(&mut state);
        Ok(())
    }
}

impl LegShared {
    /// Leaves the bridge that it stands in, if it does. No leg may be locked.
    pub(super) fn leave_bridge(&self) {
        let bridge = self
            .lock()
            .bridge
            .as_ref()
            .map(|bridged| Arc::clone(&bridged.bridge));
        // One whose legs are being joined has parted them when the flow's method was dropped.
        if let Some(bridge) = bridge {
            drop(bridge.unbridge());
        }
    }

    /// The other leg of the bridge has ended: so does this one.
    fn follow(self: &Arc<Self>, reason: Option<Reason>) {
        let mut inner = self.lock();
        inner.bridge = None;
        if matches!(inner.phase, Phase::Idle | Phase::Surplus | Phase::Terminated) {
            return;
        }
        let info = ending::followed(reason.as_ref());
        self.remember(&inner, &info);
        self.push_at_once(&mut inner, Command::Hangup { reason });
        inner.phase = Phase::Terminated;
        inner.ended = Some(info.clone());
        inner.hangup_ticket = Some(self.session.post(self.id, EventKind::HungUp(info)));
        drop(inner);
        self.session.changed.notify_waiters();
    }
}
