//! `GET /v1/traps`: the latest runs of each tenant that neither their flow nor the host ended.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::Query;
use super::node::Node;
use super::problem::Problem;
use crate::pii::Redaction;
use crate::tenant;
use crate::unix_time;

/// The latest traps, the newest first; of each tenant as many as `limits.traps_max`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traps {
    /// The reports.
    pub traps: Vec<Trap>,
}

/// One run that trapped. `text`, `backtrace` and `last_lines` hold words of the flow's, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// When: milliseconds since 1970.
    pub at_ms: u64,
    /// Whose flow it was.
    pub tenant: String,
    /// The flow.
    pub flow: String,
    /// Its version.
    pub version: String,
    /// The id of the session.
    pub session: String,
    /// The Call-ID of its first leg; empty when it had none.
    pub call: String,
    /// What happened, as records and metrics name it.
    pub outcome: String,
    /// The limit that ended it, as the table of limits names it.
    pub limit: Option<String>,
    /// What happened, for people.
    pub text: String,
    /// Functions of the flow, innermost first, one a line.
    pub backtrace: Option<String>,
    /// The last lines that the flow logged, oldest first.
    pub last_lines: Vec<String>,
    /// Fuel that the run used.
    pub fuel: u64,
    /// Bytes of memory at its end.
    pub memory_bytes: u64,
    /// The session that took the call over.
    pub heir: Option<String>,
}

/// Whose.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filter {
    tenant: Option<String>,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/traps", get(list))
}

async fn list(State(node): State<Arc<Node>>, Query(filter): Query<Filter>) -> Result<Json<Traps>, Problem> {
    let tenant = filter.tenant.as_deref();
    let traps = node
        .directory
        .traps(tenant)
        .ok_or_else(|| Problem::unknown("tenant", tenant.unwrap_or_default()))?;
    let traps = traps.iter().map(|trap| of(trap, node.redaction())).collect();
    Ok(Json(Traps { traps }))
}

fn of(trap: &tenant::Trap, redaction: Option<&Redaction>) -> Trap {
    Trap {
        at_ms: unix_time::ms(trap.at),
        tenant: trap.tenant.to_string(),
        flow: trap.flow.to_string(),
        version: trap.version.to_string(),
        session: trap.session.clone(),
        call: trap.call.clone(),
        outcome: trap.outcome.to_owned(),
        limit: trap.limit.map(str::to_owned),
        text: match redaction {
            Some(redaction) => redaction.text(&trap.text),
            None => trap.text.clone(),
        },
        backtrace: trap.backtrace.clone(),
        last_lines: trap.last_lines.clone(),
        fuel: trap.fuel,
        memory_bytes: trap.memory as u64,
        heir: trap.heir.clone(),
    }
}
