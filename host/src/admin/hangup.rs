//! `POST /v1/sessions/{id}/legs/{leg}/hangup`: one leg of a session is ended; its flow hears of it and goes on.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::{Input, Path};
use super::node::Node;
use super::problem::Problem;
use crate::call::HostEnd;

/// What the peer is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hangup {
    /// The final response of a call that was not answered, and the cause of the Reason header: 400 to 699, 480 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The words of the Reason header: one line, without quotation marks and backslashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/sessions/{id}/legs/{leg}/hangup", post(hang_up))
}

async fn hang_up(
    State(node): State<Arc<Node>>,
    Path((id, leg)): Path<(String, u32)>,
    Input(hangup): Input<Hangup>,
) -> Result<StatusCode, Problem> {
    let HostEnd { code, text } = HostEnd::KILLED;
    let code = hangup.code.unwrap_or(code);
    let reason = hangup.reason.as_deref().unwrap_or(text);
    match node.directory.hang_up(&id, leg, code, reason) {
        None => return Err(Problem::unknown("leg", &format!("{id}/{leg}"))),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(())) => {}
    }
    tracing::info!(session = id, leg, code, reason, "an operator hangs up the leg");
    Ok(StatusCode::NO_CONTENT)
}
