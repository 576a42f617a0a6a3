//! `POST /v1/sessions/{id}/events`: an external event into the mailbox of a session, as another session would send it.

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

/// What the flow gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// A media type; `text/plain` when nothing is said.
    #[serde(default = "text")]
    pub content_type: String,
    /// At most `limits.call.body_max_bytes`.
    pub data: String,
}

fn text() -> String {
    "text/plain".to_owned()
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/sessions/{id}/events", post(send))
}

async fn send(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    Input(payload): Input<Payload>,
) -> Result<StatusCode, Problem> {
    let sent = node
        .directory
        .post(&id, &payload.content_type, payload.data.into_bytes())
        .ok_or_else(|| Problem::unknown("session", &id))?;
    sent?;
    tracing::info!(session = id, "an operator posted an event");
    Ok(StatusCode::NO_CONTENT)
}
