//! What the host keeps for one instance: its session, its objects, and its accounts.
//!
//! Entry type: [`CallState`], the data of the instance's store. WASI's context is made only for guests that call WASI:
//! most Rust and C flows never do, and it costs more than the rest of the state together.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use rand_core::TryRng;
use tokio::time::{Duration, Instant};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{CallHook, CallHookHandler, StoreContextMut};
use wasmtime_wasi::{Rng, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::fair::{Turn, give_way};
use super::flow_log::{FlowLog, Level, Output};
use super::fuel::Meter;
use super::host_calls::HostCalls;
use super::memory::Holdings;
use crate::call::{Leg, Session};
use crate::config::limits::PluginLimits;

/// Fuel of a host call itself: there and back, with its arguments, is about half a microsecond.
const HOST_CALL: u64 = 2_000;

/// The host's side of one instance.
pub(super) struct CallState {
    pub(super) session: Session,
    pub(super) table: ResourceTable,
    pub(super) meter: Meter,
    pub(super) holdings: Holdings,
    pub(super) log: FlowLog,
    pub(super) turn: Turn,
    /// What it asks of the host, where somebody wants to know.
    pub(super) host_calls: Option<Box<HostCalls>>,
    /// Bytes that WASI has moved for the guest since the last account.
    wasi_bytes: Arc<AtomicU64>,
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
    pub(super) fn new(session: Session, limits: &PluginLimits, turn: Turn, life: Duration) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources_max);
        Self {
            holdings: Holdings::new(limits, Arc::clone(&session.context().bounds))
                .counting(session.counting()),
            log: FlowLog::new(limits, Arc::clone(&session.context().bounds)),
            session,
            table,
            meter: Meter::new(limits),
            ends: Instant::now() + life,
            turn,
            host_calls: None,
            wasi_bytes: Arc::default(),
            wasi: None,
        }
    }

    /// When the instance has reached its maximum life.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Begins a host function, whose name is for traces: pays for the bytes that it takes from the guest (the call itself is paid at the
    /// [`Border`]), and lets others run when the guest's turn is over.
    pub(super) async fn enter(&mut self, name: &'static str, bytes: usize) {
        if let Some(calls) = &mut self.host_calls {
            calls.begin(name);
        }
        self.meter.charge(bytes as u64);
        if self.meter.take_turn_over() {
            give_way().await;
        }
    }

    /// Pays for what a host function gives to the guest.
    pub(super) fn pay<T: Weight>(&mut self, given: T) -> T {
        self.meter.charge(given.bytes() as u64);
        given
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
///
/// Every host function is paid for here, those of WASI and of the engine itself (`memory.grow`) included; and a guest
/// whose turn is over gives way here, because setting the counter starts the engine's own slice anew: a loop over cheap
/// host functions would never yield.
pub(super) struct Border;

impl Border {
    /// True when the guest's turn is over.
    fn cross(store: &mut StoreContextMut<'_, CallState>, hook: CallHook) -> wasmtime::Result<bool> {
        match hook {
            CallHook::CallingHost => {
                let counter = store.get_fuel()?;
                let state = store.data_mut();
                state.meter.entering_host(counter);
                state.meter.charge(HOST_CALL);
                state.session.called_host(state.meter.used());
            }
            CallHook::ReturningFromHost => {
                let state = store.data_mut();
                if let Some(calls) = &mut state.host_calls {
                    calls.end();
                }
                let bytes = state.wasi_bytes.swap(0, Ordering::Relaxed);
                state.meter.charge(bytes.saturating_mul(WASI_BYTE));
                let counter = state.meter.leaving_host()?;
                let over = state.meter.take_turn_over() || state.turn.is_over();
                if let Some(counter) = counter {
                    store.set_fuel(counter)?;
                }
                return Ok(over);
            }
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(false)
    }
}

/// Nothing is left to wait for. Without a size, so that boxing it allocates nothing: a call crosses the border some
/// thirty times, and a box for each was a sixth of all that it allocated.
struct Crossed;

impl Future for Crossed {
    type Output = wasmtime::Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

// What `async_trait` makes of an `async fn`, written out so that only a crossing that waits has a future to box.
impl CallHookHandler<CallState> for Border {
    fn handle_call_event<'handler, 'store, 'future>(
        &'handler self,
        mut store: StoreContextMut<'store, CallState>,
        hook: CallHook,
    ) -> Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'future>>
    where
        'handler: 'future,
        'store: 'future,
    {
        match Self::cross(&mut store, hook) {
            Ok(false) => Box::pin(Crossed),
            Ok(true) => Box::pin(async {
                give_way().await;
                Ok(())
            }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// What something weighs that crosses the border, in bytes.
pub(super) trait Weight {
    fn bytes(&self) -> usize;
}

impl Weight for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl<T: Weight> Weight for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Weight::bytes)
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn bytes(&self) -> usize {
        // Each element has a place of its own in the guest's memory.
        self.iter().map(|element| ELEMENT + element.bytes()).sum()
    }
}

/// Bytes of an element of a list, beside what it points to.
const ELEMENT: usize = 64;
/// Fuel of a byte that WASI makes or takes: random bytes are the dearest.
const WASI_BYTE: u64 = 4;

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        let wasi = self.wasi.get_or_insert_with(|| {
            let stdout = Output::new(log.clone(), Level::Info, &self.wasi_bytes);
            let stderr = Output::new(log.clone(), Level::Warn, &self.wasi_bytes);
            // No files, no environment, no arguments, no sockets, no names: a builder grants nothing by itself but
            // clocks and random numbers.
            let context = WasiCtxBuilder::new()
                .stdout(stdout.clone())
                .stderr(stderr.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(RANDOM_MAX_BYTES)
                .secure_random(Paid::new(&self.wasi_bytes))
                .insecure_random(Paid::new(&self.wasi_bytes))
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

/// The system's random numbers, counted so that they can be paid for.
struct Paid {
    system: Box<dyn Rng + Send>,
    given: Arc<AtomicU64>,
}

impl Paid {
    fn new(given: &Arc<AtomicU64>) -> Self {
        Self {
            system: wasmtime_wasi::thread_rng(),
            given: Arc::clone(given),
        }
    }
}

impl TryRng for Paid {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.given.fetch_add(4, Ordering::Relaxed);
        Ok(self.system.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.given.fetch_add(8, Ordering::Relaxed);
        Ok(self.system.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.given.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.system.fill_bytes(bytes);
        Ok(())
    }
}
