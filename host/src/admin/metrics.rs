//! `GET /metrics`: what the host counts, for Prometheus; beside the API, and by option on a plain address of its own.
//!
//! The plain address has this page and nothing else, no token, and a bound of its own on connections, so that who scrapes too
//! eagerly keeps no operator out. Entry points: [`routes`] and [`Plain`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Routes;
use super::door::{self, DoorError, Patience};
use super::input;
use super::node::Node;
use super::problem::Problem;
use crate::metrics::CONTENT_TYPE;

/// Connections to the plain address: a few scrapers, each with one that it keeps.
const CONNECTIONS_MAX: usize = 16;

pub(super) fn routes() -> Routes {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(node): State<Arc<Node>>) -> Result<Response, Problem> {
    let sources = node.metrics.clone();
    // It reads files of the kernel's, and makes megabytes of text where there are a thousand tenants.
    let page = tokio::task::spawn_blocking(move || sources.read().text()).await;
    match page {
        Ok(Ok(page)) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()),
        Ok(Err(error)) => Err(Problem::failed(format!("the metrics cannot be written: {error}"))),
        Err(error) => Err(Problem::failed(format!("the metrics cannot be read: {error}"))),
    }
}

/// An address that is open, and not served yet.
pub(super) struct Plain(TcpListener);

impl Plain {
    /// Takes what is bound. To be called within the runtime that serves.
    pub(super) fn open(address: SocketAddr, bound: std::net::TcpListener) -> Result<Self, DoorError> {
        let listener =
            TcpListener::from_std(bound).map_err(|error| DoorError::MetricsPort { address, error })?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the metrics are read by whoever reaches this address: names of tenants and flows stand in them");
        }
        Ok(Self(listener))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    /// Serves from now on.
    pub(super) fn serve(self, node: &Arc<Node>) {
        let limits = node.limits();
        let page = routes()
            .layer(middleware::from_fn_with_state(limits.request_ms, input::in_time))
            .fallback(input::no_such_resource)
            .method_not_allowed_fallback(input::no_such_method)
            .with_state(Arc::clone(node));
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::spawn(door::attend(self.0, page, room, Patience::of(limits)));
    }
}
