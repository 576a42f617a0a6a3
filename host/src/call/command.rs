//! What a leg asks of its shard: the messages from the flow's side to the SIP side; and who may stand in its queue.
//!
//! Each leg has a small bounded outbox; the shard empties it when it is woken. Nothing comes back but events: a flow
//! never waits for the SIP side to take a command.

use std::sync::Arc;

use callbox_sip::endpoint::{
    Body, Header, InDialogRequest, InviteRequest, LegId, PeerRequestId, Reason, ReferRequest, ReofferRequest,
};

use super::bridge;
use super::incoming::Refusal;
use super::leg::LegShared;
use super::registration::RegistrationShared;
use super::replacement::{Found, Search};
use super::subscription::SubscriptionShared;

/// An object with commands for its shard, or a last word to a call that has no object.
pub(super) enum Scheduled {
    Leg(Arc<LegShared>),
    /// What the flow left undecided, and how: it comes from where nothing may be locked, so past the leg's outbox.
    Undecided(Arc<LegShared>, Command),
    /// Another shard looks for the leg that an INVITE shall replace.
    Search(Box<Search>),
    /// What became of a search of this shard's, for the INVITE of this leg.
    Found(LegId, Found),
    Registration(Arc<RegistrationShared>),
    Subscription(Arc<SubscriptionShared>),
    /// Nobody takes this call.
    Refusal(LegId, Refusal),
    /// The leg of this attempt has given it up and gone to another shard.
    End(LegId, Option<Reason>),
}

impl From<Arc<LegShared>> for Scheduled {
    fn from(leg: Arc<LegShared>) -> Self {
        Self::Leg(leg)
    }
}

impl From<Arc<RegistrationShared>> for Scheduled {
    fn from(registration: Arc<RegistrationShared>) -> Self {
        Self::Registration(registration)
    }
}

impl From<Arc<SubscriptionShared>> for Scheduled {
    fn from(subscription: Arc<SubscriptionShared>) -> Self {
        Self::Subscription(subscription)
    }
}

pub(super) enum Command {
    Invite {
        attempt: u32,
        request: Box<InviteRequest>,
    },
    Progress {
        code: u16,
        headers: Vec<Header>,
        body: Option<Body>,
    },
    Answer {
        headers: Vec<Header>,
        body: Option<Body>,
    },
    Reject {
        code: u16,
        reason: Option<String>,
        headers: Vec<Header>,
    },
    Hangup {
        reason: Option<Reason>,
    },
    /// Ends an attempt that the leg itself has already given up and forgotten.
    Abandon {
        sip: Option<LegId>,
        reason: Option<Reason>,
    },
    Reoffer {
        request: Box<ReofferRequest>,
    },
    Refer {
        ticket: u64,
        request: Box<ReferRequest>,
    },
    /// The peer of `asker` shall take the place of this leg's host. Only this leg's endpoint can say how (Replaces), and
    /// only the asker's can send the REFER; the two may be of different shards.
    GivePlace {
        asker: Arc<LegShared>,
        ticket: u64,
        request: Box<ReferRequest>,
    },
    Request {
        ticket: Option<u64>,
        request: Box<InDialogRequest>,
    },
    /// Whether the endpoint asks about the peer's offers.
    DecideOffers {
        value: bool,
    },
    AcceptOffer {
        offer: PeerRequestId,
        headers: Vec<Header>,
        body: Option<Body>,
    },
    RejectOffer {
        offer: PeerRequestId,
        code: u16,
    },
    Referral(ReferralCommand),
    Bridge(bridge::Order),
}

/// What becomes of a REFER of the peer's.
pub(super) enum ReferralCommand {
    Accept {
        refer: PeerRequestId,
    },
    Reject {
        refer: PeerRequestId,
        code: u16,
    },
    Notify {
        refer: PeerRequestId,
        code: u16,
        reason: Option<String>,
    },
    /// Nobody holds it any more.
    LetGo {
        refer: PeerRequestId,
    },
}
