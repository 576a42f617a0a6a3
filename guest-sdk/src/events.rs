//! Waiting for the first of many things, on many legs.
//!
//! What a blocking wait on a leg takes does not come here too.

use std::time::Duration;

use crate::wit::callbox::flow::events as raw;
use crate::words::millis;
use crate::{AnswerInfo, Body, Call, Dtmf, Error, HangupInfo, InfoRequest, Notification, Result, Status};

pub use crate::{IncomingOffer, Referral};
pub use raw::ProgressInfo;

/// Something that happened.
#[derive(Debug)]
pub struct Event {
    /// The id of the call, registration or subscription; 0 is the session.
    pub source: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. More cases may come: match with a `_` arm.
#[non_exhaustive]
#[derive(Debug)]
pub enum EventKind {
    /// One more call for this session, ringing. It wants the place of the call that is the source: when it is answered, the host
    /// hangs that one up.
    Incoming(Call),
    /// A provisional response to our INVITE.
    Progress(ProgressInfo),
    /// The peer answered a [`dial`](Call::dial).
    Answered(AnswerInfo),
    /// A [`dial`](Call::dial) failed; the leg is free again.
    Failed(Error),
    /// The leg is over, and this flow did not end it.
    HungUp(HangupInfo),
    /// A digit.
    Dtmf(Dtmf),
    /// An INFO that is not DTMF.
    Info(InfoRequest),
    /// A MESSAGE within the call.
    Message(Body),
    /// A re-INVITE or UPDATE that the flow asked to decide; dropped, it is refused.
    Offer(IncomingOffer),
    /// The peer put us on hold.
    Held,
    /// The peer took us back.
    Resumed,
    /// The peer wants us to call somebody else; dropped, it is declined.
    Refer(Referral),
    /// How a transfer goes on that kept the leg.
    TransferProgress(Status),
    /// A NOTIFY of a subscription.
    Notify(Notification),
    /// A registration could not be refreshed.
    RegistrationLost(Error),
    /// The timer with this id.
    Timer(u32),
    /// Posted to this session from outside.
    External(Body),
    /// The host shuts down, or an operator ends this session: finish within this time. What is up when it is over is hung up,
    /// with a Reason that says so.
    Shutdown(Duration),
    /// So many events were dropped because nobody took them.
    Overflow(u32),
    /// What this SDK does not know yet: its name and content.
    Other(String, Body),
}

impl From<raw::Event> for Event {
    fn from(event: raw::Event) -> Self {
        use raw::EventKind as Raw;
        let kind = match event.kind {
            Raw::Incoming(call) => EventKind::Incoming(call.into()),
            Raw::Progress(info) => EventKind::Progress(info),
            Raw::Answered(info) => EventKind::Answered(info),
            Raw::Failed(error) => EventKind::Failed(error.into()),
            Raw::HungUp(info) => EventKind::HungUp(info),
            Raw::Dtmf(dtmf) => EventKind::Dtmf(dtmf.into()),
            Raw::Info(info) => EventKind::Info(info),
            Raw::Message(body) => EventKind::Message(body),
            Raw::Offer(offer) => EventKind::Offer(offer.into()),
            Raw::Held => EventKind::Held,
            Raw::Resumed => EventKind::Resumed,
            Raw::Refer(referral) => EventKind::Refer(referral.into()),
            Raw::TransferProgress(status) => EventKind::TransferProgress(status),
            Raw::Notify(notification) => EventKind::Notify(notification),
            Raw::RegistrationLost(error) => EventKind::RegistrationLost(error.into()),
            Raw::Timer(id) => EventKind::Timer(id),
            Raw::External(body) => EventKind::External(body),
            Raw::Shutdown(ms) => EventKind::Shutdown(Duration::from_millis(ms.into())),
            Raw::Overflow(count) => EventKind::Overflow(count),
            Raw::Other((name, body)) => EventKind::Other(name, body),
        };
        Self {
            source: event.source,
            kind,
        }
    }
}

/// The next event, however long it takes. Fails with [`Error::WrongState`] when nothing could end the wait: no leg is up,
/// and there is no timer, registration or subscription.
pub fn next() -> Result<Event> {
    Ok(raw::next(None)?.into())
}

/// The next event within this time.
pub fn next_within(timeout: Duration) -> Result<Event> {
    Ok(raw::next(Some(millis(timeout)))?.into())
}

/// The next event of these legs within this time; those of others stay. Seed: `selector:select{actors, timeout}`.
pub fn next_from(calls: &[&Call], timeout: Duration) -> Result<Event> {
    let sources: Vec<u32> = calls.iter().map(|call| call.id()).collect();
    next_from_sources(&sources, timeout)
}

/// The next event of these sources (ids of calls, registrations, subscriptions; 0 is the session) within this time.
pub fn next_from_sources(sources: &[u32], timeout: Duration) -> Result<Event> {
    Ok(raw::next_from(sources, Some(millis(timeout)))?.into())
}

/// An event that is there already.
#[must_use]
pub fn poll() -> Option<Event> {
    raw::poll().map(Event::from)
}

/// After this time comes the event [`EventKind::Timer`] with this id. Setting an id again moves the timer.
pub fn set_timer(id: u32, after: Duration) {
    raw::set_timer(id, millis(after));
}

/// Takes a timer back, fired or not.
pub fn cancel_timer(id: u32) {
    raw::cancel_timer(id);
}
