//! What a leg asks of its shard: the messages from the flow's side to the SIP side.
//!
//! Each leg has a small bounded outbox; the shard empties it when it is woken. Nothing comes back but events: a flow
//! never waits for the SIP side to take a command.

use callbox_sip::endpoint::{Body, Header, InDialogRequest, InviteRequest, LegId, Reason};

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
        attempt: u32,
        sip: Option<LegId>,
        reason: Option<Reason>,
    },
    Request {
        ticket: Option<u64>,
        request: Box<InDialogRequest>,
    },
}
