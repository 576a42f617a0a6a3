//! Calling: the INVITE that we send, its responses but the 2xx, credentials (RFC 3261 §13.2, §22).
//!
//! Does not choose whom to call. What a 2xx brings is in [`answered`](super::answered), what an impatient host wants in
//! [`giving_up`](super::giving_up). Entry: [`Endpoint::invite`]. Invariant: one INVITE at a time, each under the next CSeq.

use std::time::Instant;

use bytes::Bytes;

use super::acknowledging::Acknowledged;
use super::incoming::ALLOW;
use super::{LegState, LegTimer};
use crate::dialog::Dialog;
use crate::endpoint::checks::{SUPPORTED_BUT_PRACK_LINE, SUPPORTED_LINE};
use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::compose::{self, RequestParts, check_body, check_headers};
use crate::endpoint::{
    Body, Destination, EndKind, Ended, Endpoint, EndpointError, Header, InviteRequest, LegEvent, LegId,
    Party, TransportFailure, face,
};
use crate::message::{Message, Method, Uri, is_field_value};

use super::login::Login;

/// The INVITE of an outbound leg, until its final response.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(super) uri: Box<[u8]>,
    /// From, To and Call-ID lines.
    head: Box<[u8]>,
    pub(super) to: Destination,
    headers: Vec<Header>,
    pub(super) body: Option<Body>,
    seq: u32,
    /// How often it was sent with credentials.
    tries: u8,
    /// Its client transaction.
    pub(super) client: u32,
    /// Early dialogs, one a fork.
    pub(crate) early: Vec<Dialog>,
    /// The CANCEL was sent.
    pub(super) cancel_sent: bool,
    /// Lines that the CANCEL carries.
    pub(super) cancel_lines: Box<[u8]>,
    /// Reliable provisional responses, by early dialog.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// How often a PRACK was sent with credentials.
    pub(super) prack_tries: u8,
}

impl Endpoint {
    /// Places a call.
    ///
    /// # Errors
    /// [`EndpointError::Invalid`] when something in it cannot be sent, [`EndpointError::Limit`] when too much is alive.
    pub fn invite(&mut self, now: Instant, request: InviteRequest) -> Result<LegId, EndpointError> {
        let limits = &self.config.limits;
        check_headers(&request.headers, false, limits.message.max_value)?;
        check_body(request.body.as_ref(), limits.body_max)?;
        check_uri(&request.uri)?;
        if let Some(to) = &request.to {
            check_uri_text(to)?;
        }
        if self.live_legs >= limits.legs_max {
            return Err(EndpointError::Limit("legs_max"));
        }
        if self.transactions() >= limits.transactions_max {
            return Err(EndpointError::Limit("transactions_max"));
        }
        let to = match request.next_hop {
            Some(to) => to,
            None => self
                .destination_of(request.uri.as_bytes(), None)
                .ok_or_else(|| EndpointError::Invalid(format!("{} leads nowhere", request.uri)))?,
        };
        let tag = self.random.token();
        let call_id = self.fresh_call_id();
        let mut head = Vec::with_capacity(256);
        self.write_from(&mut head, &request.from, &to, &tag)?;
        head.extend_from_slice(b"To: <");
        head.extend_from_slice(request.to.as_deref().unwrap_or(&request.uri).as_bytes());
        head.extend_from_slice(b">\r\nCall-ID: ");
        head.extend_from_slice(&call_id);
        head.extend_from_slice(b"\r\n");

        let id = self.open_leg(LegState::Calling, tag);
        let outgoing = Outgoing {
            uri: request.uri.into_bytes().into(),
            head: head.into(),
            to,
            headers: request.headers,
            body: request.body,
            seq: 0,
            tries: 0,
            client: u32::MAX,
            early: Vec::new(),
            cancel_sent: false,
            cancel_lines: Box::default(),
            acknowledged: Vec::new(),
            prack_tries: 0,
        };
        let login = Login::new(request.credentials);
        let session_timer = self.session_proposed();
        if let Some(leg) = self.leg_mut(id) {
            leg.outgoing = Some(Box::new(outgoing));
            leg.contact_user = request.contact_user;
            leg.credentials = login.map(Box::new);
            leg.session_timer = session_timer;
        }
        self.set_leg_timer(now, id, LegTimer::InviteDeadline, request.timeout);
        self.send_invite(now, id);
        Ok(id)
    }

    /// Call-ID of the INVITE of a call that was placed and is not answered yet.
    #[must_use]
    pub fn invited_as(&self, leg: LegId) -> Option<&[u8]> {
        const NAME: &[u8] = b"Call-ID: ";
        let head = &self.leg(leg)?.outgoing.as_ref()?.head;
        let line = head
            .split(|byte| *byte == b'\n')
            .find(|line| line.starts_with(NAME))?;
        line.get(NAME.len()..).map(<[u8]>::trim_ascii)
    }

    pub(crate) fn write_from(
        &self,
        out: &mut Vec<u8>,
        from: &crate::endpoint::PartyAddress,
        to: &Destination,
        tag: &[u8],
    ) -> Result<(), EndpointError> {
        out.extend_from_slice(b"From: ");
        if let Some(display) = &from.display {
            if !is_field_value(display.as_bytes()) {
                return Err(EndpointError::Invalid(
                    "display name has control characters".into(),
                ));
            }
            out.push(b'"');
            for byte in display.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.extend_from_slice(b"\" ");
        }
        out.extend_from_slice(b"<sip:");
        if let Some(user) = &from.user {
            face::write_user(out, user);
            out.push(b'@');
        }
        match &from.host {
            Some(host) => {
                check_uri(&format!("sip:{host}"))?;
                out.extend_from_slice(host.as_bytes());
            }
            None => {
                let face = self.faces.toward(to).and_then(|index| self.faces.get(index));
                face::write_host_port(out, face, None);
            }
        }
        out.extend_from_slice(b">;tag=");
        out.extend_from_slice(tag);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Sends the INVITE, or sends it again with credentials: each time a new transaction and the next CSeq.
    fn send_invite(&mut self, now: Instant, id: LegId) {
        let branch = self.random.token();
        let cnonce = self.random.token();
        let mut lines = Vec::with_capacity(512);
        let Some(leg) = self.leg(id) else { return };
        let Some(outgoing) = leg.outgoing.as_ref() else {
            return;
        };
        self.write_via(&mut lines, &outgoing.to, &branch);
        lines.extend_from_slice(&outgoing.head);
        let face = self
            .faces
            .toward(&outgoing.to)
            .and_then(|index| self.faces.get(index));
        lines.extend_from_slice(b"Contact: ");
        face::write_contact(
            &mut lines,
            leg.contact_user.as_deref(),
            face,
            None,
            face::ContactWay::toward(&outgoing.uri, outgoing.to.protocol()),
        );
        lines.extend_from_slice(b"\r\nAllow: ");
        lines.extend_from_slice(ALLOW.as_bytes());
        lines.extend_from_slice(b"\r\n");
        // A reliable 1xx to an INVITE without offer would hold one, and its answer in the PRACK binds before the call is
        // answered: who wants our offer first gets it with the 2xx.
        lines.extend_from_slice(if outgoing.body.is_some() {
            SUPPORTED_LINE
        } else {
            SUPPORTED_BUT_PRACK_LINE
        });
        Self::write_session_proposal(leg.session_timer.as_deref(), &mut lines);
        lines.extend_from_slice(&self.agent_line);
        let Some(leg) = self.leg_mut(id) else { return };
        let (Some(outgoing), login) = (leg.outgoing.as_mut(), leg.credentials.as_mut()) else {
            return;
        };
        if let Some(login) = login {
            let body = outgoing
                .body
                .as_ref()
                .map(|body| &body.data[..])
                .unwrap_or_default();
            login.write_lines(&Method::Invite, &outgoing.uri, body, &cnonce, &mut lines);
        }
        outgoing.seq += 1;
        let (uri, seq, to) = (outgoing.uri.clone(), outgoing.seq, outgoing.to.clone());
        let (headers, body) = (std::mem::take(&mut outgoing.headers), outgoing.body.clone());
        let parts = RequestParts {
            method: "INVITE",
            uri: &uri,
            lines: &lines,
            seq,
            headers: &headers,
            body: body.as_ref(),
        };
        let request = compose::request(&mut self.scratch, &parts);
        let key = self.client_key(&branch, "INVITE");
        let user = ClientUser::Invite(id);
        let client = self.open_client(
            now,
            NewClient {
                key,
                branch,
                request,
                to,
                alternate: None,
                user,
                invite: true,
            },
        );
        if let Some(outgoing) = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut()) {
            outgoing.client = client;
            outgoing.headers = headers;
        }
    }

    fn send_invite_again(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        leg.early_session = false;
        if let Some(outgoing) = leg.outgoing.as_mut() {
            outgoing.acknowledged.clear();
            for early in std::mem::take(&mut outgoing.early) {
                self.dialog_index.remove(&early.key);
            }
        }
        self.send_invite(now, id);
    }

    /// A response to an INVITE of ours whose leg is still there.
    pub(crate) fn invite_response(
        &mut self,
        now: Instant,
        client: u32,
        id: LegId,
        sent: &Bytes,
        response: Message,
    ) {
        let Some(leg) = self.leg(id) else {
            return self.orphaned_invite_response(now, client, &response);
        };
        match response.code().unwrap_or(0) {
            0..=199 => {
                let is_current = leg
                    .outgoing
                    .as_ref()
                    .is_some_and(|outgoing| outgoing.client == client);
                if is_current {
                    self.invite_progress(now, client, id, response);
                }
            }
            200..=299 => self.invite_accepted(now, client, id, response),
            _ => self.invite_refused(now, id, sent, response),
        }
    }

    fn invite_progress(&mut self, now: Instant, client: u32, id: LegId, response: Message) {
        let given_up = self.leg(id).is_some_and(|leg| leg.state == LegState::Cancelling);
        if response.code() != Some(100) {
            self.note_early_dialog(id, client, &response);
            // Also after the CANCEL: the peer repeats what has no PRACK.
            if let Some(reliable) = self.acknowledge(now, id, &response).filter(|_| !given_up) {
                self.leg_event(id, LegEvent::Progress { response, reliable });
            }
        }
        if given_up {
            self.send_cancel(now, id);
        }
    }

    fn invite_refused(&mut self, now: Instant, id: LegId, sent: &Bytes, response: Message) {
        let code = response.code().unwrap_or(0);
        let tries_max = self.config.limits.auth_tries_max;
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(outgoing) = leg.outgoing.as_mut() else {
            return;
        };
        let given_up = leg.state == LegState::Cancelling;
        let again = match code {
            _ if given_up => false,
            401 | 407 if outgoing.tries < tries_max => {
                outgoing.tries += 1;
                leg.credentials
                    .as_mut()
                    .is_some_and(|login| login.challenged(sent, &response))
            }
            422 => self.raise_session(id, &response),
            _ => false,
        };
        if again {
            return self.send_invite_again(now, id);
        }
        let phrase = response
            .status()
            .map(|line| String::from_utf8_lossy(line.reason).into_owned())
            .unwrap_or_default();
        let (by, why) = if given_up {
            (Party::Host, EndKind::Cancelled)
        } else {
            (Party::Remote, EndKind::Rejected)
        };
        let reason = super::closing::reason_of(&response);
        self.end_leg(
            id,
            Ended {
                by,
                status: Some((code, phrase)),
                reason,
                why,
                response: Some(response),
            },
        );
        self.close_leg(id);
    }

    /// The INVITE got no response, or could not be sent.
    pub(crate) fn invite_failed(&mut self, _now: Instant, id: LegId, why: Option<TransportFailure>) {
        let given_up = self.leg(id).is_some_and(|leg| leg.state == LegState::Cancelling);
        let kind = match why {
            Some(failure) => EndKind::Transport(failure),
            None if given_up => EndKind::Cancelled,
            None => EndKind::Timeout,
        };
        let by = if given_up { Party::Host } else { Party::Local };
        self.end_leg(
            id,
            Ended {
                by,
                status: None,
                reason: None,
                why: kind,
                response: None,
            },
        );
        self.close_leg(id);
    }
}

pub(crate) fn check_uri_text(uri: &str) -> Result<(), EndpointError> {
    let bad = |byte: u8| byte <= b' ' || matches!(byte, b'<' | b'>' | b'"' | 0x7f);
    if uri.bytes().any(bad) || Uri::parse(uri.as_bytes()).is_err() {
        return Err(EndpointError::Invalid(format!("{uri:?} is not a URI")));
    }
    Ok(())
}

/// A URI that can stand in a request line: sip or sips, without a headers part.
pub(crate) fn check_uri(uri: &str) -> Result<(), EndpointError> {
    check_uri_text(uri)?;
    match Uri::parse(uri.as_bytes()) {
        Ok(Uri::Sip(sip)) if sip.headers.is_none() => Ok(()),
        Ok(Uri::Sip(_)) => Err(EndpointError::Invalid(format!(
            "{uri:?} has headers, which a Request-URI may not"
        ))),
        _ => Err(EndpointError::Invalid(format!(
            "{uri:?} is not a sip or sips URI"
        ))),
    }
}
