//! How a call comes to a service: what `tenant` may do with it instead of opening a session.

use std::sync::Arc;

use callbox_sip::message::Uri;

use super::super::incoming::{IncomingCall, Opened, Refusal};
use super::{Service, ServiceCall, WaitingRoom};

impl IncomingCall {
    /// Gives the call to a session that waits, this moment, for calls of the registration that it was sent to.
    ///
    /// A call is for a registration when the user part of its Request-URI is that of the address of record, which is also
    /// that of our Contact, and the host of the address of record is the host of To, or the address that the request came
    /// from. Ports are not compared. To alone would let a caller choose whose call it is; the Request-URI alone would
    /// mix up registrations of equal names with different registrars.
    pub fn give_to_registration(&mut self, room: &Arc<WaitingRoom>) -> bool {
        self.registrations(room).into_iter().any(|service| {
            let call = self.for_service(service, room);
            let given = room.give(&call);
            if given {
                self.opened = Opened::Service(call);
            }
            given
        })
    }

    /// Lets the call wait until a session accepts for the registration that it was sent to; none when there is no such
    /// registration.
    pub fn wait_for_registration(&mut self, room: &Arc<WaitingRoom>) -> Option<Result<(), Refusal>> {
        let service = self.registrations(room).into_iter().next()?;
        Some(self.wait(service, room))
    }

    /// Lets the call wait until a session of this tenant accepts for the service. One that waits already gets it at once.
    ///
    /// # Errors
    /// What the caller gets when too many wait, or the host shuts down.
    pub fn wait_for_service(
        &mut self,
        room: &Arc<WaitingRoom>,
        tenant: &Arc<str>,
        name: &str,
    ) -> Result<(), Refusal> {
        let service = Service::Named {
            tenant: Arc::clone(tenant),
            name: name.into(),
        };
        self.wait(service, room)
    }

    fn wait(&mut self, service: Service, room: &Arc<WaitingRoom>) -> Result<(), Refusal> {
        let call = self.for_service(service, room);
        room.offer(&call)?;
        self.opened = Opened::Service(call);
        Ok(())
    }

    fn for_service(&self, service: Service, room: &Arc<WaitingRoom>) -> Arc<ServiceCall> {
        ServiceCall::new(
            service,
            Arc::clone(room),
            self.sip,
            self.request.clone(),
            Arc::clone(&self.shard),
        )
    }

    /// The registrations that the call may be for.
    fn registrations(&self, room: &WaitingRoom) -> Vec<Service> {
        // Most hosts have none, and every call asks.
        if !room.lists_any() {
            return Vec::new();
        }
        let user = self.user();
        let to = self.request.to().ok();
        let domain = match to.as_ref().map(|to| Uri::parse(to.uri_raw)) {
            Some(Ok(Uri::Sip(uri))) => uri.host.to_string(),
            _ => String::new(),
        };
        let source = self.source().ip().to_canonical().to_string();
        [domain, source]
            .into_iter()
            .filter(|host| !host.is_empty() && !user.is_empty())
            .map(|host| Service::registered(&user, &host))
            .filter(|service| room.is_listed(service))
            .collect()
    }
}
