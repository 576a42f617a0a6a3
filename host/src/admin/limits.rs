//! `GET /v1/limits`: every limit, and the number that is in force.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::Routes;
use super::node::Node;
use crate::config::limits::table;

/// One row of the table of limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// `limits.call.legs_max`
    pub name: String,
    /// What is in force, after every reload. Of `limits.tenant`, what a tenant has that the configuration gives no number of its own.
    pub value: u64,
    /// What is in force when the configuration says nothing.
    pub default: u64,
    /// What is counted.
    pub unit: String,
    /// What the configuration says by now, where that waits for a restart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after_restart: Option<u64>,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/limits", get(limits))
}

async fn limits(State(node): State<Arc<Node>>) -> Json<Vec<Limit>> {
    let rows = table().map(|row| {
        let (value, after_restart) = node.directory.limit_in_force(row, &node.config);
        Limit {
            name: row.full_name(),
            value,
            default: row.default,
            unit: row.unit.to_owned(),
            after_restart,
        }
    });
    Json(rows.collect())
}
