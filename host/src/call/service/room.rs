//! The waiting room: who accepts what, and which calls nobody has taken yet.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::super::error::{CallError, Denial};
use super::super::host_end::HostEnd;
use super::super::incoming::Refusal;
use super::super::leg::LegShared;
use super::super::tenant_bounds::{Place, TenantBounds};
use super::{Address, Service, ServiceCall};
use crate::config::limits::{self, CallLimits};

/// What a caller hears when no session takes the call in time, or too many wait before it.
const NOBODY: u16 = 480;

/// Where calls for services and sessions that accept them meet. One a host.
pub struct WaitingRoom {
    runtime: Handle,
    waiting_max: AtomicUsize,
    patience_ms: AtomicU64,
    retry_after: Duration,
    /// How many registrations are listed: asked for every call, without the lock.
    listed: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    acceptors: HashMap<Service, VecDeque<Acceptor>>,
    calls: HashMap<Service, VecDeque<Arc<ServiceCall>>>,
    /// Registrations that a session has accepted calls of, and what their tenant's calls count in.
    listed: HashMap<Service, Arc<TenantBounds>>,
    /// The same by address. More than one of an address is rare.
    addresses: HashMap<Address, Vec<Service>>,
    last_ticket: u64,
    draining: bool,
}

struct Acceptor {
    ticket: u64,
    leg: Arc<LegShared>,
}

/// One accepting method's stay in the room. Dropping it takes the leg out, and a call that the flow has not seen back.
pub(in crate::call) struct Visit {
    room: Arc<WaitingRoom>,
    service: Service,
    ticket: u64,
    leg: Option<Arc<LegShared>>,
}

/// A registration whose calls a session has accepted: while it stands, a call that no route takes waits for the next
/// accept instead of being unknown.
pub(in crate::call) struct Listing {
    room: Arc<WaitingRoom>,
    address: Address,
    service: Service,
}

impl WaitingRoom {
    /// An empty room; its times run on `runtime`. `retry_after` goes with the 503 of a host that shuts down.
    #[must_use]
    pub fn new(runtime: Handle, limits: &CallLimits, retry_after: Duration) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            waiting_max: AtomicUsize::new(limits.service_waiting_calls),
            patience_ms: AtomicU64::new(limits.service_wait_ms),
            retry_after,
            listed: AtomicUsize::new(0),
            inner: Mutex::default(),
        })
    }

    /// Takes other bounds over: for calls that come from then on. Those that wait keep their time.
    pub fn resize(&self, limits: &CallLimits) {
        self.waiting_max
            .store(limits.service_waiting_calls, Ordering::Relaxed);
        self.patience_ms.store(limits.service_wait_ms, Ordering::Relaxed);
    }

    /// Takes nobody in any more: waiting calls get 503, sessions that accept are denied.
    pub fn drain(&self) {
        let (calls, acceptors) = {
            let mut inner = self.lock();
            inner.draining = true;
            (
                std::mem::take(&mut inner.calls),
                std::mem::take(&mut inner.acceptors),
            )
        };
        for call in calls.into_values().flatten() {
            call.refuse(self.shutting_down());
        }
        for acceptor in acceptors.into_values().flatten() {
            acceptor
                .leg
                .not_accepted(acceptor.ticket, CallError::Denied(Denial::Draining));
        }
    }

    /// Takes calls and sessions in again.
    pub fn resume(&self) {
        self.lock().draining = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shutting_down(&self) -> Refusal {
        Refusal::busy(self.retry_after).because(HostEnd::SHUTTING_DOWN.text)
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed))
    }

    pub(super) fn lists_any(&self) -> bool {
        self.listed.load(Ordering::Acquire) > 0
    }

    /// Does this registration stand, and has a session accepted calls of it before?
    pub(super) fn is_listed(&self, service: &Service) -> bool {
        self.lock().listed.contains_key(service)
    }

    /// Whether a session waits for calls of it at this moment.
    pub(super) fn is_awaited(&self, service: &Service) -> bool {
        self.lock().acceptors.contains_key(service)
    }

    /// Leave for a call of this registration; none when it is not listed.
    pub(super) fn admit_listed(&self, service: &Service) -> Option<Result<Place, Refusal>> {
        let bounds = self.lock().listed.get(service).map(Arc::clone)?;
        Some(self.admit(&bounds))
    }

    /// Leave for a call of the tenant whose calls these are.
    pub(super) fn admit(&self, bounds: &Arc<TenantBounds>) -> Result<Place, Refusal> {
        bounds
            .admit_call()
            .map_err(|limit| Refusal::later(self.retry_after).because(limit))
    }

    /// The one registration listed with this address; none when there are several, for nobody could say whose the call is.
    pub(super) fn listed_alone(&self, address: &Address) -> Option<Service> {
        match self.lock().addresses.get(address)?.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// Gives the call to the session that has waited longest, if one waits.
    pub(super) fn give(&self, call: &Arc<ServiceCall>) -> bool {
        self.lock().hand_over(call)
    }

    /// A call has come: the session that has waited longest gets it, or it waits.
    ///
    /// # Errors
    /// What the caller gets when there is no room.
    pub(super) fn offer(self: &Arc<Self>, call: &Arc<ServiceCall>) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if inner.draining {
            return Err(self.shutting_down());
        }
        if inner.hand_over(call) {
            return Ok(());
        }
        let waiting = inner.calls.entry(call.service.clone()).or_default();
        if waiting.len() >= self.waiting_max.load(Ordering::Relaxed) {
            limits::hit("limits.call.service_waiting_calls");
            return Err(Refusal::new(NOBODY).because("limits.call.service_waiting_calls"));
        }
        waiting.push_back(Arc::clone(call));
        drop(inner);
        self.watch(call);
        Ok(())
    }

    /// The same for one that goes before those who came later; it is not refused for want of room.
    pub(super) fn offer_again(self: &Arc<Self>, call: &Arc<ServiceCall>) {
        let mut inner = self.lock();
        if inner.draining {
            drop(inner);
            return call.refuse(self.shutting_down());
        }
        if inner.hand_over(call) {
            return;
        }
        let waiting = inner.calls.entry(call.service.clone()).or_default();
        waiting.push_front(Arc::clone(call));
        drop(inner);
        self.watch(call);
    }

    /// Refuses the call when its time is up.
    fn watch(self: &Arc<Self>, call: &Arc<ServiceCall>) {
        let (room, watched) = (Arc::clone(self), Arc::clone(call));
        let timer = self.runtime.spawn(async move {
            tokio::time::sleep_until(watched.until()).await;
            room.forget(&watched);
            limits::hit("limits.call.service_wait_ms");
            watched.refuse(Refusal::new(NOBODY).because("limits.call.service_wait_ms"));
        });
        call.watched_by(timer.abort_handle());
    }

    pub(super) fn forget(&self, call: &Arc<ServiceCall>) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.calls.get_mut(&call.service) {
            waiting.retain(|other| !Arc::ptr_eq(other, call));
            if waiting.is_empty() {
                inner.calls.remove(&call.service);
            }
        }
    }

    /// A session accepts: the leg gets the call that has waited longest, now or later.
    ///
    /// # Errors
    /// `Denied` when the host shuts down, `WrongState` when the leg accepts already.
    pub(in crate::call) fn enter(
        self: &Arc<Self>,
        service: Service,
        leg: &Arc<LegShared>,
    ) -> Result<Visit, CallError> {
        let mut inner = self.lock();
        if inner.draining {
            return Err(CallError::Denied(Denial::Draining));
        }
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        leg.begin_to_accept(ticket)?;
        let mut given = false;
        if let Some(waiting) = inner.calls.get_mut(&service) {
            while !given && let Some(call) = waiting.pop_front() {
                given = call.give_to(leg, ticket);
            }
            if waiting.is_empty() {
                inner.calls.remove(&service);
            }
        }
        if !given {
            let acceptors = inner.acceptors.entry(service.clone()).or_default();
            acceptors.push_back(Acceptor {
                ticket,
                leg: Arc::clone(leg),
            });
        }
        Ok(Visit {
            room: Arc::clone(self),
            service,
            ticket,
            leg: Some(Arc::clone(leg)),
        })
    }

    fn withdraw(&self, service: &Service, ticket: u64) {
        let mut inner = self.lock();
        if let Some(acceptors) = inner.acceptors.get_mut(service) {
            acceptors.retain(|acceptor| acceptor.ticket != ticket);
            if acceptors.is_empty() {
                inner.acceptors.remove(service);
            }
        }
    }

    pub(in crate::call) fn list(
        self: &Arc<Self>,
        address: Address,
        service: Service,
        bounds: &Arc<TenantBounds>,
    ) -> Listing {
        let mut inner = self.lock();
        inner.listed.insert(service.clone(), Arc::clone(bounds));
        let of_address = inner.addresses.entry(address.clone()).or_default();
        of_address.push(service.clone());
        drop(inner);
        self.listed.fetch_add(1, Ordering::AcqRel);
        Listing {
            room: Arc::clone(self),
            address,
            service,
        }
    }

    /// Calls that wait, and sessions that accept.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.calls.values().map(VecDeque::len).sum(),
            inner.acceptors.values().map(VecDeque::len).sum(),
        )
    }
}

impl Inner {
    /// Gives the call to the first session that can still take it.
    fn hand_over(&mut self, call: &Arc<ServiceCall>) -> bool {
        let Some(acceptors) = self.acceptors.get_mut(&call.service) else {
            return false;
        };
        let mut given = false;
        while !given && let Some(acceptor) = acceptors.front() {
            given = call.give_to(&acceptor.leg, acceptor.ticket);
            if !given && !call.is_waiting() {
                // The call is over, and who could have had it waits on. It needs no place of its own any more.
                given = true;
            } else {
                acceptors.pop_front();
            }
        }
        if acceptors.is_empty() {
            self.acceptors.remove(&call.service);
        }
        given
    }
}

impl Visit {
    /// Ends the stay; true when the leg has a call.
    pub(in crate::call) fn end(mut self) -> bool {
        self.leave().is_some()
    }

    fn leave(&mut self) -> Option<(Arc<LegShared>, Arc<ServiceCall>)> {
        let leg = self.leg.take()?;
        self.room.withdraw(&self.service, self.ticket);
        let call = leg.end_to_accept()?;
        Some((leg, call))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some((leg, call)) = self.leave() {
            call.put_back(&leg);
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.room.listed.fetch_sub(1, Ordering::AcqRel);
        let mut inner = self.room.lock();
        inner.listed.remove(&self.service);
        if let Some(services) = inner.addresses.get_mut(&self.address) {
            services.retain(|service| *service != self.service);
            if services.is_empty() {
                inner.addresses.remove(&self.address);
            }
        }
    }
}
