//! `GET /v1/status`: is it well, what does it serve, how full is it.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::node::Node;
use super::tenants::hide_in;
use crate::tenant::{Failure, Fallen};

/// The host at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of callbox.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// `serving`, or `draining`: no new calls.
    pub state: String,
    /// Why and until when there are no new calls; absent while they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainState>,
    /// Seconds since 1970.
    pub started: u64,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// SIP.
    pub listeners: Vec<Listener>,
    /// Calls and jobs.
    pub calls: Calls,
    /// What is alive below calls.
    pub wire: Wire,
    /// Every flow, in the order of the configuration.
    pub flows: Vec<Flow>,
}

/// The host takes no new calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainState {
    /// The host ends. Else an operator wanted it, who may undo it.
    pub for_good: bool,
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// Where new calls are sent; absent: where `[drain] redirect` says, or 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// When what is up is ended, in milliseconds since 1970; absent: when its flows end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<u64>,
}

/// A SIP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `udp` or `tcp`.
    pub transport: String,
    /// Where it is bound.
    pub local: String,
    /// What peers are told.
    pub advertised: String,
}

/// Calls and jobs of the whole host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Whose flow runs.
    pub now: usize,
    /// As many as may.
    pub max: usize,
    /// Refused with 503 since the start.
    pub refused: u64,
    /// Not ended by their flow, since the start.
    pub trapped: u64,
}

/// What is alive in the SIP stack, over all threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// SIP threads.
    pub threads: usize,
    /// Legs.
    pub legs: usize,
    /// Dialogs.
    pub dialogs: usize,
    /// Transactions, those that only wait to be forgotten included.
    pub transactions: usize,
    /// Registrations that flows hold elsewhere.
    pub registrations: usize,
    /// Subscriptions that flows hold elsewhere.
    pub subscriptions: usize,
    /// Timers.
    pub timers: usize,
    /// TCP connections.
    pub connections: usize,
}

/// A flow of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub flow: String,
    /// What new calls get; null when nothing could be loaded.
    pub version: Option<String>,
    /// Runs of this version that have ended.
    pub runs: u64,
    /// Those of them that the flow did not end itself.
    pub traps: u64,
    /// Why the last version that was to be taken was not; absent once one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Versions that were taken out of service since, and those that have trapped too often and have no other to take their calls.
    #[serde(default)]
    pub fallen: Vec<Fallen>,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/status", get(status))
}

async fn status(State(node): State<Arc<Node>>) -> Json<Status> {
    let overview = node.directory.overview();
    let counts = node.wire.counts();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: match &overview.draining {
            Some(_) => "draining",
            None => "serving",
        }
        .to_owned(),
        drain: overview.draining.map(|draining| DrainState {
            for_good: draining.for_good,
            since_ms: draining.since_ms,
            redirect: draining.redirect.map(|peer| peer.to_string()),
            ends_ms: draining.ends_ms,
        }),
        started: node
            .started
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        uptime_s: node.since.elapsed().as_secs(),
        listeners: node
            .wire
            .listeners()
            .map(|bound| Listener {
                transport: bound.transport.to_string(),
                local: bound.local.to_string(),
                advertised: bound.advertised.to_string(),
            })
            .collect(),
        calls: Calls {
            now: overview.calls,
            max: overview.calls_max,
            refused: overview.refused,
            trapped: overview.trapped,
        },
        wire: Wire {
            threads: node.wire.shards(),
            legs: counts.legs,
            dialogs: counts.dialogs,
            transactions: counts.transactions,
            registrations: counts.registrations,
            subscriptions: counts.subscriptions,
            timers: counts.timers,
            connections: node.wire.connections(),
        },
        flows: overview
            .flows
            .into_iter()
            .map(|mut flow| {
                hide_in(&mut flow.fallen, node.redaction());
                flow
            })
            .map(|flow| Flow {
                tenant: flow.tenant,
                flow: flow.flow,
                version: flow.version,
                runs: flow.runs,
                traps: flow.traps,
                failure: flow.failure,
                fallen: flow.fallen,
            })
            .collect(),
    })
}
