//! Replaces: one call takes the place of another (RFC 3891), both ways.
//!
//! Does not end the call that is replaced; the host does when it answers the new one. Entries:
//! [`Endpoint::replaced_by`] for an INVITE that comes, [`Endpoint::refer_to_replacing`] for one that the peer shall send.

use super::LegState;
use crate::dialog::Dialog;
use crate::endpoint::{Endpoint, EndpointError, LegId, Replaced, shard_of};
use crate::message::{HeaderName, Message, NameAddr, Replaces};

impl Endpoint {
    /// The call that an INVITE wants to replace; none without the header. The error is the code of a refusal.
    pub(crate) fn replaced_by(&self, invite: &Message) -> Result<Option<Replaced>, u16> {
        let count = invite.count(HeaderName::Replaces);
        if count == 0 {
            return Ok(None);
        }
        // RFC 3891 §3: more than one, or with a Join that contradicts it.
        if count > 1 || invite.count(HeaderName::Join) > 0 {
            return Err(400);
        }
        let Ok(Some(replaces)) = invite.replaces() else {
            return Err(400);
        };
        let shard = shard_of(replaces.call_id, self.config.shards);
        if shard != self.config.shard {
            return Ok(Some(Replaced::Elsewhere { shard }));
        }
        match self.replaced(&replaces) {
            Replaced::Unknown => Err(481),
            known => Ok(Some(known)),
        }
    }

    /// What a Replaces means (RFC 3891 §3), for an INVITE that came to another shard too. Never `Elsewhere`. Unknown is a call
    /// that there is not, or that rings and we are the called one; kept is one that is answered when `early-only` was asked
    /// for (486), and one that is over (603).
    #[must_use]
    pub fn replaced(&self, replaces: &Replaces<'_>) -> Replaced {
        // The recipient's point of view: to-tag is ours, from-tag the peer's.
        let key = self
            .keys
            .dialog(replaces.call_id, replaces.to_tag, replaces.from_tag);
        let found = self.dialog_index.get(&key).copied();
        let Some((id, leg)) = found.and_then(|id| Some((id, self.leg(id)?))) else {
            return Replaced::Unknown;
        };
        let kept = |code| Replaced::Kept { leg: id, code };
        match leg.state {
            _ if leg.ended => kept(603),
            LegState::Closing | LegState::Lingering | LegState::Cancelling => kept(603),
            LegState::Incoming => Replaced::Unknown,
            LegState::Calling => Replaced::Leg(id),
            _ if replaces.early_only => kept(486),
            LegState::Accepting | LegState::AwaitingAnswer | LegState::Confirmed => Replaced::Leg(id),
        }
    }

    /// The value of a Replaces header that names this leg's dialog to its peer.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the leg has no confirmed dialog.
    pub fn replaces_value(&mut self, leg: LegId) -> Result<String, EndpointError> {
        let dialog = self.answered_dialog(leg)?;
        value_of(dialog).ok_or(EndpointError::WrongState("the dialog has no tags"))
    }

    /// The Refer-To URI of an attended transfer: who calls it reaches this leg's peer and takes this leg's place.
    ///
    /// # Errors
    /// As [`replaces_value`](Self::replaces_value).
    pub fn refer_to_replacing(&mut self, leg: LegId) -> Result<String, EndpointError> {
        let value = self.replaces_value(leg)?;
        let dialog = self.answered_dialog(leg)?;
        let target = String::from_utf8_lossy(&dialog.target).into_owned();
        let joint = if target.contains('?') { '&' } else { '?' };
        Ok(format!("{target}{joint}Replaces={}", escaped(&value)))
    }

    fn answered_dialog(&mut self, leg: LegId) -> Result<&Dialog, EndpointError> {
        let leg = self.host_leg(leg)?;
        let answered = matches!(
            leg.state,
            LegState::Accepting | LegState::AwaitingAnswer | LegState::Confirmed
        );
        leg.dialog
            .as_deref()
            .filter(|_| answered)
            .ok_or(EndpointError::WrongState("the call is not connected"))
    }
}

/// From the lines of our requests: our From is the peer's local side, so our tag is its from-tag.
fn value_of(dialog: &Dialog) -> Option<String> {
    let line = |name: &str| {
        let lines = dialog.head.split(|byte| *byte == b'\n');
        let mut values = lines.filter_map(|line| line.strip_prefix(name.as_bytes()));
        values
            .next()
            .map(|value| value.strip_suffix(b"\r").unwrap_or(value))
    };
    let tag = |name: &str| NameAddr::parse(line(name)?).ok()?.tag();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    // A peer of RFC 2543 has no tag, and "0" stands for that (RFC 3891 §3).
    let remote = tag("To: ").unwrap_or(b"0");
    let (call_id, local) = (text(line("Call-ID: ")?)?, text(tag("From: ")?)?);
    Some(format!("{call_id};to-tag={};from-tag={local}", text(remote)?))
}

/// As a header value stands in a URI (RFC 3261 §25.1, `hvalue`).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
