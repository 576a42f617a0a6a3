//! `POST /v1/drain` and `DELETE /v1/drain`: no new calls, and calls again. The process goes on.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::Input;
use super::node::Node;
use super::problem::Problem;
use crate::config::DrainTarget;

/// How the host runs empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Where new calls are sent (302): `sip:HOST:PORT`, no user part. None: where `[drain] redirect` says, or 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Milliseconds that the sessions which are up have to finish, at most a day; then they are ended. None: as long as they take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

const GRACE_MAX: Duration = Duration::from_secs(86_400);

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/drain", post(drain).delete(undo))
}

async fn drain(State(node): State<Arc<Node>>, Input(drain): Input<Drain>) -> Result<StatusCode, Problem> {
    let redirect: Option<Result<DrainTarget, String>> = drain.redirect.as_deref().map(str::parse);
    let redirect = redirect
        .transpose()
        .map_err(|why| Problem::invalid(format!("redirect {why}")))?;
    let grace = drain.grace_ms.map(|ms| Duration::from_millis(ms).min(GRACE_MAX));
    node.directory
        .drain_for_now(redirect, grace)
        .map_err(|ends| Problem::conflict(ends.to_string()))?;
    tracing::info!(
        redirect = drain.redirect,
        ?grace,
        calls = node.directory.calls(),
        "an operator drains the host: no new calls"
    );
    Ok(StatusCode::NO_CONTENT)
}

async fn undo(State(node): State<Arc<Node>>) -> Result<StatusCode, Problem> {
    let resumed = node
        .directory
        .resume()
        .map_err(|ends| Problem::conflict(ends.to_string()))?;
    if !resumed {
        return Err(Problem::conflict("the host takes calls already"));
    }
    tracing::info!("an operator lets the host take calls again");
    Ok(StatusCode::NO_CONTENT)
}
