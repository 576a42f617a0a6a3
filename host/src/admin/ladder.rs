//! `GET /v1/ladder/{id}`: the messages of a call, or of all calls of a session that is alive, as far as they are still known.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::input::Path;
use super::node::Node;
use super::problem::Problem;
use crate::pii::Redaction;
use crate::wire::Rung;

/// The messages of a call, or of the calls of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// In the order of their times.
    pub messages: Vec<Message>,
}

/// One message, in outline. Its texts are the peer's or ours as they were on the wire; with `[admin] redact` the start line has
/// a tag for the user of its Request-URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// We sent it.
    pub sent: bool,
    /// `udp`, `tcp` or `tls`.
    pub protocol: String,
    /// Where from, or where to.
    pub peer: String,
    /// Of which call.
    pub call_id: String,
    /// The start line.
    pub line: String,
    /// `1 INVITE`
    pub cseq: String,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/ladder/{id}", get(ladder))
}

async fn ladder(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Json<Ladder>, Problem> {
    let mut calls: Vec<String> = match node.directory.session(&id) {
        Some(session) => session.legs.legs.into_iter().map(|leg| leg.call_id).collect(),
        None => vec![id.clone()],
    };
    calls.sort_unstable();
    calls.dedup();
    let mut messages = Vec::new();
    for call in calls {
        let rungs = node.wire.ladder(&call);
        messages.extend(
            rungs
                .into_iter()
                .map(|rung| message(rung, &call, node.redaction())),
        );
    }
    if messages.is_empty() {
        return Err(Problem::unknown("call", &id));
    }
    messages.sort_by_key(|message| message.at_us);
    Ok(Json(Ladder { messages }))
}

fn message(rung: Rung, call: &str, redaction: Option<&Redaction>) -> Message {
    let since = rung.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Message {
        at_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        sent: rung.sent,
        protocol: format!("{:?}", rung.protocol).to_ascii_lowercase(),
        peer: rung.peer,
        call_id: call.to_owned(),
        line: match redaction {
            Some(redaction) => redaction.start_line(&rung.line),
            None => rung.line,
        },
        cseq: rung.cseq,
    }
}
