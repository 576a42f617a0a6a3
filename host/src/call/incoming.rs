//! A call that has just come in, shown to whoever decides what answers it.
//!
//! The decision is taken on the shard's thread, so it must be quick and must not wait: look a route up, take a permit,
//! [`IncomingCall::open`] a session and hand it to the runtime of the flows; or refuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::{Header, LegId, Path, Protocol};
use callbox_sip::message::{Message, Uri};

use super::error::Party;
use super::exchange::ShardQueue;
use super::facts::{self, Facts, body, lossy, user_of};
use super::host_end::HostEnd;
use super::leg::{CallState, Direction, Leg, LegInner, LegShared, Phase};
use super::service::ServiceCall;
use super::session::{Session, SessionContext};
use super::session_id;
use super::summary::LegSummary;
use crate::unix_time::now_ms;

/// Decides what answers a call.
pub trait IncomingCalls: Send + Sync + 'static {
    /// Takes the call (by [`IncomingCall::open`] or one of its ways to a session that accepts) or refuses it. Runs on the shard's thread and must not wait.
    ///
    /// # Errors
    /// The final response that the caller gets.
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal>;

    /// Whether the call may take the place of one that a flow of this tenant holds (RFC 3891). It has named that one by its
    /// Call-ID and both tags already. Without a word on it, no.
    fn may_replace(&self, call: &IncomingCall, tenant: &str) -> bool {
        let _ = (call, tenant);
        false
    }
}

/// A final response without a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 300..=699.
    pub code: u16,
    /// Retry-After (RFC 3261 §20.33).
    pub retry_after: Option<Duration>,
    /// Contact of a 3xx: a SIP URI.
    pub contact: Option<String>,
    /// What stands in Reason (RFC 3326): the name of a limit, or words of this program's own.
    pub why: Option<&'static str>,
}

impl Refusal {
    /// A refusal without Retry-After.
    #[must_use]
    pub fn new(code: u16) -> Self {
        Self {
            code,
            retry_after: None,
            contact: None,
            why: None,
        }
    }

    /// 302 to another host.
    #[must_use]
    pub fn redirect(contact: String) -> Self {
        Self {
            contact: Some(contact),
            ..Self::new(302)
        }
    }

    /// For this reason.
    #[must_use]
    pub fn because(mut self, why: &'static str) -> Self {
        self.why = Some(why);
        self
    }

    /// 503 with Retry-After in whole seconds, rounded up.
    #[must_use]
    pub fn busy(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(503)
        }
    }

    /// 480 with Retry-After: whom the call is for has no room for it. Never a 503, which would tell the proxy before us that
    /// this whole host is out of order.
    #[must_use]
    pub fn later(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(480)
        }
    }

    pub(super) fn headers(&self) -> Vec<Header> {
        let seconds = |wait: Duration| wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let retry_after = self.retry_after.map(|wait| Header {
            name: "Retry-After".into(),
            value: seconds(wait).to_string().into(),
        });
        let contact = self.contact.as_deref().map(facts::contact_header);
        let why = self.why.map(|why| HostEnd::new(self.code, why).header());
        [retry_after, contact, why].into_iter().flatten().collect()
    }
}

/// An INVITE that waits for its decision.
pub struct IncomingCall {
    pub(super) sip: LegId,
    pub(super) request: Message,
    path: Path,
    pub(super) shard: Arc<ShardQueue>,
    pub(super) opened: Opened,
}

/// Who has the call.
pub(super) enum Opened {
    Nobody,
    /// A session of its own.
    Session(Arc<LegShared>),
    /// A session that accepts, now or later.
    Service(Arc<ServiceCall>),
}

impl IncomingCall {
    pub(super) fn new(sip: LegId, request: Message, path: Path, shard: Arc<ShardQueue>) -> Self {
        Self {
            sip,
            request,
            path,
            shard,
            opened: Opened::Nobody,
        }
    }

    /// Shows the call and returns who has it.
    pub(super) fn offer(mut self, to: &dyn IncomingCalls) -> Result<Opened, Refusal> {
        to.incoming(&mut self)?;
        match self.opened {
            // Taken by nobody: nobody would ever answer.
            Opened::Nobody => Err(Refusal::new(500)),
            opened => Ok(opened),
        }
    }

    /// Who sent the INVITE, as the socket saw it.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.path.remote
    }

    /// Address of the listener that it came to.
    #[must_use]
    pub fn listener(&self) -> SocketAddr {
        self.path.local
    }

    /// How it came.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.path.protocol
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> String {
        self.request.call_id().map(lossy).unwrap_or_default()
    }

    /// User part of the Request-URI: the number that was dialled.
    #[must_use]
    pub fn user(&self) -> String {
        self.request
            .request()
            .map(|line| user_of(line.uri))
            .unwrap_or_default()
    }

    /// Host of the Request-URI, lower case, without port.
    #[must_use]
    pub fn domain(&self) -> String {
        match self.request.request().map(|line| Uri::parse(line.uri)) {
            Some(Ok(Uri::Sip(uri))) => uri.host.to_string().to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// User part of From.
    #[must_use]
    pub fn caller(&self) -> String {
        self.request
            .from()
            .map(|from| user_of(from.uri_raw))
            .unwrap_or_default()
    }

    /// What there is to say of the call when it is refused with this status at this moment, and a name that no session has.
    #[must_use]
    pub fn refused(&self, code: u16, why: &str) -> (String, LegSummary) {
        let facts = Facts::Received(self.request.clone());
        let now = now_ms();
        let leg = LegSummary {
            leg: 1,
            direction: Direction::Inbound,
            state: CallState::Terminated,
            call_id: facts.call_id(),
            ani: facts.ani(),
            dnis: facts.dnis(),
            destination: facts.request_uri(),
            started_ms: now,
            rang_ms: None,
            answered_ms: None,
            ended_ms: Some(now),
            code: Some(code),
            ended_by: Some(Party::Host),
            q850: None,
            text: Some(why.to_owned()),
        };
        (session_id::next(), leg)
    }

    /// Opens the session that answers the call.
    pub fn open(&mut self, context: SessionContext) -> (Session, Leg) {
        let session = Session::open(session_id::next(), context, Arc::clone(&self.shard));
        let leg = session.shared.enlist_first(|id, place| {
            let mut inner = LegInner::new(Phase::RingingIn, Direction::Inbound, Arc::clone(&self.shard));
            inner.sip = Some(self.sip);
            inner.remote_body = body(&self.request);
            inner.facts = Facts::Received(self.request.clone());
            LegShared::new(id, &session.shared, inner, Some(place))
        });
        session.shared.came_in(&leg);
        self.opened = Opened::Session(Arc::clone(&leg));
        (session, Leg { shared: leg })
    }
}
