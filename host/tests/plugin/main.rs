//! The sandbox from outside: what becomes of files that are no flows, and of flows that misbehave.
//!
//! Flows are core modules in text form with the contract's type embedded, the way a wasm toolchain makes them, so
//! these tests need no wasm target.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod flows;
mod jobs;
mod limits;
mod loading;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use callbox::call::{CallError, Denial, DialGrant, DialPolicy, DialRequest, Session, SessionContext};
use callbox::config::limits::{CallLimits, PluginLimits};
use callbox::plugin::{Engine, FlowVersion, LoadError, Loader, RunReport, TrapPolicy, run_call};

/// An engine, a loader, and their cache.
struct Sandbox {
    loader: Loader,
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new(limits: PluginLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loader = Self::loader(&limits, dir.path());
        Self { loader, dir }
    }

    fn loader(limits: &PluginLimits, dir: &Path) -> Loader {
        let engine = Engine::new(limits, 4).unwrap();
        Loader::new(engine, &dir.join("cache"), env!("CARGO_BIN_EXE_callbox").into()).unwrap()
    }

    async fn load(&self, wasm: Vec<u8>) -> Result<Arc<FlowVersion>, LoadError> {
        self.loader.load_bytes(wasm).await
    }

    /// Loads a flow and runs one call on it.
    async fn run(&self, wasm: Vec<u8>) -> RunReport {
        run(self.load(wasm).await.unwrap()).await
    }
}

fn session() -> Session {
    Session::detached(
        "test@callbox".to_owned(),
        SessionContext {
            tenant: "acme".into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::from([("greeting".to_owned(), "hello".to_owned())])),
            auto_ring: false,
            grants: callbox::call::Grants::all(),
            policy: Arc::new(Nobody),
            services: callbox::call::Services::none(),
            limits: Arc::new(CallLimits::default()),
            bounds: Arc::default(),
        },
    )
}

async fn run(version: Arc<FlowVersion>) -> RunReport {
    let session = session();
    let leg = session.new_leg().unwrap();
    run_call(version, TrapPolicy::default(), session, leg).await
}

/// Limits small enough that a test ends soon.
fn small() -> PluginLimits {
    PluginLimits {
        fuel_burst: 20_000_000,
        fuel_total: 100_000_000,
        call_max_s: 20,
        ..PluginLimits::default()
    }
}

/// Nobody may dial anything.
struct Nobody;

impl DialPolicy for Nobody {
    fn grant(&self, _request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        Err(CallError::Denied(Denial::Destination))
    }
}
