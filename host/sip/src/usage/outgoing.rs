//! Calling: the INVITE that we send, its responses, CANCEL, forks, credentials (RFC 3261 §13.2, §9.1, §22).
//!
//! Does not choose whom to call. Entry: [`Endpoint::invite`]. Invariants: each copy of each 2xx gets an ACK, and each 2xx
//! after the first from another peer an ACK and a BYE; a leg that was given up never becomes a call.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::incoming::{ALLOW, is_sdp};
use super::{Awaiting, LegState, LegTimer};
use crate::dialog::{Dialog, LocalSequence, RemoteSequence, RouteSet, head_as_caller};
use crate::endpoint::checks::SUPPORTED_LINE;
use crate::endpoint::clients::{AckSent, ClientUser, NewClient};
use crate::endpoint::compose::{self, RequestParts, check_body, check_headers};
use crate::endpoint::{
    Body, Destination, EndKind, Ended, Endpoint, EndpointError, Header, InviteRequest, LegEvent, LegId,
    Party, Transmit, TransportFailure, face,
};
use crate::message::{Message, Method, Uri, is_field_value, reason_phrase};

use super::login::Login;

/// The INVITE of an outbound leg, until its final response.
#[derive(Debug)]
pub(crate) struct Outgoing {
    uri: Box<[u8]>,
    /// From, To and Call-ID lines.
    head: Box<[u8]>,
    to: Destination,
    headers: Vec<Header>,
    body: Option<Body>,
    seq: u32,
    /// How often it was sent with credentials.
    tries: u8,
    /// Its client transaction.
    client: u32,
    /// Early dialogs, one a fork.
    pub(crate) early: Vec<Dialog>,
    /// The CANCEL was sent.
    cancel_sent: bool,
    /// Lines that the CANCEL carries.
    cancel_lines: Box<[u8]>,
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
        };
        let login = Login::new(request.credentials);
        if let Some(leg) = self.leg_mut(id) {
            leg.outgoing = Some(Box::new(outgoing));
            leg.contact_user = request.contact_user;
            leg.credentials = login.map(Box::new);
        }
        self.set_leg_timer(now, id, LegTimer::InviteDeadline, request.timeout);
        self.send_invite(now, id);
        Ok(id)
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
            outgoing.to.protocol(),
        );
        lines.extend_from_slice(b"\r\nAllow: ");
        lines.extend_from_slice(ALLOW.as_bytes());
        lines.extend_from_slice(b"\r\n");
        lines.extend_from_slice(SUPPORTED_LINE);
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
                    self.invite_progress(now, id, response);
                }
            }
            200..=299 => self.invite_accepted(now, client, id, response),
            _ => self.invite_refused(now, id, sent, response),
        }
    }

    fn invite_progress(&mut self, now: Instant, id: LegId, response: Message) {
        if self.leg(id).is_some_and(|leg| leg.state == LegState::Cancelling) {
            return self.send_cancel(now, id);
        }
        if response.code() == Some(100) {
            return;
        }
        self.note_early_dialog(id, &response);
        self.leg_event(id, LegEvent::Progress { response });
    }

    /// Remembers the dialog of a provisional response with a tag, so that requests within it find the leg.
    fn note_early_dialog(&mut self, id: LegId, response: &Message) {
        let Some(dialog) = self.dialog_of_response(id, response) else {
            return;
        };
        let key = dialog.key;
        let forks_max = self.config.limits.forks_max;
        let Some(outgoing) = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut()) else {
            return;
        };
        if outgoing.early.iter().any(|early| early.key == key) {
            return;
        }
        let forgotten = (outgoing.early.len() >= forks_max).then(|| outgoing.early.remove(0).key);
        outgoing.early.push(dialog);
        if let Some(forgotten) = forgotten {
            self.dialog_index.remove(&forgotten);
        }
        self.dialog_index.insert(key, id);
    }

    /// The dialog that a response with a To tag makes. None without a tag.
    fn dialog_of_response(&self, id: LegId, response: &Message) -> Option<Dialog> {
        let outgoing = self.leg(id)?.outgoing.as_ref()?;
        self.dialog_as_caller(response, &outgoing.uri, &outgoing.to)
    }

    /// As caller: `uri` and `to` are those of the INVITE, used where the response names nothing better.
    fn dialog_as_caller(&self, response: &Message, uri: &[u8], to: &Destination) -> Option<Dialog> {
        let remote_tag = response.to().ok()?.tag()?;
        let local_tag = response.from().ok()?.tag().unwrap_or_default();
        let seq = response.cseq().ok()?.seq;
        let record_route = response.values(crate::message::HeaderName::RecordRoute);
        let routes = RouteSet::from_record_route(record_route, true, self.config.limits.routes_max).ok()?;
        let target: Box<[u8]> = match response.contact() {
            Ok(contact) if Uri::parse(contact.uri_raw).is_ok_and(|uri| uri.sip().is_some()) => {
                contact.uri_raw.into()
            }
            _ => uri.into(),
        };
        let hint = Some((to.protocol(), to.listener()));
        let destination = self
            .destination_hinted(routes.next_hop(&target), hint)
            .unwrap_or_else(|| to.clone());
        Some(Dialog {
            key: self
                .keys
                .dialog(response.call_id().unwrap_or_default(), local_tag, remote_tag),
            head: head_as_caller(response),
            target,
            routes,
            local_seq: LocalSequence::after(seq),
            remote_seq: RemoteSequence::new(None),
            destination,
            alternate: None,
        })
    }

    fn invite_accepted(&mut self, now: Instant, client: u32, id: LegId, response: Message) {
        let Some(leg) = self.leg(id) else { return };
        // Before the first 2xx the leg still has its `outgoing`; afterwards only copies and forks come.
        if leg.outgoing.is_none() {
            let key = self.dialog_key_of(&response);
            let awaiting = self.leg(id).is_some_and(|leg| {
                leg.state == LegState::AwaitingAnswer
                    && leg.dialog.as_ref().is_some_and(|d| Some(d.key) == key)
            });
            if !awaiting {
                self.orphaned_invite_response(now, client, &response);
            }
            return;
        }
        let Some(dialog) = self.dialog_of_response(id, &response) else {
            // No tag, or more proxies than we follow: there is no dialog to speak in.
            self.stats.strays += 1;
            let why = EndKind::Internal;
            self.end_leg(
                id,
                Ended {
                    by: Party::Local,
                    status: None,
                    reason: None,
                    why,
                    response: Some(response),
                },
            );
            return self.close_leg(id);
        };
        let key = dialog.key;
        let seq = dialog.local_seq.last();
        let ack = Awaiting { client, seq };
        self.stop_leg_timer(id, LegTimer::InviteDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        let given_up = leg.state == LegState::Cancelling;
        let Some(outgoing) = leg.outgoing.take() else {
            return;
        };
        let needs_answer = outgoing.body.is_none() && !response.body().is_empty();
        leg.local_sdp = outgoing.body.filter(|body| is_sdp(&body.content_type));
        leg.dialog = Some(Box::new(dialog));
        leg.state = if needs_answer && !given_up {
            LegState::AwaitingAnswer
        } else {
            LegState::Confirmed
        };
        for early in outgoing.early {
            self.dialog_index.remove(&early.key);
        }
        self.dialog_index.insert(key, id);
        if given_up {
            self.send_ack(id, ack, &[], None);
            let status = response.code().map(|code| (code, reason_phrase(code).to_owned()));
            let ended = Ended {
                by: Party::Host,
                status,
                reason: None,
                why: EndKind::Cancelled,
                response: None,
            };
            self.end_leg(id, ended);
            self.send_bye(now, id, b"");
        } else if needs_answer {
            if let Some(leg) = self.leg_mut(id) {
                leg.awaiting = Some(ack);
            }
            // Before the peer's own 64·T1 are over, with four T1 for the way.
            let patience = self.config.timing.t1.saturating_mul(60);
            self.set_leg_timer(now, id, LegTimer::AnswerDeadline, patience);
            self.leg_event(
                id,
                LegEvent::Answered {
                    response,
                    needs_answer: true,
                },
            );
        } else {
            self.send_ack(id, ack, &[], None);
            self.leg_event(
                id,
                LegEvent::Answered {
                    response,
                    needs_answer: false,
                },
            );
        }
    }

    /// The host answers the offer of a 2xx: the ACK carries it.
    pub(crate) fn answer_in_ack(
        &mut self,
        id: LegId,
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        check_headers(headers, false, self.config.limits.message.max_value)?;
        check_body(body.as_ref(), self.config.limits.body_max)?;
        if body.is_none() {
            return Err(EndpointError::Invalid(
                "the 2xx holds an offer: the answer needs a body".into(),
            ));
        }
        let leg = self.host_leg(id)?;
        let ack = leg
            .awaiting
            .take()
            .ok_or(EndpointError::WrongState("no offer waits for an answer"))?;
        leg.state = LegState::Confirmed;
        leg.reoffer = None;
        self.stop_leg_timer(id, LegTimer::AnswerDeadline);
        self.send_ack(id, ack, headers, body.as_ref());
        self.keep_sdp(id, body);
        Ok(())
    }

    /// The host never answered the offer of a 2xx.
    pub(crate) fn answer_missing(&mut self, now: Instant, id: LegId) {
        if self.answer_reoffer_by_default(id) {
            return;
        }
        self.send_bare_ack(id);
        self.end_leg(
            id,
            Ended {
                by: Party::Local,
                status: None,
                reason: None,
                why: EndKind::AnswerMissing,
                response: None,
            },
        );
        self.send_bye(
            now,
            id,
            b"Reason: SIP;cause=408;text=\"no answer to the offer\"\r\n",
        );
    }

    /// The ACK that a 2xx still lacks when the leg ends without an answer to its offer.
    pub(crate) fn send_bare_ack(&mut self, id: LegId) {
        self.stop_leg_timer(id, LegTimer::AnswerDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Confirmed;
        if let Some(ack) = leg.awaiting.take() {
            self.send_ack(id, ack, &[], None);
        }
    }

    /// Sends the ACK for a 2xx to an INVITE of ours.
    pub(crate) fn send_ack(&mut self, id: LegId, ack: Awaiting, headers: &[Header], body: Option<&Body>) {
        let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.take()) else {
            return;
        };
        self.send_dialog_ack(ack, &dialog, headers, body);
        if let Some(leg) = self.leg_mut(id) {
            leg.dialog = Some(dialog);
        }
    }

    /// Sends the ACK for a 2xx and keeps it for copies of that 2xx, as long as the INVITE's transaction lives.
    fn send_dialog_ack(&mut self, ack: Awaiting, dialog: &Dialog, headers: &[Header], body: Option<&Body>) {
        let branch = self.random.token();
        let bytes = self.compose_in_dialog(dialog, "ACK", ack.seq, &branch, b"", headers, body);
        let to = dialog.destination.clone();
        self.transmit(Transmit {
            to: to.clone(),
            payload: bytes.clone(),
            token: None,
        });
        let forks_max = self.config.limits.forks_max;
        if let Some(transaction) = self.clients.get_mut(ack.client as usize)
            && transaction.acks.len() <= forks_max
        {
            transaction.acks.push(AckSent {
                dialog: dialog.key,
                bytes,
                to,
            });
        }
    }

    fn dialog_key_of(&self, response: &Message) -> Option<u128> {
        let remote_tag = response.to().ok()?.tag()?;
        let local_tag = response.from().ok()?.tag().unwrap_or_default();
        Some(
            self.keys
                .dialog(response.call_id().unwrap_or_default(), local_tag, remote_tag),
        )
    }

    /// A 2xx that no leg waits for: a copy (the ACK goes out again) or another fork (ACK and BYE).
    pub(crate) fn orphaned_invite_response(&mut self, now: Instant, client: u32, response: &Message) {
        if !response.code().is_some_and(|code| (200..=299).contains(&code)) {
            return;
        }
        let Some(key) = self.dialog_key_of(response) else {
            self.stats.strays += 1;
            return;
        };
        let Some(transaction) = self.clients.get(client as usize) else {
            return;
        };
        if let Some(ack) = transaction.acks.iter().find(|ack| ack.dialog == key) {
            let transmit = Transmit {
                to: ack.to.clone(),
                payload: ack.bytes.clone(),
                token: None,
            };
            self.stats.retransmitted += 1;
            return self.transmit(transmit);
        }
        let to = transaction.to.clone();
        let uri: Box<[u8]> = transaction
            .request
            .split(|byte| *byte == b' ')
            .nth(1)
            .unwrap_or_default()
            .into();
        let Some(mut dialog) = self.dialog_as_caller(response, &uri, &to) else {
            return;
        };
        let seq = dialog.local_seq.last();
        self.send_dialog_ack(Awaiting { client, seq }, &dialog, &[], None);
        let branch = self.random.token();
        let Some(seq) = dialog.local_seq.next() else {
            return;
        };
        let request = self.compose_in_dialog(&dialog, "BYE", seq, &branch, b"", &[], None);
        let key = self.client_key(&branch, "BYE");
        let (to, user) = (dialog.destination, ClientUser::Nobody);
        self.open_client(
            now,
            NewClient {
                key,
                branch,
                request,
                to,
                alternate: None,
                user,
                invite: false,
            },
        );
    }

    fn invite_refused(&mut self, now: Instant, id: LegId, sent: &Bytes, response: Message) {
        let code = response.code().unwrap_or(0);
        let tries_max = self.config.limits.auth_tries_max;
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(outgoing) = leg.outgoing.as_mut() else {
            return;
        };
        let given_up = leg.state == LegState::Cancelling;
        if matches!(code, 401 | 407)
            && !given_up
            && outgoing.tries < tries_max
            && leg
                .credentials
                .as_mut()
                .is_some_and(|login| login.challenged(sent, &response))
        {
            outgoing.tries += 1;
            for early in std::mem::take(&mut outgoing.early) {
                self.dialog_index.remove(&early.key);
            }
            return self.send_invite(now, id);
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

    /// The host's time is up, or the peer is silent after our CANCEL.
    pub(crate) fn invite_deadline(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        match leg.state {
            LegState::Calling => {
                self.give_up(now, id, b"Reason: SIP;cause=408;text=\"no answer in time\"\r\n");
                let ended = Ended {
                    by: Party::Local,
                    status: None,
                    reason: None,
                    why: EndKind::Timeout,
                    response: None,
                };
                self.end_leg(id, ended);
            }
            LegState::Cancelling => {
                if let Some(client) = leg.outgoing.as_ref().map(|outgoing| outgoing.client) {
                    self.close_client(client);
                }
                let ended = Ended {
                    by: Party::Host,
                    status: None,
                    reason: None,
                    why: EndKind::Cancelled,
                    response: None,
                };
                self.end_leg(id, ended);
                self.close_leg(id);
            }
            _ => {}
        }
    }

    /// Wants out of an unanswered outbound call: CANCEL now, or with the first provisional response (RFC 3261 §9.1).
    pub(crate) fn give_up(&mut self, now: Instant, id: LegId, lines: &[u8]) {
        self.stop_leg_timer(id, LegTimer::InviteDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Cancelling;
        let Some(outgoing) = leg.outgoing.as_mut() else {
            return;
        };
        outgoing.cancel_lines = lines.into();
        let client = outgoing.client;
        if self
            .clients
            .get(client as usize)
            .is_some_and(|transaction| transaction.is_proceeding_invite())
        {
            self.send_cancel(now, id);
        }
    }

    fn send_cancel(&mut self, now: Instant, id: LegId) {
        let Some(outgoing) = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut()) else {
            return;
        };
        if std::mem::replace(&mut outgoing.cancel_sent, true) {
            return;
        }
        let (client, lines) = (outgoing.client, std::mem::take(&mut outgoing.cancel_lines));
        if !self.cancel_client(now, client, &lines) {
            return;
        }
        let patience: Duration = self.config.timing.sixty_four_t1();
        self.set_leg_timer(now, id, LegTimer::InviteDeadline, patience);
    }

    /// Sends CANCEL for an INVITE. False when its transaction is gone.
    pub(crate) fn cancel_client(&mut self, now: Instant, client: u32, lines: &[u8]) -> bool {
        let Some(transaction) = self.clients.get(client as usize) else {
            return false;
        };
        let request = compose::derived(&mut self.scratch, &transaction.request, "CANCEL", None, lines);
        let (to, branch) = (transaction.to.clone(), transaction.branch);
        let key = self.client_key(&branch, "CANCEL");
        let user = ClientUser::Nobody;
        self.open_client(
            now,
            NewClient {
                key,
                branch,
                request,
                to,
                alternate: None,
                user,
                invite: false,
            },
        );
        true
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
