//! How the end of a leg, or of an attempt, is told in the contract's words (`What hangup-info says` in
//! `wit/leg-semantics.md`). It reads what the endpoint says and changes nothing.

use callbox_sip::endpoint::{EndKind, Ended, Party as SipParty, Reason};

use super::error::{CallError, HangupInfo, Party, Status};

/// Why an outbound attempt failed.
pub(super) fn failure(ended: &Ended) -> CallError {
    match (&ended.status, ended.why) {
        (_, EndKind::Timeout) => CallError::Timeout,
        (_, EndKind::Transport(why)) => CallError::Transport(why.to_string()),
        (_, EndKind::Cancelled) => CallError::Cancelled,
        (Some((code, reason)), _) => CallError::Rejected(Status {
            code: *code,
            reason: reason.to_string(),
        }),
        (None, _) => CallError::Hangup(hangup_info(ended)),
    }
}

/// The same for a record: who ended the attempt, and how.
pub(super) fn failure_info(ended: &Ended) -> HangupInfo {
    let mut info = hangup_info(ended);
    if info.text.is_none() {
        info.text = match ended.why {
            EndKind::Timeout => no_answer().text,
            EndKind::Transport(why) => Some(why.to_string()),
            _ => None,
        };
    }
    info
}

/// A call of ours that nobody answered in the time that the flow gave it.
pub(super) fn no_answer() -> HangupInfo {
    by_host("no answer in time".to_owned())
}

/// A call of ours that was not sent.
pub(super) fn not_sent(error: &CallError) -> HangupInfo {
    by_host(error.to_string())
}

fn by_host(text: String) -> HangupInfo {
    HangupInfo {
        by: Party::Host,
        status: None,
        q850: None,
        text: Some(text),
    }
}

/// A call of ours that the flow gave up, in its words.
pub(super) fn given_up(reason: Option<&Reason>) -> HangupInfo {
    HangupInfo {
        by: Party::Local,
        status: None,
        q850: reason.and_then(q850),
        text: reason
            .and_then(|reason| reason.text.as_deref())
            .map(str::to_owned),
    }
}

/// Who ended a leg, and how.
pub(super) fn hangup_info(ended: &Ended) -> HangupInfo {
    let q850 = ended.reason.as_ref().and_then(q850);
    let (code, reason) = match (&ended.status, ended.why) {
        (Some((code, reason)), _) => (Some(*code), reason.as_str()),
        (None, EndKind::AckMissing) => (Some(408), callbox_sip::message::reason_phrase(408)),
        (None, _) => (None, ""),
    };
    HangupInfo {
        by: match (ended.by, ended.why) {
            // A peer that has lost the call did not end it: the host does, on that evidence.
            (_, EndKind::DialogGone) => Party::Host,
            // What the endpoint calls its host is this layer, acting for the flow.
            (SipParty::Local, _) => Party::Host,
            (SipParty::Remote, _) => Party::Remote,
            (SipParty::Host, _) => Party::Local,
        },
        status: code.map(|code| Status {
            code,
            reason: reason.to_owned(),
        }),
        q850,
        text: words_of_the_host(ended).map(str::to_owned).or_else(|| {
            let reason = ended.reason.as_ref()?;
            reason.text.as_deref().map(str::to_owned)
        }),
    }
}

/// The end of a leg whose bridge ended it, because the other leg ended for this reason.
pub(super) fn followed(reason: Option<&Reason>) -> HangupInfo {
    let text = reason.and_then(|reason| reason.text.as_deref());
    HangupInfo {
        by: Party::Host,
        status: None,
        q850: reason.and_then(q850),
        text: Some(text.unwrap_or("the other leg of the bridge ended").to_owned()),
    }
}

fn q850(reason: &Reason) -> Option<u8> {
    let cause = reason
        .cause
        .filter(|_| reason.protocol.eq_ignore_ascii_case("Q.850"))?;
    u8::try_from(cause).ok()
}

/// What nobody but the host can say.
fn words_of_the_host(ended: &Ended) -> Option<&'static str> {
    match (ended.why, ended.by) {
        (EndKind::DialogGone, SipParty::Remote) => Some("the peer does not know the call any more"),
        (EndKind::DialogGone, _) => Some("the peer did not answer"),
        (EndKind::AckMissing, _) => Some("no ACK came"),
        (EndKind::AnswerMissing, _) => Some("the offer was not answered in time"),
        (EndKind::Internal, _) => Some("a fault of the host"),
        _ => None,
    }
}
