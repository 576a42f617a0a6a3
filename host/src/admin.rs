//! The admin API: how an operator looks at a running host and tells it what to do.
//!
//! HTTP with JSON over a Unix socket in the state folder, whose file says who may; and over TCP where the configuration
//! opens a port, with a token. Errors are `application/problem+json` (RFC 9457). Runs on the control runtime, beside
//! nothing that a call waits for, and takes no lock for longer than it takes to copy one leg. Deliberately knows no
//! terminal: [`Client`] is what the subcommands of `callbox` are made of.
//!
//! # A new resource and its subcommand, one file each
//!
//! 1. `admin/NAME.rs`: a struct that is `Serialize + Deserialize` (both sides use it), `pub(super) fn routes() ->
//!    Routes`, and handlers: `State(node): State<Arc<Node>>` first, `input::Path`, `input::Query` or
//!    `input::Input` (a JSON body) next, `Result<Json<T>, Problem>` back. What the host does is a method of
//!    [`Directory`](crate::tenant::Directory); a handler only translates, and never blocks.
//! 2. One line in `routes` (what ends within `limits.admin.request_ms`) or `patient_routes` (what has bounds of its
//!    own: uploads, streams), one in `docs/openapi.json`.
//! 3. `cli/NAME.rs`: `#[derive(clap::Args)]` with `#[command(flatten)] host: Reach` (`cli/reach.rs`), whose `ask` gives a
//!    [`Client`]; `cli/table.rs` prints tables and escapes what peers and flows wrote.
//! 4. A test in `tests/tests/admin/`.
//!
//! Entry points: [`open`] and [`Client`].

mod auth;
mod client;
mod door;
mod drain;
mod events;
mod hangup;
mod input;
mod jobs;
mod kill;
mod ladder;
mod limits;
mod metrics;
mod node;
mod patience;
mod problem;
mod reload;
mod route;
mod sessions;
mod status;
mod tail;
mod tenants;
mod traps;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;

pub use client::{Client, ClientError, Lines, path};
pub use door::{Door, DoorError, Open, Ports, open};
pub use drain::Drain;
pub use events::Payload;
pub use hangup::Hangup;
pub use jobs::{Begun, NewJob};
pub use kill::Kill;
pub use ladder::{Ladder, Message};
pub use limits::Limit;
pub use node::Node;
pub use problem::Problem;
pub use route::RouteFound;
pub use sessions::{Leg, Order, Session, Sessions};
pub use status::{Calls, DrainState, Flow, Listener, Status, Wire};
pub use tail::{LogLines, Tailed};
pub use tenants::Tenants;
pub use traps::{Trap, Traps};
pub use versions::{DeployQuery, Promotion, Rollback};

/// Routes of one resource.
type Routes = Router<Arc<Node>>;

/// What answers at once.
fn routes() -> Routes {
    Router::new()
        .merge(status::routes())
        .merge(sessions::routes())
        .merge(events::routes())
        .merge(jobs::routes())
        .merge(kill::routes())
        .merge(hangup::routes())
        .merge(drain::routes())
        .merge(tenants::routes())
        .merge(traps::routes())
        .merge(ladder::routes())
        .merge(route::routes())
        .merge(limits::routes())
        .merge(metrics::routes())
        .merge(versions::routes())
}

/// What takes its time, and has bounds of its own.
fn patient_routes() -> Routes {
    Router::new()
        .merge(reload::patient_routes())
        .merge(tail::routes())
        .merge(versions::patient_routes())
}

/// All of the API, for whoever got as far as to speak with it.
fn api(node: Arc<Node>) -> Router {
    let limits = node.limits().clone();
    routes()
        .layer(middleware::from_fn_with_state(limits.request_ms, input::in_time))
        .merge(patient_routes())
        .fallback(input::no_such_resource)
        .method_not_allowed_fallback(input::no_such_method)
        .layer(DefaultBodyLimit::max(limits.body_max_bytes))
        .with_state(node)
}
