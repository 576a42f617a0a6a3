//! Being called: the INVITE that opens a leg, and our responses (RFC 3261 §13.3).
//!
//! Does not decide whom to answer; the host does. What follows a 2xx is in [`accepting`](super::accepting). Entry:
//! [`Endpoint::open_incoming`]. Invariant: one final response.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::reliable::Reliable;
use super::{LegState, LegTimer};
use crate::dialog::{Dialog, LocalSequence, RemoteSequence, RouteSet, head_as_callee};
use crate::endpoint::checks::SUPPORTED_LINE;
use crate::endpoint::compose::{ResponseParts, check_body, check_headers, check_phrase};
use crate::endpoint::face::ContactWay;
use crate::endpoint::route::proved_way_first;
use crate::endpoint::servers::NewServer;
use crate::endpoint::{
    Body, Destination, EndKind, Ended, Endpoint, EndpointError, Event, Header, LegId, Party, Path, Replaced,
    face,
};
use crate::message::{HeaderName, Message};

/// Proxies give up on a call without a provisional response after three minutes (RFC 3261 §16.6, timer C).
const REPEAT_PROGRESS: Duration = Duration::from_secs(60);

/// Methods that we understand, as Allow lists them.
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, REFER, NOTIFY";

impl Endpoint {
    /// A checked INVITE without a To tag: a new leg.
    pub(crate) fn open_incoming(
        &mut self,
        now: Instant,
        path: &Path,
        request: Message,
        key: u128,
        replaces: Option<Replaced>,
    ) {
        let record_route = request.values(HeaderName::RecordRoute);
        let Ok(routes) = RouteSet::from_record_route(record_route, false, self.config.limits.routes_max)
        else {
            return;
        };
        let mut lines = Vec::new();
        for value in request.headers(HeaderName::RecordRoute) {
            lines.extend_from_slice(b"Record-Route: ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        }
        let Ok(seq) = request.cseq().map(|cseq| cseq.seq) else {
            return;
        };
        let tag = self.random.token();
        let remote_tag = request
            .from()
            .ok()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        let dialog_key = self
            .keys
            .dialog(request.call_id().unwrap_or_default(), &tag, remote_tag);
        let reply_path = crate::endpoint::reply::path(request.top_via().ok().as_ref(), path);
        let head = self.reply_head(&request, path, &tag);
        let target = self.target_of(&request, path);
        let (destination, alternate) = self.inbound_destination(&routes, &target, path);
        let dialog = Dialog {
            key: dialog_key,
            head: head_as_callee(&request, &tag),
            target,
            routes,
            local_seq: LocalSequence::after(0),
            remote_seq: RemoteSequence::new(Some(seq)),
            destination,
            alternate,
        };
        let merged = self.keys.merged(&request, "INVITE");
        let session_timer = self.session_asked(&request);
        let id = self.open_leg(LegState::Incoming, tag);
        let server = self.open_server(
            now,
            NewServer {
                key,
                merged: Some(merged),
                path: reply_path,
                head,
                invite: true,
                leg: Some(id),
            },
        );
        if let Some(leg) = self.leg_mut(id) {
            leg.dialog = Some(Box::new(dialog));
            leg.invite_server = Some(server);
            leg.invite_seq = seq;
            leg.record_route = Bytes::from(lines);
            leg.path = Some(*path);
            leg.reliable = Reliable::asked(&request);
            leg.session_timer = session_timer;
        }
        self.dialog_index.insert(dialog_key, id);
        self.emit(Event::Incoming {
            leg: id,
            request,
            path: *path,
            replaces,
        });
    }

    /// The peer's Contact, or where the message came from when it has none that we can reach.
    pub(crate) fn target_of(&self, message: &Message, path: &Path) -> Box<[u8]> {
        match message.contact() {
            Ok(contact) if is_sip(contact.uri_raw) => contact.uri_raw.into(),
            _ => {
                let mut uri = format!("sip:{}", path.remote);
                if let Some(transport) = path.protocol.uri_param() {
                    uri.push_str(";transport=");
                    uri.push_str(transport);
                }
                uri.into_bytes().into()
            }
        }
    }

    /// Where requests on an inbound leg go. A stream that the caller opened is used again: it may be the only way
    /// through its NAT, and its Contact often names a port on which nobody listens. What a peer may not name
    /// ([`Scopes`](crate::endpoint::scope::Scopes)) is not followed: the request goes back the way that the peer's came, which is
    /// also what a caller behind a NAT needs.
    pub(crate) fn inbound_destination(
        &self,
        routes: &RouteSet,
        target: &[u8],
        path: &Path,
    ) -> (Destination, Option<Destination>) {
        let named = self.destination_of(routes.next_hop(target), Some(path));
        let direct = self.scopes.judge(named, path);
        if path.connection.is_some() && routes.is_empty() {
            (Destination::Path(*path), Some(direct))
        } else {
            proved_way_first(direct, Some(path))
        }
    }

    /// Sends a provisional response 101..=199 to an inbound call; reliably (RFC 3262) when the caller knows that, but a 180
    /// without a body only when the caller insists. One at a time: the next leaves with the PRACK of the one before, and
    /// without a PRACK for 64·T1 the call ends with 504. To a caller that insists and made no offer, nothing is sent
    /// before a body comes, which is our offer.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] after the final response, [`EndpointError::Invalid`] for another code or headers
    /// that cannot be sent, [`EndpointError::Limit`] when eight wait for a PRACK.
    pub fn progress(
        &mut self,
        now: Instant,
        leg: LegId,
        code: u16,
        reason: Option<&str>,
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        if !(101..=199).contains(&code) {
            return Err(EndpointError::Invalid(format!(
                "{code} is not a provisional response from 101 to 199"
            )));
        }
        self.open_invite_of(leg, headers, reason, body.as_ref(), false)?;
        self.say_progress(now, leg, (code, reason), headers, body)
    }

    /// Inbound: sends 200, repeated until the ACK; held back while a reliable provisional response with a body waits for its
    /// PRACK (RFC 3262 §3). Outbound, after [`LegEvent::Answered`](crate::endpoint::LegEvent::Answered) with `needs_answer`: sends the
    /// ACK with this body.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when there is nothing to answer, [`EndpointError::Invalid`] for headers or a body
    /// that cannot be sent.
    pub fn answer(
        &mut self,
        now: Instant,
        leg: LegId,
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        if self.host_leg(leg)?.awaiting.is_some() {
            return self.answer_in_ack(leg, headers, body);
        }
        self.open_invite_of(leg, headers, None, body.as_ref(), false)?;
        if !self.hold_answer(leg, headers, body.as_ref()) {
            self.accept_call(now, leg, headers, body);
        }
        Ok(())
    }

    /// Sends the 2xx, which was checked.
    pub(super) fn accept_call(&mut self, now: Instant, leg: LegId, headers: &[Header], body: Option<Body>) {
        let Some(server) = self.leg(leg).and_then(|leg| leg.invite_server) else {
            return;
        };
        let Some(to) = self.servers.get(server as usize).map(|t| *t.path()) else {
            return;
        };
        let body = self.body_of_answer(leg, body);
        let mut lines = self.dialog_lines(leg, true);
        self.begin_session_of_call(now, leg, &mut lines);
        let parts = ResponseParts {
            code: 200,
            reason: None,
            head: &[],
            lines: &lines,
            headers,
            body: body.as_ref(),
        };
        let Some(response) = self.respond(now, server, parts) else {
            return;
        };
        self.stop_leg_timer(leg, LegTimer::RepeatProgress);
        self.stop_leg_timer(leg, LegTimer::Prack);
        self.keep_sdp(leg, body);
        if let Some(leg) = self.leg_mut(leg) {
            leg.state = LegState::Accepting;
            leg.invite_server = None;
            leg.record_route = Bytes::new();
        }
        let seq = self.leg(leg).map(|leg| leg.invite_seq).unwrap_or_default();
        // Its ACK is told with or without a body.
        self.await_ack(now, leg, seq, (response, false), Destination::Path(to));
    }

    /// Refuses an inbound call with 300..=699. Contact headers are allowed in a 3xx.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] after the final response, [`EndpointError::Invalid`] for another code or headers
    /// that cannot be sent.
    pub fn reject(
        &mut self,
        now: Instant,
        leg: LegId,
        code: u16,
        reason: Option<&str>,
        headers: &[Header],
    ) -> Result<(), EndpointError> {
        if !(300..=699).contains(&code) {
            return Err(EndpointError::Invalid(format!(
                "{code} is not a final response from 300 to 699"
            )));
        }
        let server = self.open_invite_of(leg, headers, reason, None, code < 400)?;
        self.respond_refusal(now, server, (code, reason), headers);
        let phrase = reason.unwrap_or(crate::message::reason_phrase(code)).to_owned();
        self.end_leg(
            leg,
            Ended {
                by: Party::Host,
                status: Some((code, phrase)),
                reason: None,
                why: EndKind::Rejected,
                response: None,
            },
        );
        self.close_leg(leg);
        Ok(())
    }

    /// Checks that an inbound leg still waits for its final response and that what the host gives can be sent.
    fn open_invite_of(
        &mut self,
        leg: LegId,
        headers: &[Header],
        reason: Option<&str>,
        body: Option<&Body>,
        redirect: bool,
    ) -> Result<u32, EndpointError> {
        let limits = &self.config.limits;
        check_headers(headers, redirect, limits.message.max_value)?;
        check_phrase(reason)?;
        check_body(body, limits.body_max)?;
        let leg = self.host_leg(leg)?;
        let answered = leg.reliable.as_ref().is_some_and(|r| r.holds_answer());
        leg.invite_server
            .filter(|_| !answered)
            .ok_or(EndpointError::WrongState(
                "the call is not an unanswered inbound one",
            ))
    }

    /// Record-Route, Contact and, in a final response, what we understand.
    pub(super) fn dialog_lines(&self, leg: LegId, is_final: bool) -> Vec<u8> {
        let mut lines = Vec::with_capacity(256);
        if let Some(leg) = self.leg(leg) {
            lines.extend_from_slice(&leg.record_route);
            self.write_contact_line(leg, &mut lines);
        }
        if is_final {
            lines.extend_from_slice(b"Allow: ");
            lines.extend_from_slice(ALLOW.as_bytes());
            lines.extend_from_slice(b"\r\n");
            lines.extend_from_slice(SUPPORTED_LINE);
        }
        lines.extend_from_slice(&self.server_line);
        lines
    }

    /// `Contact: <sip:…>` as the leg's peer must see us.
    pub(crate) fn write_contact_line(&self, leg: &super::Leg, out: &mut Vec<u8>) {
        let (face_index, local, protocol) = match (&leg.path, &leg.dialog) {
            (Some(path), _) => (
                self.faces.toward(&Destination::Path(*path)),
                Some(path.local),
                path.protocol,
            ),
            (None, Some(dialog)) => (
                self.faces.toward(&dialog.destination),
                None,
                dialog.destination.protocol(),
            ),
            (None, None) => (Some(0), None, crate::endpoint::Protocol::Udp),
        };
        let face = face_index.and_then(|index| self.faces.get(index));
        // A peer that is reached by a sips URI has to see one (RFC 3261 §12.1.1, §12.1.2).
        let target = match (&leg.dialog, &leg.outgoing) {
            (Some(dialog), _) => &*dialog.target,
            (None, Some(outgoing)) => &*outgoing.uri,
            (None, None) => &[],
        };
        out.extend_from_slice(b"Contact: ");
        let way = ContactWay::toward(target, protocol);
        face::write_contact(out, leg.contact_user.as_deref(), face, local, way);
        out.extend_from_slice(b"\r\n");
    }

    pub(crate) fn server_lines(&self) -> Vec<u8> {
        self.server_line.to_vec()
    }

    pub(super) fn repeat_progress_later(&mut self, now: Instant, id: LegId) {
        self.set_leg_timer(now, id, LegTimer::RepeatProgress, REPEAT_PROGRESS);
    }

    /// A CANCEL whose INVITE has no final response yet (RFC 3261 §9.2).
    pub(crate) fn cancelled_by_peer(&mut self, now: Instant, server: u32, cancel: &Message) {
        let Some(id) = self
            .servers
            .get(server as usize)
            .and_then(|transaction| transaction.leg)
        else {
            return;
        };
        let reason = super::closing::reason_of(cancel);
        let lines = self.server_lines();
        self.respond_plain(now, server, 487, &lines);
        if self.leg(id).is_some_and(|leg| leg.invite_server != Some(server)) {
            return self.offer_cancelled(now, id, server);
        }
        let status = Some((487, crate::message::reason_phrase(487).to_owned()));
        self.end_leg(
            id,
            Ended {
                by: Party::Remote,
                status,
                reason,
                why: EndKind::Cancelled,
                response: None,
            },
        );
        self.close_leg(id);
    }
}

fn is_sip(uri: &[u8]) -> bool {
    matches!(crate::message::Uri::parse(uri), Ok(crate::message::Uri::Sip(_)))
}
