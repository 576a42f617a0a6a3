//! How a call comes to a service: what `tenant` may do with it instead of opening a session.

use std::sync::Arc;

use callbox_sip::message::Uri;

use super::super::facts::lossy;
use super::super::incoming::{IncomingCall, Opened, Refusal};
use super::super::tenant_bounds::{Place, TenantBounds};
use super::{Address, Service, ServiceCall, WaitingRoom};

impl IncomingCall {
    /// Gives the call to a session that waits, this moment, for calls of the registration that it was sent to: the one
    /// whose contact, with its `line`, is the Request-URI. None when no session waits for it; a refusal when the tenant of
    /// that session has as many calls as it may.
    pub fn give_to_registration(&mut self, room: &Arc<WaitingRoom>) -> Option<Result<(), Refusal>> {
        let service = self
            .registration_called(room)
            .filter(|service| room.is_awaited(service))?;
        let place = match room.admit_listed(&service)? {
            Ok(place) => place,
            Err(refusal) => return Some(Err(refusal)),
        };
        let call = self.for_service(service, room, place);
        room.give(&call).then(|| {
            self.opened = Opened::Service(call);
            Ok(())
        })
    }

    /// Lets the call wait until a session accepts for the registration that it is for; none when there is no such
    /// registration. To be asked after the routes: a call without a `line` is for the registration that it names, and
    /// what a caller names must not take a call away from the one whom the operator gave it to.
    pub fn wait_for_registration(&mut self, room: &Arc<WaitingRoom>) -> Option<Result<(), Refusal>> {
        let called = self
            .registration_called(room)
            .filter(|service| room.is_listed(service));
        let service = called.or_else(|| self.registration_named(room))?;
        let place = room.admit_listed(&service)?;
        Some(place.and_then(|place| self.wait(service, room, place)))
    }

    /// Lets the call wait until a session of this tenant accepts for the service. One that waits already gets it at once.
    ///
    /// # Errors
    /// What the caller gets when the tenant has as many calls as it may, too many wait, or the host shuts down.
    pub fn wait_for_service(
        &mut self,
        room: &Arc<WaitingRoom>,
        tenant: &Arc<str>,
        name: &str,
        bounds: &Arc<TenantBounds>,
    ) -> Result<(), Refusal> {
        let service = Service::Named {
            tenant: Arc::clone(tenant),
            name: name.into(),
        };
        let place = room.admit(bounds)?;
        self.wait(service, room, place)
    }

    fn wait(&mut self, service: Service, room: &Arc<WaitingRoom>, place: Place) -> Result<(), Refusal> {
        let call = self.for_service(service, room, place);
        room.offer(&call)?;
        self.opened = Opened::Service(call);
        Ok(())
    }

    fn for_service(&self, service: Service, room: &Arc<WaitingRoom>, place: Place) -> Arc<ServiceCall> {
        ServiceCall::new(
            service,
            Arc::clone(room),
            self.sip,
            self.request.clone(),
            Arc::clone(&self.shard),
            place,
        )
    }

    /// The registration whose contact the call was sent to.
    fn registration_called(&self, room: &WaitingRoom) -> Option<Service> {
        // Most hosts have none, and every call asks.
        if !room.lists_any() {
            return None;
        }
        match self.request.request().map(|line| Uri::parse(line.uri)) {
            Some(Ok(Uri::Sip(uri))) => uri.params.value("line").map(|line| Service::Registered {
                line: lossy(line).into(),
            }),
            _ => None,
        }
    }

    /// The registration that the call names, where a proxy on the way has put its own words in place of the contact. The
    /// user part of the Request-URI is that of the address of record; the host of the address of record is the host of
    /// To, or the address that the request came from. Ports are not compared.
    fn registration_named(&self, room: &WaitingRoom) -> Option<Service> {
        if !room.lists_any() {
            return None;
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
            .find_map(|host| room.listed_alone(&Address::new(&user, &host)))
    }
}
