//! What a bridged leg's events mean to its bridge.
//!
//! Runs on the shard's thread under the leg's lock, so it only takes and wraps; [`Note::deliver`] follows when the lock is
//! free.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callbox_sip::endpoint::{LegEvent, PeerRequestId, Reason, Reoffered, RequestId};
use callbox_sip::message::{Message, Method};

use super::offers::{PeerOffered, Unsent};
use super::{Bridge, Order, Side};
use crate::call::command::Command;
use crate::call::facts;
use crate::call::leg::{LegInner, LegShared, Pending};
use crate::call::text::Body;

/// What a bridge hears of one of its legs.
pub(in crate::call) enum News {
    /// The peer's re-INVITE or UPDATE, undecided.
    Offer(PeerOffered),
    /// It is gone: cancelled, or the time for it is over.
    OfferWithdrawn(PeerRequestId),
    /// How a relayed offer ended.
    Settled(Reoffered),
    /// A relayed offer has no answer in time; its end follows.
    TimedOut,
    /// A relayed offer was not sent.
    NotSent(Unsent),
    /// The ACK of our 2xx, with the peer's answer where it owed one.
    Confirmed(Option<Body>),
    /// An INFO, answered.
    Info(Message),
    /// A MESSAGE, answered.
    Message(Message),
    /// The leg is over.
    Ended(Option<Reason>),
}

/// News with its addressee.
pub(in crate::call) struct Note {
    pub(super) bridge: Arc<Bridge>,
    pub(super) side: Side,
    pub(super) news: News,
}

impl Note {
    /// Tells the bridge. No leg may be locked.
    pub(in crate::call) fn deliver(self) {
        self.bridge.hear(self.side, self.news);
    }
}

/// Takes from a leg's event what is its bridge's. The event comes back where the leg itself must know it too.
pub(in crate::call) fn tap(
    leg: &Arc<LegShared>,
    inner: &mut LegInner,
    event: LegEvent,
) -> (Option<LegEvent>, Option<Note>) {
    let Some(bridged) = &mut inner.bridge else {
        return (unbridged(leg, inner, event), None);
    };
    let (bridge, side) = (Arc::clone(&bridged.bridge), bridged.side);
    let options = &bridge.options;
    let takes_requests = options.relay_info && bridge.relaying.load(Ordering::Acquire);
    let (event, news) = match event {
        LegEvent::Offer {
            request,
            decide: Some(id),
        } if options.relay_offers => {
            let offer = PeerOffered {
                id,
                body: facts::body(&request),
                update: request.method() == Some(&Method::Update),
            };
            (None, Some(News::Offer(offer)))
        }
        LegEvent::OfferWithdrawn { offer } if options.relay_offers => {
            (None, Some(News::OfferWithdrawn(offer)))
        }
        LegEvent::Reoffered { request, outcome } if bridged.sent == Some(request) => {
            bridged.sent = None;
            (None, Some(News::Settled(outcome)))
        }
        LegEvent::ReofferTimedOut { request } if bridged.sent == Some(request) => {
            (None, Some(News::TimedOut))
        }
        LegEvent::Confirmed { body } => {
            let news = News::Confirmed(body.as_ref().map(facts::received_body));
            (Some(LegEvent::Confirmed { body }), Some(news))
        }
        LegEvent::Info { request } if takes_requests => (None, Some(News::Info(request))),
        LegEvent::Message { request } if takes_requests => (None, Some(News::Message(request))),
        // To a request that the bridge has passed on: nobody waits for it.
        LegEvent::Response { request, .. } if !inner.requests.iter().any(|one| is_to(one, request)) => {
            (None, None)
        }
        LegEvent::Ended(ended) => {
            inner.bridge = None;
            let news = News::Ended(ended.reason.clone());
            (Some(LegEvent::Ended(ended)), Some(news))
        }
        other => (Some(other), None),
    };
    (event, news.map(|news| Note { bridge, side, news }))
}

fn is_to((_, state): &(u64, Pending), request: RequestId) -> bool {
    matches!(state, Pending::Waiting(Some(of)) if *of == request)
}

/// An offer that the endpoint asked about for a bridge that is no more gets what the host answers by itself.
fn unbridged(leg: &Arc<LegShared>, inner: &mut LegInner, event: LegEvent) -> Option<LegEvent> {
    match event {
        LegEvent::Offer {
            request,
            decide: Some(offer),
        } if !inner.decides_offers => {
            leg.push_at_once(inner, Command::Bridge(Order::Accept { offer, body: None }));
            Some(LegEvent::Offer {
                request,
                decide: None,
            })
        }
        other => Some(other),
    }
}
