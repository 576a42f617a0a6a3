//! The peer's REFER: it asks this side to call somebody else, and the flow decides (RFC 3515).
//!
//! It places no call: the flow does with legs of its own, under the tenant's dial rules as for any other call. Entry
//! type: [`Referral`]. Invariants: a REFER that nobody decides is refused with 603, whether its event was dropped unread,
//! lost in a full mailbox, or let go by the flow; the last report of one says that no more will follow.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use callbox_sip::endpoint::{Endpoint, LegId, PeerRequestId};
use callbox_sip::message::{HeaderName, Message, NameAddr, Uri};

use super::command::{Command, ReferralCommand, Scheduled};
use super::error::{CallError, Status};
use super::events::EventKind;
use super::exchange::ShardQueue;
use super::facts::lossy;
use super::leg::{LegInner, LegShared, Phase};
use super::text;
use crate::config::Capability;
use crate::pii::Pii;

/// What a REFER gets that nobody decides.
const UNDECIDED: u16 = 603;

/// A REFER of the peer's. Dropping it undecided declines it; dropping it accepted ends the reports.
pub struct Referral {
    leg: Weak<LegShared>,
    shard: Arc<ShardQueue>,
    id: PeerRequestId,
    target: String,
    replaces: Option<String>,
    referred_by: Option<String>,
    /// Nothing is left to be told to the peer.
    settled: AtomicBool,
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, target, .. } = self;
        write!(f, "Referral({id:?}, {target:?})")
    }
}

/// A REFER of the peer's that is not over.
pub(super) struct Pending {
    id: PeerRequestId,
    /// Its event in the mailbox.
    ticket: u64,
    accepted: bool,
}

impl Referral {
    /// Whom the peer wants called: the URI of Refer-To without its headers.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The Replaces header within that URI: an attended transfer (RFC 3891).
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    /// Referred-By (RFC 3892).
    #[must_use]
    pub fn referred_by(&self) -> Option<&str> {
        self.referred_by.as_deref()
    }

    /// 202, and a first NOTIFY of 100.
    ///
    /// # Errors
    /// `WrongState` when it is decided or the time for that is over, `Hangup`.
    pub fn accept(&self) -> Result<(), CallError> {
        let leg = self.leg()?;
        leg.session.require(Capability::Transfer)?;
        let mut inner = leg.lock();
        inner.undecided(self.id, "acceptance of a REFER")?.accepted = true;
        // One a REFER, so the bound of the outbox need not hold it up.
        let command = ReferralCommand::Accept { refer: self.id };
        leg.push(&mut inner, Command::Referral(command));
        Ok(())
    }

    /// Refuses it with 400..=699.
    ///
    /// # Errors
    /// As [`Referral::accept`]; `Invalid` for another code.
    pub fn reject(&self, code: u16) -> Result<(), CallError> {
        let leg = self.leg()?;
        let mut inner = leg.lock();
        inner.undecided(self.id, "rejection of a REFER")?;
        if !(400..=699).contains(&code) {
            return Err(CallError::invalid(format!(
                "a REFER is rejected with 400 to 699, not {code}"
            )));
        }
        inner.forget_referral(self.id);
        self.settled.store(true, Ordering::Relaxed);
        let command = ReferralCommand::Reject { refer: self.id, code };
        leg.push(&mut inner, Command::Referral(command));
        Ok(())
    }

    /// Tells the peer how the call goes that it asked for. A final status is the last report.
    ///
    /// # Errors
    /// `WrongState` when it was not accepted or a final status was reported, `Invalid` for a status that is none,
    /// `Hangup`, `Denied(Limit)`.
    pub fn notify(&self, status: &Status) -> Result<(), CallError> {
        let leg = self.leg()?;
        let mut inner = leg.lock();
        inner.require_accepted(self.id)?;
        if !(100..=699).contains(&status.code) {
            return Err(CallError::invalid(format!(
                "a report takes a status from 100 to 699, not {}",
                status.code
            )));
        }
        let reason = match status.reason.as_str() {
            "" => None,
            reason => Some(text::reason_text(reason)?.to_owned()),
        };
        let command = ReferralCommand::Notify {
            refer: self.id,
            code: status.code,
            reason,
        };
        leg.command(&mut inner, Command::Referral(command))?;
        if status.code >= 200 {
            inner.forget_referral(self.id);
            self.settled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn leg(&self) -> Result<Arc<LegShared>, CallError> {
        self.leg
            .upgrade()
            .ok_or_else(|| CallError::WrongState("a REFER on a leg that this flow has dropped".to_owned()))
    }
}

impl Drop for Referral {
    /// Takes no lock but that of the shard's list: an event may be dropped where leg and session are locked.
    fn drop(&mut self) {
        if self.settled.load(Ordering::Relaxed) {
            return;
        }
        if let Some(leg) = self.leg.upgrade() {
            let command = ReferralCommand::LetGo { refer: self.id };
            self.shard
                .schedule(Scheduled::Undecided(leg, Command::Referral(command)));
        }
    }
}

impl LegShared {
    /// The peer wants somebody called.
    pub(super) fn referred(self: &Arc<Self>, inner: &mut LegInner, request: &Message, id: PeerRequestId) {
        let (target, replaces) = match request.refer_to() {
            // The flow has hung up: the BYE on its way ends this too.
            _ if inner.phase == Phase::Terminated => return,
            Ok(Some(refer_to)) => target_of(&refer_to),
            // The endpoint has seen that it is there and readable.
            _ => return,
        };
        let referral = Referral {
            leg: Arc::downgrade(self),
            shard: Arc::clone(&inner.shard),
            id,
            target,
            replaces,
            referred_by: request.header(HeaderName::ReferredBy).map(lossy),
            settled: AtomicBool::new(false),
        };
        let ticket = self.session.post(self.id, EventKind::Refer(referral));
        inner.referrals.push(Pending {
            id,
            ticket,
            accepted: false,
        });
    }

    /// The time for a decision is over, and the peer has its refusal.
    pub(super) fn referral_withdrawn(&self, inner: &mut LegInner, id: PeerRequestId) {
        if let Some(gone) = inner.forget_referral(id) {
            // Unread, it would only mislead.
            self.forget_event(gone.ticket);
        }
    }

    /// The shard's part of the decision about a REFER, and of what follows it.
    pub(super) fn referral_on_wire(
        &self,
        inner: &mut LegInner,
        (now, endpoint): (Instant, &mut Endpoint),
        leg: LegId,
        command: ReferralCommand,
    ) {
        let done = match command {
            ReferralCommand::Accept { refer } => {
                let done = endpoint.accept_refer(now, leg, refer);
                if done.is_err() {
                    inner.forget_referral(refer);
                }
                done
            }
            ReferralCommand::Reject { refer, code } => {
                endpoint.reject_refer(now, leg, refer, code, None, &[])
            }
            ReferralCommand::Notify { refer, code, reason } => {
                endpoint.notify_refer(now, leg, refer, code, reason.as_deref())
            }
            ReferralCommand::LetGo { refer } => match inner.forget_referral(refer) {
                Some(Pending { accepted: true, .. }) => endpoint.end_refer(now, leg, refer),
                Some(_) => endpoint.reject_refer(now, leg, refer, UNDECIDED, None, &[]),
                None => Ok(()),
            },
        };
        // The time for a decision was over, or the call is: the peer has been told.
        if let Err(error) = done {
            tracing::debug!(error = %Pii::text(&error.to_string()), "decision about a REFER came too late");
        }
    }
}

impl LegInner {
    fn undecided(&mut self, id: PeerRequestId, what: &str) -> Result<&mut Pending, CallError> {
        if self.phase == Phase::Terminated {
            return Err(self.wrong_state(what));
        }
        let mut pending = self.referrals.iter_mut();
        pending
            .find(|one| one.id == id && !one.accepted)
            .ok_or_else(|| CallError::WrongState(format!("{what} that is decided or whose time is over")))
    }

    fn require_accepted(&self, id: PeerRequestId) -> Result<(), CallError> {
        const WHAT: &str = "report on a REFER";
        if self.phase == Phase::Terminated {
            return Err(self.wrong_state(WHAT));
        }
        match self.referrals.iter().any(|one| one.id == id && one.accepted) {
            true => Ok(()),
            false => Err(CallError::WrongState(format!(
                "{WHAT} that was not accepted or is over"
            ))),
        }
    }

    /// It is over: refused, told to the end, or let go.
    fn forget_referral(&mut self, id: PeerRequestId) -> Option<Pending> {
        let at = self.referrals.iter().position(|one| one.id == id)?;
        Some(self.referrals.swap_remove(at))
    }
}

/// The URI of a Refer-To without its headers, and the Replaces among them.
fn target_of(refer_to: &NameAddr<'_>) -> (String, Option<String>) {
    let whole = lossy(refer_to.uri_raw);
    match refer_to.uri() {
        Ok(Uri::Sip(uri)) => {
            let headers = uri.headers.map_or(0, |headers| headers.len() + 1);
            let bare = refer_to
                .uri_raw
                .len()
                .checked_sub(headers)
                .and_then(|end| refer_to.uri_raw.get(..end));
            let replaces = uri.header("Replaces").map(|value| lossy(&value));
            (bare.map_or(whole, lossy), replaces)
        }
        _ => (whole, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_target_is_told_without_its_headers() {
        let table = [
            ("<sip:carol@h>", "sip:carol@h", None),
            ("sip:carol@h;transport=tcp", "sip:carol@h", None),
            ("<sip:carol@h:5070;lr?Subject=x>", "sip:carol@h:5070;lr", None),
            (
                "\"C\" <sips:c@h?Accept=a&Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>",
                "sips:c@h",
                Some("a@b;to-tag=1;from-tag=2"),
            ),
            ("<tel:+4930>", "tel:+4930", None),
        ];
        for (value, target, replaces) in table {
            let address = NameAddr::parse(value.as_bytes()).unwrap();
            assert_eq!(
                target_of(&address),
                (target.to_owned(), replaces.map(str::to_owned)),
                "{value}"
            );
        }
    }
}
