//! Being notified: NOTIFY for a subscription of ours (RFC 6665 §4.1.3, §4.1.4).
//!
//! Entry: [`Endpoint::receive_notify`]. Invariants: the first NOTIFY makes the dialog, also when it comes before the 2xx; one
//! from another fork, and one that belongs to no subscription, gets 481; the host hears of those alone that were
//! answered 200, in order of CSeq.

use std::time::{Duration, Instant};

use super::subscribe::{Subscription, SubscriptionTimer};
use crate::dialog::{Dialog, RemoteSequence, RouteSet};
use crate::endpoint::servers::NewServer;
use crate::endpoint::{
    AddressFilter, Destination, Endpoint, Event, Path, SubscriptionEnd, SubscriptionEvent, SubscriptionId,
    SubscriptionState, checks, reply,
};
use crate::message::{HeaderName, Message, Value};

/// When to subscribe again after `probation` without a Retry-After: the base time of RFC 5626 §4.5.
const PROBATION: Duration = Duration::from_secs(30);

/// Retry-After of a NOTIFY that is out of order, s.
const OUT_OF_ORDER: &[u8] = b"Retry-After: 1\r\n";

impl Endpoint {
    /// A NOTIFY within a dialog that no leg has.
    pub(crate) fn receive_notify(&mut self, now: Instant, path: &Path, request: Message, key: u128) {
        let local = request.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let ours = self
            .keys
            .dialog(request.call_id().unwrap_or_default(), local, b"");
        let Some(id) = self.subscription_index.get(&ours).copied() else {
            return self.refuse_unknown_dialog(path, &request);
        };
        let Some(tag) = self
            .subscriptions
            .get(&id)
            .map(|subscription| subscription.local_tag)
        else {
            return;
        };
        let head = self.reply_head(&request, path, &tag);
        let new = NewServer {
            key,
            merged: None,
            path: reply::path(request.top_via().ok().as_ref(), path),
            head,
            invite: false,
            leg: None,
        };
        let server = self.open_server(now, new);
        let mut lines = self.server_lines();
        let code = match self.admit_notify(id, path, &request) {
            Ok(()) => 200,
            Err((code, more)) => {
                lines.extend_from_slice(&more);
                code
            }
        };
        self.respond_plain(now, server, code, &lines);
        if code == 200 {
            self.notified(now, id, request);
        }
    }

    /// Whether a NOTIFY is in order; the first one makes the dialog. Otherwise the code and lines of its refusal.
    fn admit_notify(
        &mut self,
        id: SubscriptionId,
        path: &Path,
        request: &Message,
    ) -> Result<(), (u16, Vec<u8>)> {
        let plain = |code| (code, Vec::new());
        let remote_tag = request
            .from()
            .ok()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        let remote_key = self.dialog_key_of_request(request);
        let seq = request.cseq().map_err(|_| plain(400))?.seq;
        let subscription = self.subscriptions.get(&id).ok_or(plain(481))?;
        let event = Value::parse(subscription.event.as_bytes());
        let named = request.event().ok_or(plain(489))?;
        if !named.value.eq_ignore_ascii_case(event.value)
            || named.params.value("id") != event.params.value("id")
        {
            return Err(plain(489));
        }
        match &subscription.dialog {
            Some(dialog) if dialog.key != remote_key => return Err(plain(481)),
            None if remote_tag.is_empty() => return Err(plain(481)),
            _ => {}
        }
        if let Some(lines) = checks::unknown_extensions(request) {
            return Err((420, lines));
        }
        if request.subscription_state().is_none() {
            return Err(plain(400));
        }
        let target = self.target_of(request, path);
        if subscription.dialog.is_none() {
            let dialog = self
                .dialog_of_notify(subscription, path, request, remote_key, &target)
                .ok_or(plain(400))?;
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.dialog = Some(Box::new(dialog));
            }
        }
        let taken = self.subscriptions.get_mut(&id).and_then(|s| s.dialog.take());
        let mut dialog = taken.ok_or(plain(481))?;
        let in_order = dialog.remote_seq.accept(seq, false);
        if in_order && request.contact().is_ok() {
            let filter = self.subscriptions.get(&id).and_then(|s| s.to.filter());
            (dialog.destination, dialog.alternate) =
                self.notifier_destination(filter, &dialog.routes, &target, path);
            dialog.target = target;
        }
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.dialog = Some(dialog);
        }
        if in_order {
            Ok(())
        } else {
            Err((500, OUT_OF_ORDER.to_vec()))
        }
    }

    /// Where requests to a notifier go: as those to a caller, and by its Contact only where whoever subscribed may send.
    fn notifier_destination(
        &self,
        filter: Option<&AddressFilter>,
        routes: &RouteSet,
        target: &[u8],
        path: &Path,
    ) -> (Destination, Option<Destination>) {
        let (direct, alternate) = self.inbound_destination(routes, target, path);
        let Some(filter) = filter else {
            return (direct, alternate);
        };
        let direct = direct.under(Some(filter)).unwrap_or(Destination::Path(*path));
        (direct, alternate.and_then(|named| named.under(Some(filter))))
    }

    /// None for too many Record-Route values.
    fn dialog_of_notify(
        &self,
        subscription: &Subscription,
        path: &Path,
        request: &Message,
        key: u128,
        target: &[u8],
    ) -> Option<Dialog> {
        let record_route = request.values(HeaderName::RecordRoute);
        let routes = RouteSet::from_record_route(record_route, false, self.config.limits.routes_max).ok()?;
        let value = |name| request.header(name).unwrap_or_default();
        // The notifier's To is our From, our tag included.
        let parts: [&[u8]; 7] = [
            b"From: ",
            value(HeaderName::To),
            b"\r\nTo: ",
            value(HeaderName::From),
            b"\r\nCall-ID: ",
            value(HeaderName::CallId),
            b"\r\n",
        ];
        let (destination, alternate) =
            self.notifier_destination(subscription.to.filter(), &routes, target, path);
        Some(Dialog {
            key,
            head: parts.concat().into(),
            target: target.into(),
            routes,
            local_seq: subscription.seq,
            remote_seq: RemoteSequence::new(None),
            destination,
            alternate,
        })
    }

    /// A NOTIFY was answered 200.
    fn notified(&mut self, now: Instant, id: SubscriptionId, request: Message) {
        let Some(told) = request.subscription_state() else {
            return;
        };
        let state = match () {
            () if told.is("active") => SubscriptionState::Active,
            () if told.is("terminated") => SubscriptionState::Terminated,
            () => SubscriptionState::Pending,
        };
        let reason: Option<Box<str>> = told
            .params
            .get("reason")
            .map(|param| String::from_utf8_lossy(&param.text()).into());
        let expires = told.number("expires");
        let retry_after = told.number("retry-after");
        self.stop_subscription_timer(id, SubscriptionTimer::Deadline);
        // Timer N goes on where this must be followed by the NOTIFY that ends it.
        let ends = |subscription: &Subscription| subscription.leaving || subscription.expires == 0;
        if !self.subscriptions.get(&id).is_some_and(ends) {
            self.stop_subscription_timer(id, SubscriptionTimer::Notify);
        }
        let event = SubscriptionEvent::Notify {
            state,
            reason: reason.clone(),
            expires,
            request,
        };
        self.emit(Event::Subscription {
            subscription: id,
            event,
        });
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if state == SubscriptionState::Terminated {
            let end = if subscription.unwanted {
                SubscriptionEnd::Unsubscribed(Ok(()))
            } else {
                let retry_in = retry_in(reason.as_deref(), retry_after);
                SubscriptionEnd::Terminated { reason, retry_in }
            };
            return self.subscription_ends(id, end);
        }
        let (asked, timed) = (
            subscription.expires,
            subscription.is_timed(SubscriptionTimer::Expiry),
        );
        match expires.filter(|left| *left > 0) {
            Some(left) => self.shorten(now, id, left),
            // Nobody has said for how long: what we asked for, until somebody does.
            None if !timed => self.schedule(now, id, asked),
            None => {}
        }
    }
}

/// RFC 6665 §4.1.3: when a subscription that ended so may be made again.
fn retry_in(reason: Option<&str>, retry_after: Option<u32>) -> Option<Duration> {
    let asked = retry_after.map(|s| Duration::from_secs(s.into()));
    match reason.map(str::to_ascii_lowercase).as_deref() {
        Some("rejected" | "noresource" | "invariant") => None,
        Some("deactivated" | "timeout") => Some(Duration::ZERO),
        Some("probation") => Some(asked.unwrap_or(PROBATION)),
        _ => Some(asked.unwrap_or(Duration::ZERO)),
    }
}
