//! What a bridge has a leg's shard do. Carried out on the shard's thread under the leg's lock.

use std::sync::Arc;
use std::time::Instant;

use callbox_sip::endpoint::{Body, Endpoint, EndpointError, Header, LegId, PeerRequestId, ReofferRequest};

use super::offers::Unsent;
use super::{News, Note};
use crate::call::facts;
use crate::call::leg::{LegInner, LegShared};
use crate::call::media_addresses;
use crate::pii::Pii;

/// One order.
pub(in crate::call) enum Order {
    /// Ask about the peer's offers from now on.
    Arm,
    /// Re-INVITE or UPDATE with the other peer's offer; without one, ask for an offer.
    Offer { body: Option<Body>, update: bool },
    /// Take that back.
    Withdraw,
    /// 200 to the peer's offer; none: with the session that we sent last.
    Accept {
        offer: PeerRequestId,
        body: Option<Body>,
    },
    /// Refuse the peer's offer.
    Refuse {
        offer: PeerRequestId,
        code: u16,
        headers: Vec<Header>,
    },
    /// The ACK that owes an answer; none: with the session that we sent last.
    Answer { body: Option<Body> },
}

impl Order {
    /// Carries the order out; what the bridge must know of it comes back.
    pub(in crate::call) fn carry_out(
        self,
        leg: &LegShared,
        inner: &mut LegInner,
        (now, endpoint): (Instant, &mut Endpoint),
        id: LegId,
    ) -> Option<Note> {
        let allowed = |body: &Option<Body>| {
            let policy = &*leg.session.context.policy;
            body.as_ref()
                .is_none_or(|body| media_addresses::may_send(policy, &body.content_type, &body.data))
        };
        let done = match self {
            Order::Offer { body, .. } if !allowed(&body) => {
                let bridged = inner.bridge.as_mut()?;
                let (bridge, side) = (Arc::clone(&bridged.bridge), bridged.side);
                let news = News::NotSent(Unsent::Unfit);
                return Some(Note { bridge, side, news });
            }
            Order::Accept { offer, body } if !allowed(&body) => {
                endpoint.reject_offer(now, id, offer, 488, None, &[])
            }
            // The ACK has to go: with the session that holds.
            Order::Answer { body } if !allowed(&body) => {
                let body = inner.local_body.as_ref().map(facts::to_sip_body);
                endpoint.answer(now, id, &[], body)
            }
            Order::Arm => {
                let asked = endpoint.decide_offers(id, true);
                if let Some(bridged) = &mut inner.bridge {
                    bridged.armed = true;
                }
                leg.session.changed.notify_waiters();
                asked
            }
            Order::Offer { body, update } => {
                let bridged = inner.bridge.as_mut()?;
                let request = ReofferRequest {
                    headers: Vec::new(),
                    body,
                    update,
                    timeout: bridged.bridge.options.offer_timeout,
                };
                match endpoint.reoffer(now, id, request) {
                    Ok(sent) => {
                        bridged.sent = Some(sent);
                        Ok(())
                    }
                    Err(error) => {
                        tracing::debug!(error = %Pii::text(&error.to_string()), "relayed offer not sent");
                        let (bridge, side) = (Arc::clone(&bridged.bridge), bridged.side);
                        let news = News::NotSent(match error {
                            EndpointError::WrongState(_) => Unsent::Busy,
                            _ => Unsent::Failed,
                        });
                        return Some(Note { bridge, side, news });
                    }
                }
            }
            Order::Withdraw => {
                let sent = inner.bridge.as_ref()?.sent?;
                endpoint.withdraw_reoffer(now, id, sent)
            }
            Order::Accept { offer, body } => match endpoint.accept_offer(now, id, offer, &[], body) {
                // It cannot be sent at all, and the peer must not wait for its time-out.
                Err(EndpointError::Invalid(_)) => endpoint.reject_offer(now, id, offer, 488, None, &[]),
                other => other,
            },
            Order::Refuse { offer, code, headers } => {
                match endpoint.reject_offer(now, id, offer, code, None, &headers) {
                    // The other peer's words are not fit to be said again.
                    Err(EndpointError::Invalid(_)) => endpoint.reject_offer(now, id, offer, code, None, &[]),
                    other => other,
                }
            }
            Order::Answer { body } => {
                let body = body.or_else(|| inner.local_body.as_ref().map(facts::to_sip_body));
                endpoint.answer(now, id, &[], body)
            }
        };
        if let Err(error) = done {
            // It has crossed the end of what it is about, of which the bridge hears by itself.
            tracing::debug!(error = %Pii::text(&error.to_string()), "order of a bridge came too late");
        }
        None
    }
}
