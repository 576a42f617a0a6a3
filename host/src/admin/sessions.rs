//! `GET /v1/sessions` and `GET /v1/sessions/{id}`: the runs of flows that are alive, with their legs.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::{Path, Query};
use super::node::Node;
use super::problem::Problem;
use crate::call::{CallState, Direction, LegSummary, Party, SessionView, Usage};
use crate::pii::Redaction;
use crate::unix_time::now_ms;

/// Sessions in one answer when nobody says how many, and at most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// Sessions that are alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are that were asked for.
    pub total: usize,
    /// Oldest first, or as was asked; at most `limit` of them.
    pub sessions: Vec<Session>,
}

/// One run of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id, which log lines carry too.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which flow runs it.
    pub flow: String,
    /// In which version.
    pub version: String,
    /// When it began: milliseconds since 1970.
    pub began_ms: u64,
    /// How long ago that is.
    pub age_ms: u64,
    /// What it has used so far.
    #[serde(flatten)]
    pub usage: Usage,
    /// The calls of its legs: what is over first, then what lives.
    pub legs: Vec<Leg>,
    /// Calls that are over and that the session remembers no more.
    pub legs_forgotten: u32,
}

/// One call of a leg. Its texts are the peers', numbers and addresses as tags with `[admin] redact`; its times are
/// milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Number of the leg within its session.
    pub leg: u32,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// As the flow sees it: `ringing-in`, `connected`, `terminated`, …
    pub state: String,
    /// Empty before there is a dialog.
    pub call_id: String,
    /// User part of From.
    pub ani: String,
    /// User part of To.
    pub dnis: String,
    /// Request-URI of the INVITE.
    pub destination: String,
    /// The INVITE came, or the flow asked for it.
    pub started_ms: u64,
    /// The first 18x.
    pub rang_ms: Option<u64>,
    /// The 2xx.
    pub answered_ms: Option<u64>,
    /// It was over.
    pub ended_ms: Option<u64>,
    /// The final response to the INVITE.
    pub code: Option<u16>,
    /// `flow`, `peer` or `host`.
    pub ended_by: Option<String>,
    /// Q.850 cause of the Reason header that ended it.
    pub q850: Option<u8>,
    /// Text of that header, or the host's own words.
    pub text: Option<String>,
}

/// Which sessions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filter {
    tenant: Option<String>,
    flow: Option<String>,
    /// A Call-ID of one of its legs.
    call: Option<String>,
    limit: Option<usize>,
    sort: Order,
}

/// Which come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The oldest.
    #[default]
    Age,
    /// Those that have computed longest.
    Cpu,
    /// Those that hold most memory.
    Memory,
}

pub(super) fn routes() -> Routes {
    Router::new()
        .route("/v1/sessions", get(list))
        .route("/v1/sessions/{id}", get(one))
}

async fn list(
    State(node): State<Arc<Node>>,
    Query(filter): Query<Filter>,
) -> Result<Json<Sessions>, Problem> {
    let limit = filter.limit.unwrap_or(LIMIT.0).min(LIMIT.1);
    let now = now_ms();
    let mut views = node.directory.sessions(filter.tenant.as_deref());
    views.retain(|view| filter.takes(view));
    // Before the rest is cut off; what is equal stays in the order of age.
    match filter.sort {
        Order::Age => {}
        Order::Cpu => views.sort_by_key(|view| Reverse(view.usage.cpu_us)),
        Order::Memory => views.sort_by_key(|view| Reverse(view.usage.memory_bytes)),
    }
    Ok(Json(Sessions {
        total: views.len(),
        sessions: views
            .into_iter()
            .take(limit)
            .map(|view| session(view, now, node.redaction()))
            .collect(),
    }))
}

async fn one(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Json<Session>, Problem> {
    let view = node
        .directory
        .session(&id)
        .ok_or_else(|| Problem::unknown("session", &id))?;
    Ok(Json(session(view, now_ms(), node.redaction())))
}

impl Filter {
    fn takes(&self, view: &SessionView) -> bool {
        let flow = self.flow.as_ref().is_none_or(|flow| *flow == view.flow);
        let call = self.call.as_ref().is_none_or(|call| {
            let mut legs = view.legs.legs.iter();
            legs.any(|leg| leg.call_id == *call)
        });
        flow && call
    }
}

fn session(view: SessionView, now_ms: u64, redaction: Option<&Redaction>) -> Session {
    Session {
        began_ms: view.began_ms,
        age_ms: now_ms.saturating_sub(view.began_ms),
        usage: view.usage,
        id: view.id,
        tenant: view.tenant,
        flow: view.flow,
        version: view.version,
        legs: view
            .legs
            .legs
            .into_iter()
            .map(|one| leg(one, redaction))
            .collect(),
        legs_forgotten: view.legs.forgotten,
    }
}

fn leg(mut summary: LegSummary, redaction: Option<&Redaction>) -> Leg {
    if let Some(redaction) = redaction {
        summary.ani = redaction.number(&summary.ani);
        summary.dnis = redaction.number(&summary.dnis);
        summary.destination = redaction.uri(&summary.destination);
        let by_peer = summary.ended_by == Some(Party::Remote);
        summary.text = summary.text.map(|text| match by_peer {
            true => redaction.text(&text),
            false => text,
        });
    }
    Leg {
        leg: summary.leg,
        direction: match summary.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
        .to_owned(),
        state: match summary.state {
            CallState::Idle => "idle",
            CallState::RingingOut => "ringing-out",
            CallState::RingingIn => "ringing-in",
            CallState::Early => "early",
            CallState::OfferedByRemote => "offered-by-remote",
            CallState::Connected => "connected",
            CallState::Reoffering => "reoffering",
            CallState::Held => "held",
            CallState::Terminated => "terminated",
        }
        .to_owned(),
        call_id: summary.call_id,
        ani: summary.ani,
        dnis: summary.dnis,
        destination: summary.destination,
        started_ms: summary.started_ms,
        rang_ms: summary.rang_ms,
        answered_ms: summary.answered_ms,
        ended_ms: summary.ended_ms,
        code: summary.code,
        ended_by: summary.ended_by.map(|party| {
            match party {
                Party::Local => "flow",
                Party::Remote => "peer",
                Party::Host => "host",
            }
            .to_owned()
        }),
        q850: summary.q850,
        text: summary.text,
    }
}
