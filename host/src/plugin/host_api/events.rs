//! `events`: the session's mailbox and timers.

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::events as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error, Status};
use super::sipcall::{answer_info, dtmf, info_request};
use super::subscription::notification;
use super::types::{body, duration, error, hangup_info, milliseconds, status};
use crate::call::{self, EventKind, Leg};
use crate::plugin::flow_log::Level;
use crate::plugin::state::{CallState, waited};

/// A REFER from the peer. The host answers every REFER itself so far, so none is ever made.
pub enum Referral {}
/// An offer that the flow decides. The host answers every offer itself so far, so none is ever made.
pub enum IncomingOffer {}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl wit::Host for CallState {
    async fn next(&mut self, timeout: Option<u32>) -> Answer<wit::Event> {
        self.enter(0).await;
        let Self { session, meter, .. } = self;
        Ok(waited(meter, session.next_event(None, timeout.map(duration)))
            .await
            .map(event)
            .map_err(error))
    }

    async fn next_from(&mut self, sources: Vec<u32>, timeout: Option<u32>) -> Answer<wit::Event> {
        self.enter(sources.len() * 4).await;
        let Self { session, meter, .. } = self;
        Ok(
            waited(meter, session.next_event(Some(&sources), timeout.map(duration)))
                .await
                .map(event)
                .map_err(error),
        )
    }

    async fn poll(&mut self) -> wasmtime::Result<Option<wit::Event>> {
        self.enter(0).await;
        Ok(self.session.poll_event().map(event))
    }

    async fn set_timer(&mut self, id: u32, after: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        self.session.set_timer(id, duration(after));
        Ok(())
    }

    async fn cancel_timer(&mut self, id: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        self.session.cancel_timer(id);
        Ok(())
    }

    async fn decide_offers(&mut self, leg: Resource<Leg>, value: bool) -> wasmtime::Result<()> {
        self.enter(0).await;
        // The contract leaves no room for an error here; silence would be worse than a line in the flow's log.
        if let Err(error) = self.session.decide_offers(self.leg(&leg)?, value) {
            self.log.line(Level::Warn, &format!("decide-offers: {error}"));
        }
        Ok(())
    }
}

fn event(event: call::Event) -> wit::Event {
    wit::Event {
        source: event.source,
        kind: kind(event.kind),
    }
}

fn kind(kind: EventKind) -> wit::EventKind {
    match kind {
        EventKind::Progress {
            status: of,
            body: content,
            reliable,
        } => wit::EventKind::Progress(wit::ProgressInfo {
            status: status(of),
            body: content.as_ref().map(body),
            reliable,
        }),
        EventKind::Answered(info) => wit::EventKind::Answered(answer_info(info)),
        EventKind::Failed(why) => wit::EventKind::Failed(error(why)),
        EventKind::HungUp(info) => wit::EventKind::HungUp(hangup_info(info)),
        EventKind::Dtmf(digit) => wit::EventKind::Dtmf(dtmf(digit)),
        EventKind::Info(info) => wit::EventKind::Info(info_request(info)),
        EventKind::Message(content) => wit::EventKind::Message(body(&content)),
        EventKind::Held => wit::EventKind::Held,
        EventKind::Resumed => wit::EventKind::Resumed,
        EventKind::Notify(content) => wit::EventKind::Notify(notification(*content)),
        EventKind::RegistrationLost(why) => wit::EventKind::RegistrationLost(error(why)),
        EventKind::Timer(id) => wit::EventKind::Timer(id),
        EventKind::External(content) => wit::EventKind::External(body(&content)),
        EventKind::Shutdown(within) => wit::EventKind::Shutdown(milliseconds(within)),
        EventKind::Overflow(lost) => wit::EventKind::Overflow(lost),
    }
}

impl wit::HostReferral for CallState {
    async fn target(&mut self, this: Resource<Referral>) -> wasmtime::Result<String> {
        match *self.table.get(&this)? {}
    }
    async fn replaces(&mut self, this: Resource<Referral>) -> wasmtime::Result<Option<String>> {
        match *self.table.get(&this)? {}
    }
    async fn referred_by(&mut self, this: Resource<Referral>) -> wasmtime::Result<Option<String>> {
        match *self.table.get(&this)? {}
    }
    async fn accept(&mut self, this: Resource<Referral>) -> Answer<()> {
        match *self.table.get(&this)? {}
    }
    async fn reject(&mut self, this: Resource<Referral>, _code: u16) -> Answer<()> {
        match *self.table.get(&this)? {}
    }
    async fn notify(&mut self, this: Resource<Referral>, _status: Status) -> Answer<()> {
        match *self.table.get(&this)? {}
    }
    async fn drop(&mut self, this: Resource<Referral>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}

impl wit::HostIncomingOffer for CallState {
    async fn body(&mut self, this: Resource<IncomingOffer>) -> wasmtime::Result<Option<Body>> {
        match *self.table.get(&this)? {}
    }
    async fn answer(&mut self, this: Resource<IncomingOffer>, _body: Body) -> Answer<()> {
        match *self.table.get(&this)? {}
    }
    async fn reject(&mut self, this: Resource<IncomingOffer>, _code: u16) -> Answer<()> {
        match *self.table.get(&this)? {}
    }
    async fn drop(&mut self, this: Resource<IncomingOffer>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}
