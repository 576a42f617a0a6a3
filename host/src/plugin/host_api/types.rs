//! `types`: words that every interface shares, in both directions.

use std::time::Duration;

use super::bindings::call_flow::callbox::flow::types as wit;
use crate::call::{self, CallError, Session};
use crate::plugin::state::{CallState, Weight};

impl wit::Host for CallState {}

pub(super) fn duration(milliseconds: u32) -> Duration {
    Duration::from_millis(u64::from(milliseconds))
}

/// A length of time for a guest; longer than 49 days is 49 days.
pub(super) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Bytes that a guest handed over in a list of headers.
pub(super) fn size(headers: &[wit::Header]) -> usize {
    headers
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum()
}

pub(super) fn body_size(body: Option<&wit::Body>) -> usize {
    body.map_or(0, |body| body.content_type.len() + body.data.len())
}

pub(super) fn headers_from(
    session: &Session,
    headers: &[wit::Header],
) -> Result<Vec<call::Header>, CallError> {
    let limit = session.context().limits.headers_max;
    if headers.len() > limit {
        return Err(CallError::limit("limits.call.headers_max"));
    }
    headers
        .iter()
        .map(|header| session.header(&header.name, &header.value))
        .collect()
}

pub(super) fn body_from(session: &Session, body: wit::Body) -> Result<call::Body, CallError> {
    session.body(&body.content_type, body.data)
}

pub(in crate::plugin) fn body(body: &call::Body) -> wit::Body {
    wit::Body {
        content_type: body.content_type().to_owned(),
        data: body.data().to_vec(),
    }
}

pub(super) fn headers(headers: Vec<call::ReceivedHeader>) -> Vec<wit::Header> {
    headers
        .into_iter()
        .map(|header| wit::Header {
            name: header.name,
            value: header.value,
        })
        .collect()
}

pub(super) fn status(status: call::Status) -> wit::Status {
    wit::Status {
        code: status.code,
        reason: status.reason,
    }
}

pub(super) fn status_from(status: wit::Status) -> call::Status {
    call::Status {
        code: status.code,
        reason: status.reason,
    }
}

pub(super) fn hangup_info(info: call::HangupInfo) -> wit::HangupInfo {
    wit::HangupInfo {
        by: match info.by {
            call::Party::Local => wit::Party::Local,
            call::Party::Remote => wit::Party::Remote,
            call::Party::Host => wit::Party::Host,
        },
        status: info.status.map(status),
        q850: info.q850,
        text: info.text,
    }
}

pub(super) fn error(error: CallError) -> wit::Error {
    match error {
        CallError::Timeout => wit::Error::Timeout,
        CallError::Hangup(info) => wit::Error::Hangup(hangup_info(info)),
        CallError::WrongState(text) => wit::Error::WrongState(text),
        CallError::Invalid(text) => wit::Error::Invalid(text),
        CallError::UnknownDestination(text) => wit::Error::UnknownDestination(text),
        CallError::Rejected(of) => wit::Error::Rejected(status(of)),
        CallError::Cancelled => wit::Error::Cancelled,
        CallError::Denied(denial) => wit::Error::Denied(self::denial(denial)),
        CallError::Unsupported(text) => wit::Error::Unsupported(text),
        CallError::Protocol(text) => wit::Error::Protocol(text),
        CallError::Transport(text) => wit::Error::Transport(text),
    }
}

fn denial(denial: call::Denial) -> wit::Denial {
    match denial {
        call::Denial::Destination => wit::Denial::Destination,
        call::Denial::Capability(text) => wit::Denial::Capability(text),
        call::Denial::Limit(name) => wit::Denial::Limit(name.to_owned()),
        call::Denial::Header(name) => wit::Denial::Header(name),
        call::Denial::Identity => wit::Denial::Identity,
        call::Denial::Draining => wit::Denial::Draining,
    }
}

impl Weight for wit::Body {
    fn bytes(&self) -> usize {
        body_size(Some(self))
    }
}
