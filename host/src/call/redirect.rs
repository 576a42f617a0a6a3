//! Redirections followed: after a 300, 301 or 302 to a call of ours, its Contacts are called one after the other (RFC 3261
//! §8.1.3.4).
//!
//! Works on the shard's side, so that `dial` follows as `make-call` does. Entry type: [`Redirections`]. Invariants: each
//! Contact passes the tenant's dial rules before it is called; none is called twice; what is followed and called is
//! bounded by `redirects_max` and `redirect_contacts_max`, and the whole by the attempt's time-out; a Contact brings its
//! URI and nothing else: no headers, no method.

use std::sync::Arc;
use std::time::Duration;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{EndKind, Ended, InviteRequest};
use callbox_sip::message::{Contact, Message, Uri};
use tokio::time::Instant;

use super::command::Command;
use super::error::CallError;
use super::facts;
use super::leg::{LegInner, LegShared, Phase};
use super::options::{Login, MakeCallOptions};
use super::policy::{DialGrant, DialRequest};
use super::session::SessionContext;
use super::target::DialTarget;
use crate::config::limits::{self, CallLimits};
use crate::pii::Pii;

/// What an attempt that may be redirected keeps.
pub(super) struct Redirections {
    /// The INVITE as it was sent first; URI, next hop and credentials change.
    request: InviteRequest,
    first: Fixed,
    caller: Option<(String, Option<String>)>,
    /// The login that may be used at another host.
    portable: Option<Login>,
    deadline: Instant,
    /// 3xx followed so far.
    followed: usize,
    /// What was called or will be, the first destination included.
    known: Vec<DialTarget>,
    /// What is still to be called, best first.
    waiting: Vec<DialTarget>,
}

/// What of the first destination decides about the others.
#[derive(Clone, Copy)]
pub(super) struct Fixed {
    /// The From that a registration chose stays; else each grant decides.
    pub(super) identity: bool,
    /// It went through a trunk, so that its logins are the trunk's.
    pub(super) through_trunk: bool,
}

impl Redirections {
    pub(super) fn new(
        request: &InviteRequest,
        options: &MakeCallOptions,
        first: Fixed,
        deadline: Instant,
    ) -> Self {
        Self {
            request: request.clone(),
            first,
            caller: options.caller_id.clone(),
            portable: options.credentials.portable(),
            deadline,
            followed: 0,
            known: plain(request.uri.as_bytes()).into_iter().collect(),
            waiting: Vec::new(),
        }
    }

    /// The next INVITE after this end of the one before; none when that end is the end of the attempt.
    fn next(&mut self, ended: &Ended, context: &SessionContext) -> Option<InviteRequest> {
        match (ended.status.as_ref().map(|(code, _)| *code), ended.why) {
            (_, EndKind::Timeout | EndKind::Cancelled) => return None,
            (Some(300..=302), _) => self.take_contacts(ended.response.as_ref()?, context),
            // A refusal that speaks for everybody (RFC 3261 §21.6).
            (Some(600..), _) => return None,
            _ => {}
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        while left > Duration::ZERO && !self.waiting.is_empty() {
            let target = self.waiting.remove(0);
            let granted = self.grant(&target, context);
            match granted.and_then(|grant| context.policy.dial().map(|()| grant)) {
                Ok(grant) => return Some(self.invite(&target, grant, left)),
                Err(error) => tracing::info!(
                    tenant = &*context.tenant,
                    flow = &*context.flow,
                    contact = Pii::uri(target.as_str()).shown(),
                    "redirection not followed: {}",
                    Pii::text(&error.to_string())
                ),
            }
        }
        None
    }

    /// Queues the Contacts of a 3xx in the order of their q (RFC 3261 §20.10), before what waited already: they are
    /// where the callee is found instead of the one that sent the 3xx.
    fn take_contacts(&mut self, response: &Message, context: &SessionContext) {
        let CallLimits {
            redirects_max,
            redirect_contacts_max,
            ..
        } = *context.limits;
        if self.followed >= redirects_max {
            limits::hit("limits.call.redirects_max");
            return;
        }
        self.followed += 1;
        // Who asked for a secured way gets no other (RFC 3261 §8.1.3.4).
        let secured = is_secured(&self.request.uri);
        let mut found: Vec<(u16, DialTarget)> = response
            .contacts()
            .filter_map(|contact| match contact {
                Ok(Contact::Addr(address)) => {
                    let target = plain(address.uri_raw)?;
                    Some((thousandths(address.param("q")), target))
                }
                _ => None,
            })
            .filter(|(_, target)| !secured || is_secured(target.as_str()))
            .take(redirect_contacts_max)
            .collect();
        found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        let mut at = 0;
        for (_, target) in found {
            let room = self.known.len() <= redirect_contacts_max;
            if !room {
                limits::hit("limits.call.redirect_contacts_max");
            }
            if room && !self.known.iter().any(|known| equivalent(known, &target)) {
                self.known.push(target.clone());
                self.waiting.insert(at, target);
                at += 1;
            }
        }
    }

    /// Not through the trunk of the first destination: a Contact says where to go, and only a number needs a trunk.
    fn grant(&self, target: &DialTarget, context: &SessionContext) -> Result<DialGrant, CallError> {
        context.policy.grant(&DialRequest {
            caller_user: self.caller.as_ref().map(|(user, _)| user.as_str()),
            caller_name: self.caller.as_ref().and_then(|(_, name)| name.as_deref()),
            ..DialRequest::to(target)
        })
    }

    fn invite(&self, target: &DialTarget, grant: DialGrant, left: Duration) -> InviteRequest {
        let mut request = self.request.clone();
        // Logins are for the host that was dialled: whoever redirects must not be able to have them tried elsewhere.
        if self.first.through_trunk || !same_host(&self.request.uri, target.as_str()) {
            request.credentials = self.portable.iter().map(facts::to_sip_credentials).collect();
        }
        let granted = grant.logins.iter().map(facts::to_sip_credentials);
        request.credentials.extend(granted.collect::<Vec<Credentials>>());
        if !self.first.identity {
            request.from = facts::from_of(&grant.from_user, grant.from_name, grant.from_host);
        }
        // From and To name who calls whom, and stay what they were.
        request.to.get_or_insert_with(|| self.request.uri.clone());
        request.uri = grant.uri.unwrap_or_else(|| target.as_str().to_owned());
        request.next_hop = grant.next_hop;
        request.timeout = left;
        request
    }
}

impl LegShared {
    /// Calls the next Contact, if the attempt may be redirected and there is one. True when it goes on.
    pub(super) fn redirected(self: &Arc<Self>, inner: &mut LegInner, ended: &Ended) -> bool {
        let Some(redirections) = inner.redirections.as_mut() else {
            return false;
        };
        let Some(request) = redirections.next(ended, &self.session.context) else {
            inner.redirections = None;
            return false;
        };
        tracing::debug!(
            call = self.session.id,
            to = Pii::uri(&request.uri).shown(),
            "redirected"
        );
        inner.facts.redirected(request.uri.clone());
        inner.phase = Phase::RingingOut;
        inner.remote_body = None;
        let attempt = inner.attempt;
        self.push(
            inner,
            Command::Invite {
                attempt,
                request: Box::new(request),
            },
        );
        true
    }
}

/// The URI of a Contact without what would add to our request (RFC 3261 §19.1.5).
fn plain(uri: &[u8]) -> Option<DialTarget> {
    let uri = std::str::from_utf8(uri).ok()?;
    let uri = match Uri::parse(uri.as_bytes()) {
        // The headers are the end of a SIP URI; a user part may hold a question mark, too.
        Ok(Uri::Sip(sip)) => match sip.headers {
            Some(headers) => uri.get(..uri.len().checked_sub(headers.len() + 1)?)?,
            None => uri,
        },
        _ => uri,
    };
    DialTarget::parse_as("contact", uri).ok()
}

fn is_secured(uri: &str) -> bool {
    uri.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

fn equivalent(a: &DialTarget, b: &DialTarget) -> bool {
    match (
        Uri::parse(a.as_str().as_bytes()),
        Uri::parse(b.as_str().as_bytes()),
    ) {
        (Ok(a), Ok(b)) => a.equivalent(&b),
        _ => false,
    }
}

fn same_host(a: &str, b: &str) -> bool {
    match (Uri::parse(a.as_bytes()), Uri::parse(b.as_bytes())) {
        (Ok(Uri::Sip(a)), Ok(Uri::Sip(b))) => a.host == b.host && !b.params.has("maddr"),
        _ => false,
    }
}

/// The q of a Contact (0–1, three decimals; RFC 3261 §25.1) in thousandths; what is missing or malformed counts as 1.
fn thousandths(q: Option<&[u8]>) -> u16 {
    const ONE: u16 = 1_000;
    let text = q.and_then(|q| std::str::from_utf8(q).ok()).unwrap_or("1");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole != "0" || decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return ONE;
    }
    format!("{decimals:0<3}").parse().unwrap_or(ONE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_contact_brings_its_uri_and_nothing_else() {
        let uri = |text: &str| plain(text.as_bytes()).map(|target| target.as_str().to_owned());
        assert_eq!(
            uri("sip:b@h;user=phone?Subject=x&Route=y").unwrap(),
            "sip:b@h;user=phone"
        );
        assert_eq!(uri("sip:b?c@h?X=1").unwrap(), "sip:b?c@h");
        assert_eq!(uri("sip:b@h;method=BYE"), None);
        assert_eq!(uri("mailto:b@h"), None);
        assert_eq!(uri("tel:+4930").unwrap(), "tel:+4930");
    }

    #[test]
    fn the_order_is_that_of_q() {
        let of = |q: &str| thousandths(Some(q.as_bytes()));
        assert_eq!((of("0.5"), of("0.05"), of("0"), of("1.0")), (500, 50, 0, 1_000));
        assert_eq!(
            (thousandths(None), of("x"), of("0.1234"), of("-1")),
            (1_000, 1_000, 1_000, 1_000)
        );
    }
}
