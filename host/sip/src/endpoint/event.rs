//! What the host hears about its calls.
//!
//! Plain data. Entry type: [`Event`]. Invariant: each leg gets exactly one [`LegEvent::Ended`], and nothing after it.

use super::address::Path;
use super::output::TransportFailure;
use super::registration::{RegistrationEvent, RegistrationId};
use super::subscription::{SubscriptionEvent, SubscriptionId};
use crate::message::Message;

/// One leg: one INVITE and the dialog that came from it. Never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub(crate) u64);

impl LegId {
    /// A number for logs and maps, unique in the life of an endpoint.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// A request that the host sent within a dialog. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// A request of the peer that waits for the host's decision. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRequestId(pub(crate) u64);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A new call. Nothing was sent yet; the endpoint sends 100 by itself when no answer comes soon.
    Incoming {
        /// The new leg.
        leg: LegId,
        /// The INVITE.
        request: Message,
        /// Where it came from.
        path: Path,
        /// It shall take the place of this call (RFC 3891): a host that answers it hangs that one up.
        replaces: Option<Replaced>,
    },
    /// Something happened on a leg.
    Leg {
        /// Which.
        leg: LegId,
        /// What.
        event: LegEvent,
    },
    /// Something happened to a registration.
    Registration {
        /// Which.
        registration: RegistrationId,
        /// What.
        event: RegistrationEvent,
    },
    /// Something happened to a subscription.
    Subscription {
        /// Which.
        subscription: SubscriptionId,
        /// What.
        event: SubscriptionEvent,
    },
}

/// The call that an INVITE with Replaces names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// A leg of this endpoint that may be replaced.
    Leg(LegId),
    /// A leg that may not. Reject the INVITE with this code, or with 481 when its caller must not know of that leg.
    Kept {
        /// Which.
        leg: LegId,
        /// 486 or 603.
        code: u16,
    },
    /// Its Call-ID belongs to the endpoint of another shard: ask that one by [`replaced`](super::Endpoint::replaced).
    Elsewhere {
        /// Which shard.
        shard: u16,
    },
    /// No call of this endpoint. Reject the INVITE with 481.
    Unknown,
}

/// What happened on a leg.
#[derive(Debug)]
pub enum LegEvent {
    /// Outbound: a provisional response other than 100.
    Progress {
        /// The 101..=199.
        response: Message,
        /// It was reliable (RFC 3262), and its PRACK is sent. Copies are not told.
        reliable: bool,
    },
    /// Inbound: the PRACK of a reliable [`progress`](super::Endpoint::progress) came.
    ProgressAcknowledged {
        /// The answer to the offer that it held.
        body: Option<super::Body>,
    },
    /// Outbound: the 2xx came. The ACK is sent already unless `needs_answer`.
    Answered {
        /// The 2xx.
        response: Message,
        /// Our INVITE had no offer, so the 2xx holds one: call [`answer`](super::Endpoint::answer).
        needs_answer: bool,
    },
    /// The ACK of our 2xx came: of the one that answered the call always, of a later one when it has a body or should have
    /// one, because the 2xx held our offer.
    Confirmed {
        /// The ACK's body, when it has one (the answer to an offer in our 2xx).
        body: Option<super::Body>,
    },
    /// An INFO came and was answered 200.
    Info {
        /// The INFO.
        request: Message,
    },
    /// A MESSAGE came and was answered 200.
    Message {
        /// The MESSAGE.
        request: Message,
    },
    /// How a [`reoffer`](super::Endpoint::reoffer) ended; exactly one for each.
    Reoffered {
        /// Which.
        request: RequestId,
        /// How.
        outcome: Reoffered,
    },
    /// The time-out of a [`reoffer`](super::Endpoint::reoffer) is over and a re-INVITE was cancelled. Its `Reoffered` still
    /// follows when the transaction ends: a 2xx that crossed the CANCEL means that the new session holds.
    ReofferTimedOut {
        /// Which.
        request: RequestId,
    },
    /// The peer's re-INVITE or UPDATE. With `decide` none it was answered with our session already.
    Offer {
        /// The request; without a body it asks for our offer (INVITE) or only renews its target (UPDATE).
        request: Message,
        /// Set after [`decide_offers`](super::Endpoint::decide_offers): call
        /// [`accept_offer`](super::Endpoint::accept_offer) or [`reject_offer`](super::Endpoint::reject_offer).
        decide: Option<PeerRequestId>,
    },
    /// An offer that waited for the host's decision no longer does: the peer cancelled it, or the time was over and it was
    /// refused (488 to an INVITE, 504 to an UPDATE).
    OfferWithdrawn {
        /// Which.
        offer: PeerRequestId,
    },
    /// The peer wants us to call somebody (RFC 3515): [`accept_refer`](super::Endpoint::accept_refer) or
    /// [`reject_refer`](super::Endpoint::reject_refer) within 10 s, or it gets 603.
    Refer {
        /// The REFER; its Refer-To was checked to be there once and to be readable.
        request: Message,
        /// Its name in these commands.
        refer: PeerRequestId,
    },
    /// A REFER that waited for the host's decision was refused: the time is over.
    ReferWithdrawn {
        /// Which.
        refer: PeerRequestId,
    },
    /// The peer tells how our [`refer`](super::Endpoint::refer) goes.
    TransferProgress {
        /// Which REFER.
        request: RequestId,
        /// The status of its sipfrag: 100..=199 on the way, else the outcome. None when it could not be read.
        status: Option<(u16, String)>,
        /// Nothing more follows: an outcome came, or the peer ended its reports.
        last: bool,
    },
    /// The final response to a request of [`request`](super::Endpoint::request) or of [`refer`](super::Endpoint::refer).
    Response {
        /// Which request.
        request: RequestId,
        /// The response, or why there is none.
        result: Result<Message, RequestFailure>,
    },
    /// The leg is dead. Exactly one, and the last event of the leg.
    Ended(Ended),
}

/// How a reoffer ended.
#[derive(Debug)]
pub enum Reoffered {
    /// The new session holds. The ACK is sent already unless `needs_answer`.
    Accepted {
        /// The 2xx.
        response: Message,
        /// The re-INVITE had no offer, so the 2xx holds one: call [`answer`](super::Endpoint::answer).
        needs_answer: bool,
    },
    /// A final response 300..=699; the old session holds.
    Rejected(Message),
    /// No final response; the old session holds, or the leg is about to end.
    Failed(RequestFailure),
}

/// Why a request within a dialog has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// No final response within 64·T1.
    #[error("no response in time")]
    Timeout,
    /// It could not be sent.
    #[error("not sent: {0}")]
    Transport(TransportFailure),
    /// The leg ended first.
    #[error("the leg ended first")]
    LegEnded,
    /// The host withdrew a reoffer that was not sent, or waited to be sent again.
    #[error("withdrawn before it was sent")]
    Withdrawn,
}

/// The end of a leg.
#[derive(Debug)]
pub struct Ended {
    /// Who ended it.
    pub by: Party,
    /// The final status, when a final response ended it (sent or received).
    pub status: Option<(u16, String)>,
    /// The Reason header of the peer's BYE, CANCEL or response (RFC 3326).
    pub reason: Option<Reason>,
    /// How it ended.
    pub why: EndKind,
    /// The final response of an outbound call that failed.
    pub response: Option<Message>,
}

/// Who ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The endpoint: a time-out or a fault.
    Local,
    /// The peer.
    Remote,
    /// The host, by a command.
    Host,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// A final response 300..=699 to the INVITE, by the peer or by [`reject`](super::Endpoint::reject).
    Rejected,
    /// CANCEL, from either side, before the answer.
    Cancelled,
    /// BYE.
    Bye,
    /// No answer in time.
    Timeout,
    /// The PRACK of our reliable provisional response never came; 504 was sent.
    PrackMissing,
    /// The ACK of our 2xx never came; BYE was sent.
    AckMissing,
    /// The 2xx held an offer that the host did not answer in time; ACK and BYE were sent.
    AnswerMissing,
    /// The session timer ran out without a refresh (RFC 4028); BYE was sent.
    SessionExpired,
    /// The INVITE could not be sent.
    Transport(TransportFailure),
    /// The peer no longer knows the dialog (481 or 408 to a request in it).
    DialogGone,
    /// An invariant broke: the endpoint dropped the call to save itself.
    Internal,
}

/// A Reason header value (RFC 3326).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, …
    pub protocol: Box<str>,
    /// The cause parameter.
    pub cause: Option<u16>,
    /// The text parameter without its quotes.
    pub text: Option<Box<str>>,
}
