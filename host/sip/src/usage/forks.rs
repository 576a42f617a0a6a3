//! The dialogs of an INVITE of ours: an early one for each fork that answered (RFC 3261 §13.2.2, §12.1.2).
//!
//! Knows nothing of what a response means for the call. Entry: [`Endpoint::note_early_dialog`]. Invariant: at most
//! `forks_max` early dialogs a leg, and each of them finds its leg by the endpoint's index.

use crate::dialog::{Dialog, LocalSequence, RemoteSequence, RouteSet, head_as_caller};
use crate::endpoint::route::proved_way_first;
use crate::endpoint::{Destination, Endpoint, LegId};
use crate::message::{Message, Uri};

impl Endpoint {
    /// Remembers the dialog of a provisional response with a tag, so that requests within it find the leg.
    pub(super) fn note_early_dialog(&mut self, id: LegId, client: u32, response: &Message) {
        let Some(dialog) = self.dialog_of_response(id, client, response) else {
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
    pub(super) fn dialog_of_response(&self, id: LegId, client: u32, response: &Message) -> Option<Dialog> {
        let outgoing = self.leg(id)?.outgoing.as_ref()?;
        self.dialog_as_caller(client, response, &outgoing.uri, &outgoing.to)
    }

    /// As caller: `uri` and `to` are those of the INVITE, used where the response names nothing better. Who was called by a name
    /// is judged by the address that the response to `client` came from.
    pub(super) fn dialog_as_caller(
        &self,
        client: u32,
        response: &Message,
        uri: &[u8],
        to: &Destination,
    ) -> Option<Dialog> {
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
        let way = self.heard_by(client);
        let destination = self
            .destination_hinted(routes.next_hop(&target), hint)
            .zip(self.scopes.of_answered(to, way))
            .and_then(|(named, filter)| named.under(Some(filter)))
            .unwrap_or_else(|| to.clone());
        let (destination, alternate) = proved_way_first(destination, way);
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
            alternate,
        })
    }

    pub(super) fn dialog_key_of(&self, response: &Message) -> Option<u128> {
        let remote_tag = response.to().ok()?.tag()?;
        let local_tag = response.from().ok()?.tag().unwrap_or_default();
        Some(
            self.keys
                .dialog(response.call_id().unwrap_or_default(), local_tag, remote_tag),
        )
    }
}
