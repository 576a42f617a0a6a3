//! Why the host, and not a flow, ends a leg or refuses a call: what the peer reads in Reason (RFC 3326).
//!
//! Entry type: [`HostEnd`]. Invariant, by its type: the text is this program's own; no word of a flow's or of another peer's can
//! stand in it.

use super::facts;

/// The end of a leg by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostEnd {
    /// The final response of a call that was not answered, 400..=699, and the `cause` of the Reason in any case.
    pub code: u16,
    /// The name of a limit as the table has it, or a few words.
    pub text: &'static str,
}

impl HostEnd {
    /// The host stops: another one may take the call.
    pub const SHUTTING_DOWN: Self = Self::new(503, "the host is shutting down");
    /// The operator lets the host run empty: another one may take the call.
    pub const DRAINED: Self = Self::new(503, "the host takes no calls");
    /// The operator ended the session.
    pub const KILLED: Self = Self::new(480, "ended by the operator");
    /// The flow is no longer in the configuration.
    pub const REMOVED: Self = Self::new(480, "the flow was removed");
    /// A call has lasted as long as it may: by its flow's word or its tenant's budget.
    pub(super) const fn lasted(text: &'static str) -> Self {
        Self::new(408, text)
    }

    /// The end with this code, for this reason.
    #[must_use]
    pub const fn new(code: u16, text: &'static str) -> Self {
        Self { code, text }
    }

    pub(super) fn reason(self) -> callbox_sip::endpoint::Reason {
        facts::reason_with(Some(self.code), self.text)
    }

    /// The Reason header of a final response.
    pub(super) fn header(self) -> callbox_sip::endpoint::Header {
        facts::reason_header(&self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let header = HostEnd::SHUTTING_DOWN.header();
        assert_eq!(&*header.value, "SIP;cause=503;text=\"the host is shutting down\"");
        let reason = HostEnd::SHUTTING_DOWN.reason();
        assert_eq!((&*reason.protocol, reason.cause), ("SIP", Some(503)));
        assert_eq!(reason.text.as_deref(), Some("the host is shutting down"));
    }
}
