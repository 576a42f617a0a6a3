//! What the host keeps for one instance: its session, its objects, and its accounts.
//!
//! Entry type: [`CallState`], the data of the instance's store. WASI's context is made only for guests that call WASI:
//! most Rust and C flows never do, and it costs more than the rest of the state together.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tokio::time::{Duration, Instant};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{CallHook, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::flow_log::{FlowLog, Level, Output};
use super::fuel::Meter;
use super::memory::Holdings;
use crate::call::{Leg, Session};
use crate::config::limits::PluginLimits;

/// Fuel of a host call itself: crossing the border costs about as much as so many instructions.
const HOST_CALL: u64 = 200;

/// The host's side of one instance.
pub(super) struct CallState {
    pub(super) session: Session,
    pub(super) table: ResourceTable,
    pub(super) meter: Meter,
    pub(super) holdings: Holdings,
    pub(super) log: FlowLog,
    ends: Instant,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    context: WasiCtx,
    stdout: Output,
    stderr: Output,
}

impl CallState {
    /// `life` is the longest that the instance may live.
    pub(super) fn new(session: Session, limits: &PluginLimits, life: Duration) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources_max);
        Self {
            session,
            table,
            meter: Meter::new(limits),
            holdings: Holdings::new(limits),
            log: FlowLog::new(limits),
            ends: Instant::now() + life,
            wasi: None,
        }
    }

    /// When the instance has reached its maximum life.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Begins a host function: pays for it and for the bytes that it takes from the guest, and lets others run when
    /// the guest's turn is over.
    pub(super) async fn enter(&mut self, bytes: usize) {
        self.meter.charge(HOST_CALL + bytes as u64);
        if self.meter.take_turn_over() {
            tokio::task::yield_now().await;
        }
    }

    /// The leg behind a handle.
    pub(super) fn leg(&self, leg: &Resource<Leg>) -> wasmtime::Result<&Leg> {
        Ok(self.table.get(leg)?)
    }

    /// Writes out what the guest left unfinished and how much was suppressed; returns the number of lines.
    pub(super) fn close_log(&mut self) -> u64 {
        if let Some(wasi) = &self.wasi {
            wasi.stdout.close();
            wasi.stderr.close();
        }
        self.log.close()
    }
}

/// Waits for something on behalf of a guest; if that really suspended it, its burst is whole again.
pub(super) async fn waited<F: Future>(meter: &mut Meter, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut suspended = false;
    let output = std::future::poll_fn(|context| {
        let poll = future.as_mut().poll(context);
        suspended |= poll.is_pending();
        match poll {
            Poll::Pending => Poll::Pending,
            ready => ready,
        }
    })
    .await;
    if suspended {
        meter.rearm();
    }
    output
}

/// The border between guest and host: the only place where the fuel counter is read or set.
pub(super) fn border(mut store: StoreContextMut<'_, CallState>, hook: CallHook) -> wasmtime::Result<()> {
    match hook {
        CallHook::CallingHost => {
            let counter = store.get_fuel()?;
            store.data_mut().meter.entering_host(counter);
        }
        CallHook::ReturningFromHost => {
            if let Some(counter) = store.data_mut().meter.leaving_host()? {
                store.set_fuel(counter)?;
            }
        }
        CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
    }
    Ok(())
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        let wasi = self.wasi.get_or_insert_with(|| {
            let stdout = Output::new(log.clone(), Level::Info);
            let stderr = Output::new(log.clone(), Level::Warn);
            // No files, no environment, no arguments, no sockets, no names: a builder grants nothing by itself but
            // clocks and random numbers.
            let context = WasiCtxBuilder::new()
                .stdout(stdout.clone())
                .stderr(stderr.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(RANDOM_MAX_BYTES)
                .build();
            Box::new(Wasi {
                context,
                stdout,
                stderr,
            })
        });
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut self.table,
        }
    }
}

/// Random bytes that one call of `get-random-bytes` gives.
const RANDOM_MAX_BYTES: u64 = 64 << 10;
