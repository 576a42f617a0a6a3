//! Requests within a dialog, both ways: INFO, MESSAGE, OPTIONS, and refusals of what we do not speak.
//!
//! BYE is in [`closing`](super::closing), INVITE and UPDATE are in [`reoffer`](super::reoffer) and
//! [`offered`](super::offered). Entries: [`Endpoint::request`] and [`Endpoint::receive_in_dialog`].
//! Invariant: each request of the host gets exactly one `Response` event, at the latest when its leg ends.

use std::time::Instant;

use super::incoming::ALLOW;
use super::offered::PeerOffer;
use super::{Awaiting, LegState};
use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::compose::{check_body, check_headers};
use crate::endpoint::servers::NewServer;
use crate::endpoint::{
    Body, Endpoint, EndpointError, Header, InDialogRequest, LegEvent, LegId, Party, Path, PeerRequestId,
    RequestFailure, RequestId, TransportFailure, checks,
};
use crate::message::{HeaderName, Message, Method, reason_phrase};

/// A request of the host that has no final response yet.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) id: RequestId,
    method: Method,
    /// Kept only while it may have to be sent again with credentials.
    again: Option<(Vec<Header>, Option<Body>)>,
    tries: u8,
}

impl Endpoint {
    /// Sends a request within the dialog of a confirmed leg. Its outcome comes as [`LegEvent::Response`].
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] before the call is confirmed, [`EndpointError::Invalid`] for a method with a
    /// command of its own or something that cannot be sent, [`EndpointError::Limit`] for too many at once.
    pub fn request(
        &mut self,
        now: Instant,
        leg: LegId,
        request: InDialogRequest,
    ) -> Result<RequestId, EndpointError> {
        let limits = &self.config.limits;
        check_headers(&request.headers, false, limits.message.max_value)?;
        check_body(request.body.as_ref(), limits.body_max)?;
        if matches!(
            request.method,
            Method::Invite
                | Method::Ack
                | Method::Bye
                | Method::Cancel
                | Method::Prack
                | Method::Update
                | Method::Refer
        ) {
            return Err(EndpointError::Invalid(format!(
                "{} is not sent by this command",
                request.method
            )));
        }
        self.send_for_host(now, leg, request)
    }

    /// Sends what was checked, of any method.
    pub(crate) fn send_for_host(
        &mut self,
        now: Instant,
        leg: LegId,
        request: InDialogRequest,
    ) -> Result<RequestId, EndpointError> {
        let limits = &self.config.limits;
        let (in_flight_max, transactions_max) = (limits.requests_per_leg_max, limits.transactions_max);
        if self.transactions() >= transactions_max {
            return Err(EndpointError::Limit("transactions_max"));
        }
        let state = self.host_leg(leg)?;
        if state.state != LegState::Confirmed {
            return Err(EndpointError::WrongState("the call is not connected"));
        }
        if state.requests.len() >= in_flight_max {
            return Err(EndpointError::Limit("requests_per_leg_max"));
        }
        let id = self.next_request_id();
        if !self.send_request(
            now,
            leg,
            id,
            &request.method,
            &request.headers,
            request.body.as_ref(),
        ) {
            return Err(EndpointError::Limit("sequence numbers of the dialog"));
        }
        if let Some(leg) = self.leg_mut(leg) {
            let again = leg
                .credentials
                .is_some()
                .then_some((request.headers, request.body));
            leg.requests.push(PendingRequest {
                id,
                method: request.method,
                again,
                tries: 0,
            });
        }
        Ok(id)
    }

    /// False when the dialog's sequence numbers are used up.
    fn send_request(
        &mut self,
        now: Instant,
        leg: LegId,
        id: RequestId,
        method: &Method,
        headers: &[Header],
        body: Option<&Body>,
    ) -> bool {
        let user = ClientUser::Request(leg, id);
        // A request that sets or renews a target carries ours (RFC 3261 §12.2.1.1, RFC 6665 §8.2.1).
        let contact = matches!(method, Method::Refer | Method::Subscribe | Method::Notify);
        let sent = self.send_in_dialog(now, leg, method, contact, b"", headers, body, user);
        if let Some(sent) = sent.filter(|_| *method == Method::Refer) {
            self.refer_sent(leg, id, sent.seq);
        }
        sent.is_some()
    }

    /// Composes and sends a request in a leg's dialog; gives its transaction and its number. None when the sequence numbers
    /// are used up.
    #[allow(clippy::too_many_arguments)] // One caller for the host's requests, one for BYE; a struct would only rename them.
    pub(crate) fn send_in_dialog(
        &mut self,
        now: Instant,
        id: LegId,
        method: &Method,
        contact: bool,
        extra: &[u8],
        headers: &[Header],
        body: Option<&Body>,
        user: ClientUser,
    ) -> Option<Awaiting> {
        let branch = self.random.token();
        let cnonce = self.random.token();
        let mut lines = extra.to_vec();
        if contact && let Some(leg) = self.leg(id) {
            self.write_contact_line(leg, &mut lines);
        }
        let leg = self.leg_mut(id)?;
        let mut dialog = leg.dialog.take()?;
        if let Some(login) = leg.credentials.as_mut() {
            let octets = body.map(|body| &body.data[..]).unwrap_or_default();
            login.write_lines(
                method,
                dialog.routes.request_uri(&dialog.target),
                octets,
                &cnonce,
                &mut lines,
            );
        }
        let sent = dialog.local_seq.next().map(|seq| {
            let name = method.as_str();
            let request = self.compose_in_dialog(&dialog, name, seq, &branch, &lines, headers, body);
            let key = self.client_key(&branch, name);
            let (to, alternate) = (dialog.destination.clone(), dialog.alternate.clone());
            let invite = *method == Method::Invite;
            let client = self.open_client(
                now,
                NewClient {
                    key,
                    branch,
                    request,
                    to,
                    alternate,
                    user,
                    invite,
                },
            );
            Awaiting { client, seq }
        });
        if let Some(leg) = self.leg_mut(id) {
            leg.dialog = Some(dialog);
        }
        sent
    }

    /// The final response to a request of the host.
    pub(crate) fn request_response(
        &mut self,
        now: Instant,
        id: LegId,
        request: RequestId,
        sent: &bytes::Bytes,
        response: Message,
    ) {
        let tries_max = self.config.limits.auth_tries_max;
        let code = response.code().unwrap_or(0);
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(index) = leg.requests.iter().position(|pending| pending.id == request) else {
            return;
        };
        let mut pending = leg.requests.swap_remove(index);
        if matches!(code, 401 | 407)
            && pending.tries < tries_max
            && let Some((headers, body)) = pending.again.take()
            && leg
                .credentials
                .as_mut()
                .is_some_and(|login| login.challenged(sent, &response))
            && self.send_request(now, id, request, &pending.method, &headers, body.as_ref())
        {
            pending.tries += 1;
            pending.again = Some((headers, body));
            if let Some(leg) = self.leg_mut(id) {
                leg.requests.push(pending);
            }
            return;
        }
        self.refer_response(id, request, Some(&response));
        let phrase = response
            .status()
            .map(|line| String::from_utf8_lossy(line.reason).into_owned())
            .unwrap_or_default();
        self.leg_event(
            id,
            LegEvent::Response {
                request,
                result: Ok(response),
            },
        );
        if code == 481 {
            self.dialog_lost(now, id, Party::Remote, (code, phrase));
        }
    }

    /// A request of the host got no response. Silence for 64·T1 means that the peer is gone.
    pub(crate) fn request_failed(
        &mut self,
        now: Instant,
        id: LegId,
        request: RequestId,
        why: Option<TransportFailure>,
    ) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(index) = leg.requests.iter().position(|pending| pending.id == request) else {
            return;
        };
        leg.requests.swap_remove(index);
        self.refer_response(id, request, None);
        let failure = why.map_or(RequestFailure::Timeout, RequestFailure::Transport);
        self.leg_event(
            id,
            LegEvent::Response {
                request,
                result: Err(failure),
            },
        );
        if why.is_none() {
            self.dialog_lost(now, id, Party::Local, Self::status_of(408));
        }
    }

    /// A new request within a dialog of ours.
    pub(crate) fn receive_in_dialog(
        &mut self,
        now: Instant,
        path: &Path,
        request: Message,
        id: LegId,
        key: u128,
    ) {
        let Some(method) = request.method().cloned() else {
            return;
        };
        let Ok(cseq) = request.cseq() else { return };
        let tag = self.leg(id).map(|leg| leg.local_tag).unwrap_or_default();
        let head = self.reply_head(&request, path, &tag);
        let reply_path = crate::endpoint::reply::path(request.top_via().ok().as_ref(), path);
        let invite = method == Method::Invite;
        let new = NewServer {
            key,
            merged: None,
            path: reply_path,
            head,
            invite,
            leg: invite.then_some(id),
        };
        let server = self.open_server(now, new);
        let remote_key = self.dialog_key_of_request(&request);
        let in_order = self
            .dialog_of(id, remote_key)
            .is_some_and(|dialog| dialog.remote_seq.accept(cseq.seq, method == Method::Bye));
        if !in_order {
            return self.respond_plain(now, server, 500, b"Retry-After: 1\r\n");
        }
        if let Some(lines) = checks::unknown_extensions(&request) {
            return self.respond_plain(now, server, 420, &lines);
        }
        let closing = self.leg(id).is_none_or(|leg| leg.ended);
        let lines = self.server_lines();
        match method {
            Method::Bye => self.bye_from_peer(now, id, server, &request),
            _ if closing => self.respond_plain(now, server, 481, &lines),
            Method::Info if request.header(HeaderName::InfoPackage).is_some() => {
                // RFC 6086 §4.2.2: we named no package in Recv-Info.
                self.respond_plain(now, server, 469, b"Recv-Info: \r\n");
            }
            Method::Info => {
                self.respond_plain(now, server, 200, &lines);
                self.leg_event(id, LegEvent::Info { request });
            }
            Method::Options => {
                let lines = self.capability_lines();
                self.respond_plain(now, server, 200, &lines);
            }
            Method::Message => {
                self.respond_plain(now, server, 200, &lines);
                self.leg_event(id, LegEvent::Message { request });
            }
            Method::Invite | Method::Update => {
                let offer = PeerOffer {
                    id: PeerRequestId(0),
                    server,
                    invite,
                    seq: cseq.seq,
                    dialog: remote_key,
                    path: *path,
                    request,
                };
                self.offer_from_peer(now, id, offer);
            }
            Method::Refer => self.refer_from_peer(now, id, server, request, cseq.seq),
            Method::Notify => self.notify_from_peer(now, id, server, &request),
            Method::Prack => self.prack_from_peer(now, id, server, request),
            // No usage of ours.
            Method::Subscribe => self.respond_plain(now, server, 489, b"Allow-Events: \r\n"),
            _ => self.respond_plain(now, server, 405, &allow_line()),
        }
    }

    /// Tells the host that the requests of a dead leg will have no response.
    pub(crate) fn fail_requests(&mut self, id: LegId) {
        self.fail_reoffer(id);
        let requests = self
            .leg_mut(id)
            .map(|leg| std::mem::take(&mut leg.requests))
            .unwrap_or_default();
        for pending in requests {
            self.leg_event(
                id,
                LegEvent::Response {
                    request: pending.id,
                    result: Err(RequestFailure::LegEnded),
                },
            );
        }
    }

    /// Allow, Accept and the rest of an answer to OPTIONS (RFC 3261 §11.2).
    pub(crate) fn capability_lines(&self) -> Vec<u8> {
        let mut lines = allow_line();
        lines.extend_from_slice(b"Accept: application/sdp\r\nAccept-Encoding: identity\r\n");
        lines.extend_from_slice(checks::SUPPORTED_LINE);
        lines.extend_from_slice(&self.server_line);
        lines
    }

    /// The phrase and code of a plain refusal.
    pub(crate) fn status_of(code: u16) -> (u16, String) {
        (code, reason_phrase(code).to_owned())
    }
}

pub(crate) fn allow_line() -> Vec<u8> {
    format!("Allow: {ALLOW}\r\n").into_bytes()
}
