//! Why a request was not done (RFC 9457), for the server that says it and the client that reads it.
//!
//! Entry type: [`Problem`]. Programs go by `type`, people by `detail`, which says what to do.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::call::{CallError, Denial};
use crate::config::limits;

/// The media type of problems.
const PROBLEM_JSON: &str = "application/problem+json";

/// A request that was not done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem it is, for programs: `urn:callbox:problem:` and a word that never changes.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The limit that was hit, by its name in the table: `limits.tenant.calls_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl Problem {
    /// A problem of a kind of its own; `word` is the last part of its type.
    pub fn new(status: StatusCode, word: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:callbox:problem:{word}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            limit: None,
        }
    }

    /// 404: there is no such thing. `what` is one word: session, flow, tenant.
    pub fn unknown(what: &str, name: &str) -> Self {
        // Names come from the client, and go to its terminal.
        let name: String = name.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("unknown-{what}"),
            &format!("No such {what}"),
            format!("there is no {what} {name:?}"),
        )
    }

    /// 400: the request itself is wrong.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", "The request is wrong", detail)
    }

    /// 409: the host or the thing is in no state for it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Not in this state", detail)
    }

    /// 422: what was given was understood and is not accepted: a flow that does not load, a configuration that is wrong.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "refused",
            "Not accepted",
            detail,
        )
    }

    /// 429: a limit was hit, by its name in the table of limits.
    pub fn limit(name: &str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self {
            limit: Some(name.to_owned()),
            ..Self::new(status, "limit", "A limit was hit", format!("{name} reached"))
        }
    }

    /// The same, for a limit that is hit here and that nobody has counted yet.
    #[must_use]
    pub(super) fn hit(self, limit: &'static str) -> Self {
        limits::hit(limit);
        Self {
            limit: Some(limit.to_owned()),
            ..self
        }
    }

    /// 500: the host failed, and not for a mistake of the request.
    pub fn failed(detail: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "failed", "The host failed", detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.is_empty() {
            true => f.write_str(&self.title),
            false => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for Problem {}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied(Denial::Limit(name)) => Self::limit(name),
            CallError::Invalid(_) => Self::invalid(error.to_string()),
            error => Self::conflict(error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
