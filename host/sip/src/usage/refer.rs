//! Our REFER: the peer shall call somebody else, and may tell how that goes (RFC 3515, RFC 4488).
//!
//! The subscription that a REFER makes lives and dies with the leg here: what the peer tells after the call gets 481.
//! Entry: [`Endpoint::refer`]. Invariants: each REFER gets one `Response`; nothing is told of it after `last`.

use std::time::Instant;

use super::outgoing::check_uri_text;
use crate::endpoint::compose::check_headers;
use crate::endpoint::{
    Endpoint, EndpointError, Header, InDialogRequest, LegEvent, LegId, ReferRequest, RequestId,
};
use crate::message::{HeaderName, Message, Method};

/// A REFER of ours of which the peer may tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRefer {
    request: RequestId,
    /// Its CSeq number, which `Event: refer;id=…` names.
    seq: u32,
    /// The host has heard the outcome.
    told: bool,
}

impl Endpoint {
    /// Asks the peer of a connected leg to call somebody. Whether it will comes as [`LegEvent::Response`] (2xx, usually
    /// 202), how that goes as [`LegEvent::TransferProgress`], as long as the leg lives.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`EndpointError::Limit`] when too many are not over.
    pub fn refer(
        &mut self,
        now: Instant,
        leg: LegId,
        request: ReferRequest,
    ) -> Result<RequestId, EndpointError> {
        let value_max = self.config.limits.message.max_value;
        let refers_max = self.config.limits.refers_per_leg_max;
        check_headers(&request.headers, false, value_max)?;
        let ours = |header: &Header| {
            matches!(
                HeaderName::lookup(header.name.as_bytes()),
                HeaderName::ReferTo | HeaderName::ReferredBy | HeaderName::ReferSub
            )
        };
        if let Some(header) = request.headers.iter().find(|header| ours(header)) {
            return Err(EndpointError::Invalid(format!(
                "header {} is written by the endpoint",
                header.name
            )));
        }
        let mut headers = Vec::with_capacity(request.headers.len() + 3);
        let mut add = |name: &str, value: String| {
            headers.push(Header {
                name: name.into(),
                value: value.into(),
            });
        };
        check_uri_text(&request.refer_to)?;
        add("Refer-To", format!("<{}>", request.refer_to));
        if let Some(by) = &request.referred_by {
            check_uri_text(by)?;
            add("Referred-By", format!("<{by}>"));
        }
        if !request.progress {
            add("Refer-Sub", "false".into());
        }
        check_headers(&headers, false, value_max)?;
        headers.extend(request.headers);
        if self.host_leg(leg)?.sent_refers.len() >= refers_max {
            return Err(EndpointError::Limit("refers_per_leg_max"));
        }
        let request = InDialogRequest {
            method: Method::Refer,
            headers,
            body: None,
        };
        self.send_for_host(now, leg, request)
    }

    /// A REFER went out, for the first time or again with credentials. Noted at once: a NOTIFY may overtake its response.
    pub(crate) fn refer_sent(&mut self, id: LegId, request: RequestId, seq: u32) {
        let Some(leg) = self.leg_mut(id) else { return };
        match leg.sent_refers.iter_mut().find(|refer| refer.request == request) {
            Some(refer) => refer.seq = seq,
            None => leg.sent_refers.push(SentRefer {
                request,
                seq,
                told: false,
            }),
        }
    }

    /// The final response to a request of the host, or none: a refused REFER has no progress, nor has one whose peer says
    /// `Refer-Sub: false`.
    pub(crate) fn refer_response(&mut self, id: LegId, request: RequestId, response: Option<&Message>) {
        let reports = response.is_some_and(|response| {
            response.code().is_some_and(|code| code < 300)
                && !response
                    .header(HeaderName::ReferSub)
                    .is_some_and(|value| value.eq_ignore_ascii_case(b"false"))
        });
        if let Some(leg) = self.leg_mut(id).filter(|_| !reports) {
            leg.sent_refers.retain(|refer| refer.request != request);
        }
    }

    /// A NOTIFY of the peer within the dialog.
    pub(crate) fn notify_from_peer(&mut self, now: Instant, id: LegId, server: u32, notify: &Message) {
        let lines = self.server_lines();
        let event = notify.event().filter(|event| event.is("refer"));
        let Some(leg) = self.leg_mut(id) else { return };
        let seq = event.as_ref().map(|event| event.number("id"));
        let named = match seq {
            None => None,
            // Only the first REFER of a dialog may be told of without an id (RFC 3515 §2.4.6).
            Some(None) if event.is_some_and(|event| event.params.has("id")) => None,
            Some(None) => (!leg.sent_refers.is_empty()).then_some(0),
            Some(Some(seq)) => leg.sent_refers.iter().position(|refer| refer.seq == seq),
        };
        let found = named.and_then(|index| Some((index, leg.sent_refers.get_mut(index)?)));
        let Some((index, refer)) = found else {
            return self.respond_plain(now, server, 481, &lines);
        };
        let status = sipfrag(notify.body());
        let ended = notify
            .subscription_state()
            .is_some_and(|state| state.is("terminated"));
        let last = ended || status.as_ref().is_some_and(|(code, _)| *code >= 200);
        let (request, told) = (refer.request, refer.told);
        refer.told |= last;
        if ended {
            leg.sent_refers.remove(index);
        }
        self.respond_plain(now, server, 200, &lines);
        if !told {
            self.leg_event(
                id,
                LegEvent::TransferProgress {
                    request,
                    status,
                    last,
                },
            );
        }
    }
}

/// The status line that a `message/sipfrag` body begins with.
fn sipfrag(body: &[u8]) -> Option<(u16, String)> {
    let line = body
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .find(|line| !line.is_empty())?;
    let rest = line.strip_prefix(b"SIP/2.0 ")?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let reason = String::from_utf8_lossy(reason).trim().to_owned();
    (100..=699).contains(&code).then_some((code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sipfrag_is_read_by_its_first_line() {
        type Row = (&'static [u8], Option<(u16, &'static str)>);
        let table: [Row; 8] = [
            (b"SIP/2.0 200 OK\r\n", Some((200, "OK"))),
            (b"SIP/2.0 100 Trying", Some((100, "Trying"))),
            (
                b"\r\nSIP/2.0 486 Busy Here\r\nTo: <sip:a@b>\r\n",
                Some((486, "Busy Here")),
            ),
            (b"SIP/2.0 603", Some((603, ""))),
            (b"", None),
            (b"SIP/2.0 20", None),
            (b"SIP/2.0 999 x", None),
            (b"INVITE sip:a@b SIP/2.0", None),
        ];
        for (body, want) in table {
            let want = want.map(|(code, reason)| (code, reason.to_owned()));
            assert_eq!(sipfrag(body), want, "{}", String::from_utf8_lossy(body));
        }
    }
}
