//! `events`: the session's mailbox and timers.

use wasmtime::component::{Resource, ResourceTable};

use super::bindings::call_flow::callbox::flow::events as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error, Status};
use super::sipcall::{answer_info, dtmf, info_request};
use super::subscription::notification;
use super::types::{
    body, body_from, body_size, duration, error, hangup_info, milliseconds, status, status_from,
};
use crate::call::{self, EventKind, IncomingOffer, Leg, Referral};
use crate::plugin::state::{CallState, waited};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl wit::Host for CallState {
    async fn next(&mut self, timeout: Option<u32>) -> Answer<wit::Event> {
        self.enter("events.next", 0).await;
        let Self {
            session,
            meter,
            table,
            ..
        } = self;
        match waited(meter, session.next_event(None, timeout.map(duration))).await {
            Ok(came) => event(table, came).map(Ok),
            Err(why) => Ok(Err(error(why))),
        }
    }

    async fn next_from(&mut self, sources: Vec<u32>, timeout: Option<u32>) -> Answer<wit::Event> {
        self.enter("events.next-from", sources.len() * 4).await;
        let Self {
            session,
            meter,
            table,
            ..
        } = self;
        match waited(meter, session.next_event(Some(&sources), timeout.map(duration))).await {
            Ok(came) => event(table, came).map(Ok),
            Err(why) => Ok(Err(error(why))),
        }
    }

    async fn poll(&mut self) -> wasmtime::Result<Option<wit::Event>> {
        self.enter("events.poll", 0).await;
        let Self { session, table, .. } = self;
        session.poll_event().map(|came| event(table, came)).transpose()
    }

    async fn set_timer(&mut self, id: u32, after: u32) -> wasmtime::Result<()> {
        self.enter("events.set-timer", 0).await;
        self.session.set_timer(id, duration(after));
        Ok(())
    }

    async fn cancel_timer(&mut self, id: u32) -> wasmtime::Result<()> {
        self.enter("events.cancel-timer", 0).await;
        self.session.cancel_timer(id);
        Ok(())
    }

    async fn decide_offers(&mut self, leg: Resource<Leg>, value: bool) -> wasmtime::Result<()> {
        self.enter("events.decide-offers", 0).await;
        self.leg(&leg)?.decide_offers(value);
        Ok(())
    }
}

fn event(table: &mut ResourceTable, event: call::Event) -> wasmtime::Result<wit::Event> {
    Ok(wit::Event {
        source: event.source,
        kind: kind(table, event.kind)?,
    })
}

/// What an event holds becomes the guest's. Where the guest holds too much already, it traps, and what the peer asked is
/// answered with no as the event is dropped.
fn kind(table: &mut ResourceTable, kind: EventKind) -> wasmtime::Result<wit::EventKind> {
    Ok(match kind {
        EventKind::Incoming(leg) => wit::EventKind::Incoming(table.push(leg)?),
        EventKind::Offer(offer) => wit::EventKind::Offer(table.push(offer)?),
        EventKind::Refer(referral) => wit::EventKind::Refer(table.push(referral)?),
        EventKind::TransferProgress(of) => wit::EventKind::TransferProgress(status(of)),
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
    })
}

impl wit::HostReferral for CallState {
    async fn target(&mut self, this: Resource<Referral>) -> wasmtime::Result<String> {
        self.enter("referral.target", 0).await;
        Ok(self.table.get(&this)?.target().to_owned())
    }
    async fn replaces(&mut self, this: Resource<Referral>) -> wasmtime::Result<Option<String>> {
        self.enter("referral.replaces", 0).await;
        Ok(self.table.get(&this)?.replaces().map(str::to_owned))
    }
    async fn referred_by(&mut self, this: Resource<Referral>) -> wasmtime::Result<Option<String>> {
        self.enter("referral.referred-by", 0).await;
        Ok(self.table.get(&this)?.referred_by().map(str::to_owned))
    }
    async fn accept(&mut self, this: Resource<Referral>) -> Answer<()> {
        self.enter("referral.accept", 0).await;
        Ok(self.table.get(&this)?.accept().map_err(error))
    }
    async fn reject(&mut self, this: Resource<Referral>, code: u16) -> Answer<()> {
        self.enter("referral.reject", 0).await;
        Ok(self.table.get(&this)?.reject(code).map_err(error))
    }
    async fn notify(&mut self, this: Resource<Referral>, status: Status) -> Answer<()> {
        self.enter("referral.notify", status.reason.len()).await;
        let referral = self.table.get(&this)?;
        Ok(referral.notify(&status_from(status)).map_err(error))
    }
    async fn drop(&mut self, this: Resource<Referral>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostIncomingOffer for CallState {
    async fn body(&mut self, this: Resource<IncomingOffer>) -> wasmtime::Result<Option<Body>> {
        self.enter("incoming-offer.body", 0).await;
        Ok(self.table.get(&this)?.body().as_ref().map(body))
    }
    async fn answer(&mut self, this: Resource<IncomingOffer>, content: Body) -> Answer<()> {
        self.enter("incoming-offer.answer", body_size(Some(&content)))
            .await;
        let offer = self.table.get(&this)?;
        let answered = body_from(&self.session, content).and_then(|content| offer.answer(content));
        Ok(answered.map_err(error))
    }
    async fn reject(&mut self, this: Resource<IncomingOffer>, code: u16) -> Answer<()> {
        self.enter("incoming-offer.reject", 0).await;
        Ok(self.table.get(&this)?.reject(code).map_err(error))
    }
    async fn drop(&mut self, this: Resource<IncomingOffer>) -> wasmtime::Result<()> {
        self.table.delete(this)?.decline();
        Ok(())
    }
}
