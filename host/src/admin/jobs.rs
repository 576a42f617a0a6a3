//! `POST /v1/jobs`: starts a job, a run of a flow that no call began.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::Input;
use super::node::Node;
use super::problem::Problem;
use crate::tenant::{JobArgs, NoJob};

/// Which job, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// `tenant/flow`
    pub flow: String,
    /// A JSON object of strings.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
}

/// A job that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The id of its session.
    pub session: String,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/jobs", post(begin))
}

async fn begin(
    State(node): State<Arc<Node>>,
    Input(job): Input<NewJob>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let session = node
        .directory
        .start_job(&job.flow, &JobArgs::of(&job.args))
        .map_err(|why| refusal(&job.flow, why))?;
    tracing::info!(session, flow = job.flow, "an operator started a job");
    Ok((StatusCode::CREATED, Json(Begun { session })))
}

fn refusal(flow: &str, why: NoJob) -> Problem {
    match why {
        NoJob::Unknown(..) => Problem::unknown("flow", flow),
        NoJob::TakesCalls | NoJob::NotGranted(_) => Problem::refused(why.to_string()),
        NoJob::NotLoaded | NoJob::Broken | NoJob::Draining | NoJob::NoShard => {
            Problem::conflict(why.to_string())
        }
        NoJob::Busy(limit) => Problem::limit(limit),
        NoJob::Args(error) => error.into(),
    }
}
