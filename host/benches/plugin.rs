//! What an instance costs: time to make, run and drop one, and memory of one that waits.
//!
//! `cargo bench -p callbox --bench plugin`; with `CALLBOX_BENCH_FLOW=flow.wasm` the time is that of another flow,
//! and with `CALLBOX_BENCH_WAITING=flow.wasm` the memory (the flow must wait for its caller to hang up or for longer
//! than a minute).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    missing_docs
)]

#[path = "../tests/plugin/flows.rs"]
#[allow(dead_code)]
mod flows;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use callbox::call::{CallError, Denial, DialGrant, DialPolicy, DialRequest, Session, SessionContext};
use callbox::config::limits::{CallLimits, PluginLimits};
use callbox::plugin::{Engine, FlowVersion, Loader, RunReport, TrapPolicy, run_call};
use criterion::Criterion;
use tokio::runtime::Runtime;

/// Calls that wait at the same time while memory is measured.
const WAITING: usize = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(&PluginLimits::default(), WAITING + 8).unwrap();
    let loader = Loader::new(
        engine,
        &dir.path().join("cache"),
        env!("CARGO_BIN_EXE_callbox").into(),
    )
    .unwrap();
    let load = |variable: &str, otherwise: Vec<u8>| {
        let wasm = std::env::var(variable).map_or(otherwise, |path| std::fs::read(path).unwrap());
        runtime.block_on(loader.load_bytes(wasm)).unwrap()
    };
    let quick = load("CALLBOX_BENCH_FLOW", flows::nothing());
    let waiting = load(
        "CALLBOX_BENCH_WAITING",
        flows::flow("", "(call $sleep (i32.const 3600000)) (i32.const 0)"),
    );
    memory(&runtime, &waiting);
    time(&runtime, &quick);
}

fn time(runtime: &Runtime, flow: &Arc<FlowVersion>) {
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("instantiate, run, drop", |bench| {
        bench.iter(|| black_box(runtime.block_on(call(flow))));
    });
    criterion.final_summary();
}

fn memory(runtime: &Runtime, flow: &Arc<FlowVersion>) {
    // The second wave shows what the pool keeps: it should cost no more than the first.
    for wave in 1..=2 {
        let before = resident();
        let calls: Vec<_> = (0..WAITING)
            .map(|_| {
                let flow = Arc::clone(flow);
                runtime.spawn(async move { call(&flow).await })
            })
            .collect();
        std::thread::park_timeout(Duration::from_secs(2));
        let held = resident();
        for call in &calls {
            assert!(!call.is_finished(), "the flow did not wait");
            call.abort();
        }
        for call in calls {
            let _ = runtime.block_on(call);
        }
        let after = resident();
        println!(
            "wave {wave}: {} bytes a waiting call, {} bytes a call kept when all have ended",
            (held - before) / WAITING as i64,
            (after - before) / WAITING as i64
        );
    }
}

async fn call(flow: &Arc<FlowVersion>) -> RunReport {
    let session = Session::detached(
        "bench".to_owned(),
        SessionContext {
            tenant: "acme".into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::new()),
            auto_ring: false,
            grants: callbox::call::Grants::all(),
            policy: Arc::new(Nobody),
            services: callbox::call::Services::none(),
            limits: Arc::new(CallLimits::default()),
            bounds: Arc::default(),
        },
    );
    let leg = session.new_leg().unwrap();
    run_call(Arc::clone(flow), TrapPolicy::default(), session, leg).await
}

/// Bytes of resident memory.
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4_096
}

/// Nobody may dial anything.
struct Nobody;

impl DialPolicy for Nobody {
    fn grant(&self, _request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        Err(CallError::Denied(Denial::Destination))
    }
}
