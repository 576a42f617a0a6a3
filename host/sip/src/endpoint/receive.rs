//! The way of a message in: to its transaction, to its dialog, to a new call, or to a refusal without state.
//!
//! Refusals that need no state keep none (RFC 3261 §8.2.7): each copy of the request gets the same octets again, and a
//! flood of nonsense costs no memory. Entry: [`Endpoint::receive_request`], [`Endpoint::receive_response`].
//!
//! Invariant: nothing is ever sent in answer to an ACK or a response.

use std::time::Instant;

use bytes::Bytes;

use super::address::{Destination, Path};
use super::checks::{self, Refusal};
use super::compose::{self, ResponseParts};
use super::servers::{NewServer, Taken};
use super::{Endpoint, LegId, Transmit, reply};
use crate::message::{HeaderName, Malformed, Message, Method, Reject, validate};
use crate::rng::{Token, encode};
use crate::usage::session_timer::{LEAST_LINE, is_too_brief};

/// What we understand outside a dialog, and what belongs to the dialogs that an INVITE makes.
const ALLOW_OUTSIDE: &[u8] = b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK\r\n";

impl Endpoint {
    pub(crate) fn receive_response(&mut self, now: Instant, path: &Path, response: Message) {
        let slot = self.client_of(&response);
        match slot {
            Some(slot) => self.client_response(now, slot, path, response),
            None => self.stats.strays += 1,
        }
    }

    /// The client transaction of a response (§17.1.3), if it is one of ours.
    fn client_of(&self, response: &Message) -> Option<u32> {
        validate::response(response).ok()?;
        // §8.1.3.3: a response that other hosts should still pass on was misrouted.
        if response.values(HeaderName::Via).nth(1).is_some() {
            return None;
        }
        let via = response.top_via().ok()?;
        let cseq = response.cseq().ok()?;
        let key = self.keys.client(via.branch()?, cseq.method.as_str());
        self.client_index.get(&key).copied()
    }

    /// Answers what does not parse, where an answer is due.
    pub(crate) fn receive_malformed(&mut self, path: &Path, malformed: Malformed) {
        match malformed.reply {
            Some(request) => {
                self.stats.malformed_answered += 1;
                let why = malformed.reason.to_string();
                let phrase = match malformed.reason {
                    // The text names what is wrong; it is ours, but what it quotes is not.
                    _ if !crate::message::is_field_value(why.as_bytes()) => None,
                    Reject::Version | Reject::UriScheme | Reject::TooLarge | Reject::UriTooLong => None,
                    _ => Some(format!("Bad Request: {why}")),
                };
                self.refuse(path, &request, malformed.reason.status(), phrase.as_deref(), b"");
            }
            None => self.stats.malformed_dropped += 1,
        }
    }

    pub(crate) fn receive_request(&mut self, now: Instant, path: &Path, request: Message) {
        let request = match validate::request(request) {
            Ok(request) => request,
            Err(malformed) => return self.receive_malformed(path, malformed),
        };
        let (Some(method), Ok(via)) = (request.method(), request.top_via()) else {
            return;
        };
        match method {
            Method::Ack => {
                let key = self.keys.server(&request, &via, "INVITE");
                self.receive_ack(now, key, &request);
            }
            Method::Cancel => {
                let key = self.keys.server(&request, &via, "CANCEL");
                let invite = self.keys.server(&request, &via, "INVITE");
                match self.server_index.get(&key) {
                    Some(slot) => {
                        self.server_repeat(now, *slot, false);
                    }
                    None => self.receive_cancel(now, path, &request, key, invite),
                }
            }
            _ => {
                let key = self.keys.server(&request, &via, method.as_str());
                match self.server_index.get(&key) {
                    Some(slot) => {
                        self.server_repeat(now, *slot, false);
                    }
                    None => self.receive_new(now, path, request, key),
                }
            }
        }
    }

    fn receive_ack(&mut self, now: Instant, key: u128, ack: &Message) {
        if let Some(slot) = self.server_index.get(&key).copied() {
            let leg = self
                .servers
                .get(slot as usize)
                .and_then(|transaction| transaction.leg);
            if self.server_repeat(now, slot, true) == Taken::AckForLeg
                && let Some(leg) = leg
            {
                self.ack_for_leg(now, leg, ack);
            }
            return;
        }
        let key = self.dialog_key_of_request(ack);
        match self.dialog_index.get(&key).copied() {
            Some(leg) => self.ack_for_leg(now, leg, ack),
            None => self.stats.strays += 1,
        }
    }

    /// §9.2: 200 whether or not it still has an effect, 481 when there is nothing to cancel.
    fn receive_cancel(&mut self, now: Instant, path: &Path, cancel: &Message, key: u128, invite: u128) {
        let Some(server) = self.server_index.get(&invite).copied() else {
            let lines = self.server_lines();
            return self.refuse(path, cancel, 481, None, &lines);
        };
        let (leg, open) = match self.servers.get(server as usize) {
            Some(transaction) => (transaction.leg, transaction.is_open_invite()),
            None => return,
        };
        let tag = match leg.and_then(|leg| self.leg(leg)) {
            Some(leg) => leg.local_tag,
            None => self.stateless_tag(cancel),
        };
        let head = self.reply_head(cancel, path, &tag);
        let reply_path = reply::path(cancel.top_via().ok().as_ref(), path);
        let new = NewServer {
            key,
            merged: None,
            path: reply_path,
            head,
            invite: false,
            leg: None,
        };
        let own = self.open_server(now, new);
        let lines = self.server_lines();
        self.respond_plain(now, own, 200, &lines);
        if open {
            self.cancelled_by_peer(now, server, cancel);
        }
    }

    /// A request that belongs to no transaction.
    fn receive_new(&mut self, now: Instant, path: &Path, request: Message, key: u128) {
        let Some(line) = request.request() else { return };
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        let limits = &self.config.limits;
        if in_dialog {
            // What is in a dialog ends calls: it is let through longer than what begins them.
            if self.transactions() >= limits.transactions_max.saturating_add(limits.legs_max) {
                return self.refuse_overload(path, &request);
            }
            let dialog = self.dialog_key_of_request(&request);
            return match self.dialog_index.get(&dialog).copied() {
                Some(leg) => self.receive_in_dialog(now, path, request, leg, key),
                None if *line.method == Method::Notify => self.receive_notify(now, path, request, key),
                None => self.refuse_unknown_dialog(path, &request),
            };
        }
        if !checks::scheme_is_known(line.uri) {
            return self.refuse(path, &request, 416, None, b"");
        }
        match line.method {
            Method::Invite => self.receive_invite(now, path, request, key),
            Method::Options => {
                let (code, lines) = match checks::unknown_extensions(&request) {
                    Some(lines) => (420, lines),
                    None => (200, self.capability_lines()),
                };
                self.refuse(path, &request, code, None, &lines);
            }
            // Requests that live in a dialog or a usage which does not exist.
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.refuse_unknown_dialog(path, &request);
            }
            Method::Subscribe => self.refuse(path, &request, 489, None, b"Allow-Events: \r\n"),
            _ => self.refuse(path, &request, 405, None, ALLOW_OUTSIDE),
        }
    }

    fn receive_invite(&mut self, now: Instant, path: &Path, request: Message, key: u128) {
        let merged = self.keys.merged(&request, "INVITE");
        if self.merged_index.contains_key(&merged) {
            return self.refuse(path, &request, 482, None, b"");
        }
        let limits = &self.config.limits;
        let full_of_legs = self.live_legs >= limits.legs_max;
        if full_of_legs || self.transactions() >= limits.transactions_max {
            self.stats.overload_legs += u64::from(full_of_legs);
            return self.refuse_overload(path, &request);
        }
        if let Some(lines) = checks::unknown_extensions(&request) {
            return self.refuse(path, &request, 420, None, &lines);
        }
        if let Some(Refusal { code, lines }) = checks::body_refusal(&request) {
            return self.refuse(path, &request, code, None, &lines);
        }
        if is_too_brief(&request) {
            return self.refuse(path, &request, 422, None, LEAST_LINE);
        }
        let routes = request.values(HeaderName::RecordRoute).count();
        if routes > limits.routes_max {
            return self.refuse(path, &request, 400, Some("Too many Record-Route values"), b"");
        }
        let replaces = match self.replaced_by(&request) {
            Ok(replaces) => replaces,
            Err(code) => return self.refuse(path, &request, code, None, b""),
        };
        self.open_incoming(now, path, request, key, replaces);
    }

    fn refuse_overload(&mut self, path: &Path, request: &Message) {
        self.stats.overload += 1;
        let lines = format!("Retry-After: {}\r\n", self.config.limits.retry_after_s);
        self.refuse(path, request, 503, None, lines.as_bytes());
    }

    pub(crate) fn refuse_unknown_dialog(&mut self, path: &Path, request: &Message) {
        let lines = self.server_lines();
        self.refuse(path, request, 481, None, &lines);
    }

    /// A final response without a transaction; each copy of the request gets the same again.
    pub(crate) fn refuse(
        &mut self,
        path: &Path,
        request: &Message,
        code: u16,
        reason: Option<&str>,
        lines: &[u8],
    ) {
        if request.method().is_none_or(|method| *method == Method::Ack) {
            return;
        }
        let tag = self.stateless_tag(request);
        let head = self.reply_head(request, path, &tag);
        let parts = ResponseParts {
            code,
            reason,
            head: &head,
            lines,
            headers: &[],
            body: None,
        };
        let payload = compose::response(&mut self.scratch, &parts);
        let to = Destination::Path(reply::path(request.top_via().ok().as_ref(), path));
        self.transmit(Transmit {
            to,
            payload,
            token: None,
        });
    }

    fn stateless_tag(&self, request: &Message) -> Token {
        encode(
            request
                .top_via()
                .map(|via| self.keys.stateless_tag(request, &via))
                .unwrap_or_default(),
        )
    }

    /// The lines that each response to `request` begins with.
    pub(crate) fn reply_head(&mut self, request: &Message, path: &Path, tag: &[u8]) -> Bytes {
        let scratch = &mut self.scratch;
        scratch.clear();
        reply::head(request, path, tag, scratch);
        Bytes::copy_from_slice(scratch)
    }

    /// The dialog that a request of the peer belongs to: its To tag is ours.
    pub(crate) fn dialog_key_of_request(&self, request: &Message) -> u128 {
        let local = request.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let remote = request
            .from()
            .ok()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        self.keys
            .dialog(request.call_id().unwrap_or_default(), local, remote)
    }

    /// A dialog of a leg by its key: the confirmed one, or an early one.
    pub(crate) fn dialog_of(&mut self, id: LegId, key: u128) -> Option<&mut crate::dialog::Dialog> {
        let leg = self.leg_mut(id)?;
        let early = leg
            .outgoing
            .iter_mut()
            .flat_map(|outgoing| outgoing.early.iter_mut());
        let confirmed = leg.dialog.iter_mut().map(|dialog| &mut **dialog);
        confirmed.chain(early).find(|dialog| dialog.key == key)
    }
}
