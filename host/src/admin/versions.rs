//! `/v1/versions` and `/v1/versions/{tenant}/{flow}`: the versions of flows; a new one by POST of its file, `…/promote` and
//! `…/rollback`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Routes;
use super::input::{Input, Path, Query};
use super::node::Node;
use super::problem::Problem;
use crate::tenant::{DeployError, Deployed, FlowVersions, NoChange, Pin, Rollout};

/// Files that are received at the same time: each is in memory.
static UPLOADS: Semaphore = Semaphore::const_new(4);
/// The longest that a file may take to arrive.
const ARRIVES: Duration = Duration::from_secs(120);

/// How a version that is brought is put to work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployQuery {
    /// Only for this share of the calls, in percent.
    pub canary: Option<u8>,
    /// Only for the calls of these numbers, separated by commas.
    pub pins: Option<String>,
    /// Who brings it.
    pub by: Option<String>,
}

/// Which version to promote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Its number; none: the one that is tried.
    #[serde(default)]
    pub number: Option<u32>,
}

/// How far to go back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Only take these pins away.
    #[serde(default)]
    pub pins: Vec<Pin>,
}

pub(super) fn routes() -> Routes {
    Router::new()
        .route("/v1/versions", get(all))
        .route("/v1/versions/{tenant}/{flow}", get(one))
}

/// What compiles, or reads compiled code back.
pub(super) fn patient_routes() -> Routes {
    Router::new()
        .route("/v1/versions/{tenant}/{flow}", post(deploy))
        .route("/v1/versions/{tenant}/{flow}/promote", post(promote))
        .route("/v1/versions/{tenant}/{flow}/rollback", post(roll_back))
}

async fn all(State(node): State<Arc<Node>>) -> Json<Vec<FlowVersions>> {
    Json(node.directory.all_versions())
}

async fn one(
    State(node): State<Arc<Node>>,
    Path((tenant, flow)): Path<(String, String)>,
) -> Result<Json<FlowVersions>, Problem> {
    let name = format!("{tenant}/{flow}");
    let versions = node.directory.versions(&name);
    versions.map(Json).ok_or_else(|| Problem::unknown("flow", &name))
}

async fn deploy(
    State(node): State<Arc<Node>>,
    Path((tenant, flow)): Path<(String, String)>,
    Query(query): Query<DeployQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Deployed>), Problem> {
    let pins = query.pins.as_deref().unwrap_or_default().split(',');
    let pins: Result<Vec<Pin>, String> = pins.filter(|pin| !pin.is_empty()).map(str::parse).collect();
    let rollout = Rollout {
        canary: query.canary,
        pins: pins.map_err(Problem::invalid)?,
    };
    let name = format!("{tenant}/{flow}");
    if node.directory.versions(&name).is_none() {
        return Err(Problem::unknown("flow", &name));
    }
    let Ok(_upload) = UPLOADS.try_acquire() else {
        return Err(Problem::conflict("other versions are being uploaded: try again"));
    };
    let most = node.loader.component_max_bytes();
    let file = match tokio::time::timeout(ARRIVES, to_bytes(request.into_body(), most)).await {
        Ok(Ok(file)) => file.to_vec(),
        Ok(Err(_)) => return Err(too_large(most)),
        Err(_) => return Err(Problem::invalid("the file did not arrive in time")),
    };
    let by = query.by.as_deref().unwrap_or("admin");
    let deployed = node.directory.deploy(&name, file, rollout, by).await;
    Ok((
        StatusCode::CREATED,
        Json(deployed.map_err(|error| refusal(&name, error))?),
    ))
}

async fn promote(
    State(node): State<Arc<Node>>,
    Path((tenant, flow)): Path<(String, String)>,
    Input(promotion): Input<Promotion>,
) -> Result<Json<Deployed>, Problem> {
    let name = format!("{tenant}/{flow}");
    let promoted = node.directory.promote(&name, promotion.number).await;
    promoted.map(Json).map_err(|error| refusal(&name, error))
}

async fn roll_back(
    State(node): State<Arc<Node>>,
    Path((tenant, flow)): Path<(String, String)>,
    Input(rollback): Input<Rollback>,
) -> Result<Json<Deployed>, Problem> {
    let name = format!("{tenant}/{flow}");
    let rolled = node.directory.roll_back(&name, rollback.pins).await;
    rolled.map(Json).map_err(|error| refusal(&name, error))
}

fn too_large(most: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too large",
        format!("a flow has at most {most} bytes (limits.plugin.component_max_bytes), and must arrive whole"),
    )
    .hit("limits.plugin.component_max_bytes")
}

fn refusal(flow: &str, error: DeployError) -> Problem {
    match error {
        DeployError::UnknownFlow(..) => Problem::unknown("flow", flow),
        DeployError::NoChange(NoChange::TooManyPins(_)) => Problem {
            detail: error.to_string(),
            ..Problem::limit("limits.versions.pins_max").hit("limits.versions.pins_max")
        },
        DeployError::Busy(_) | DeployError::NoChange(_) | DeployError::NotHere => {
            Problem::conflict(error.to_string())
        }
        DeployError::Refused(_) => Problem::refused(error.to_string()),
        DeployError::Asked(_) => Problem::invalid(error.to_string()),
        DeployError::NotKept(_) => Problem::failed(error.to_string()),
    }
}
