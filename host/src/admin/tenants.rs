//! `GET /v1/tenants` and `GET /v1/tenants/{name}`: whose calls the host takes, what they get, and how full each one's quota is.

use std::sync::Arc;

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
use crate::tenant::{Fallen, TenantProfile};

/// All tenants of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenants {
    /// In the order of the configuration.
    pub tenants: Vec<TenantProfile>,
    /// Mistakes in files of tenants that the host was started without: file, line, key and fix.
    pub left_out: Vec<String>,
}

pub(super) fn routes() -> Routes {
    Router::new()
        .route("/v1/tenants", get(all))
        .route("/v1/tenants/{name}", get(one))
}

async fn all(State(node): State<Arc<Node>>) -> Json<Tenants> {
    let mut tenants = node.directory.tenants();
    for tenant in &mut tenants {
        hide(tenant, node.redaction());
    }
    Json(Tenants {
        tenants,
        left_out: node.directory.left_out(),
    })
}

async fn one(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
) -> Result<Json<TenantProfile>, Problem> {
    let tenant = node.directory.tenant(&name);
    let mut tenant = tenant.ok_or_else(|| Problem::unknown("tenant", &name))?;
    hide(&mut tenant, node.redaction());
    Ok(Json(tenant))
}

fn hide(tenant: &mut TenantProfile, redaction: Option<&Redaction>) {
    for flow in &mut tenant.flows {
        hide_in(&mut flow.standing.fallen, redaction);
    }
}

/// Why a version fell may be told in words of its flow's.
pub(super) fn hide_in(fallen: &mut [Fallen], redaction: Option<&Redaction>) {
    let Some(redaction) = redaction else { return };
    for one in fallen {
        one.why = redaction.text(&one.why);
    }
}
