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
    /// What is in force. Of `limits.tenant`, what a tenant has that the configuration gives no number of its own.
    pub value: u64,
    /// What is in force when the configuration says nothing.
    pub default: u64,
    /// What is counted.
    pub unit: String,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/limits", get(limits))
}

async fn limits(State(node): State<Arc<Node>>) -> Json<Vec<Limit>> {
    let limits = &node.config.limits;
    let rows = table().map(|row| Limit {
        name: format!("{}.{}", row.group, row.name),
        value: limits.get(row).unwrap_or(row.default),
        default: row.default,
        unit: row.unit.to_owned(),
    });
    Json(rows.collect())
}
