//! `POST /v1/reload`: the host reads its configuration again, whole or not at all.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;

use super::Routes;
use super::node::Node;
use super::problem::Problem;
use crate::tenant::{Changes, ReloadError};

/// Compiling new flows takes its time, which the loader bounds.
pub(super) fn patient_routes() -> Routes {
    Router::new().route("/v1/reload", post(reload))
}

async fn reload(State(node): State<Arc<Node>>) -> Result<Json<Changes>, Problem> {
    tracing::info!("an operator asked for a reload");
    match node.reloader.reload().await {
        Ok(changes) => Ok(Json(changes)),
        Err(error @ (ReloadError::Config(_) | ReloadError::Flows(_))) => {
            Err(Problem::refused(error.to_string()))
        }
        Err(error @ ReloadError::Reading(_)) => Err(Problem::failed(error.to_string())),
    }
}
