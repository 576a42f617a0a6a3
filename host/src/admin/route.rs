//! `GET /v1/route`: who would answer a call if it came now, and with which version.

use std::net::IpAddr;
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
use crate::call::{called, dialled};
use crate::tenant::Answering;

/// What the host does with a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteFound {
    /// Who answers it; none: 404, unless a session holds a registration that the call names.
    pub answering: Option<Answering>,
    /// Nobody answers at the moment, because the host takes no new calls.
    pub draining: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    to: String,
    source: IpAddr,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    from: String,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/route", get(find))
}

async fn find(
    State(node): State<Arc<Node>>,
    Query(asked): Query<Asked>,
) -> Result<Json<RouteFound>, Problem> {
    let (user, domain) = dialled(&asked.to, &asked.domain).map_err(Problem::invalid)?;
    let caller = match asked.from.contains(':') {
        true => called(&asked.from).map(|(user, _)| user).unwrap_or_default(),
        false => asked.from,
    };
    Ok(Json(RouteFound {
        answering: node.directory.who_answers(&user, &domain, asked.source, &caller),
        draining: node.directory.is_draining(),
    }))
}
