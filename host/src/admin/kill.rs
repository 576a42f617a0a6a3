//! `POST /v1/sessions/{id}/kill`: a session is ended, whatever its flow does.

use std::sync::Arc;
use std::time::Duration;

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

/// How a session is ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Milliseconds that the flow has to finish by itself, at most an hour; its event `shutdown` names them. 0 by default:
    /// its legs are ended at once.
    #[serde(default)]
    pub grace_ms: u64,
}

/// More is not to end a session but to hope that it ends.
const GRACE_MAX: Duration = Duration::from_secs(3_600);

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/sessions/{id}/kill", post(kill))
}

async fn kill(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    Input(kill): Input<Kill>,
) -> Result<StatusCode, Problem> {
    let grace = Duration::from_millis(kill.grace_ms).min(GRACE_MAX);
    if !node.directory.end_session(&id, HostEnd::KILLED, grace) {
        return Err(Problem::unknown("session", &id));
    }
    tracing::info!(session = id, ?grace, "an operator ends the session");
    Ok(StatusCode::NO_CONTENT)
}
