//! The WebAssembly engine: how code is generated, the pool that instances come from, and what is linked into a flow.
//!
//! One [`Engine`] a process. Code generation ([`codegen`]) is the same in the host and in the compiling child, or the
//! child's output would not be accepted; it depends on no configuration, so compiled code outlives a change of limits.
//! The pool is sized once, from `calls_max`; a semaphore of the same size ([`Engine::calls_max`]) stands before it in
//! `tenant`, so that one call too many gets a 503 and not a failed instantiation. Knows nothing of SIP or tenants.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::capacity::{Capacity, Shortage};
use super::fair::Fair;
use super::host_api;
use super::host_calls::HostCalls;
use super::state::CallState;
use super::threads;
use crate::config::limits::PluginLimits;
use crate::histogram::Histogram;
use crate::trace::Sampler;

/// What one linear memory reserves: with all of a 32-bit address space behind it no access needs a bounds check.
const MEMORY_RESERVATION: u64 = 4 << 30;
/// Behind each memory, so that an access with a small constant offset needs no check either.
const MEMORY_GUARD: u64 = 32 << 20;
/// Linear memories that the pool holds for each call: Rust, C, Go and Python flows have one, JavaScript up to three.
pub(super) const MEMORIES_PER_CALL: u32 = 3;
/// Tables that the pool holds for each call: most flows have two, JavaScript up to three.
pub(super) const TABLES_PER_CALL: u32 = 4;
/// Core instances that the pool holds for each call: Rust has 3, JavaScript 11, Python 38.
const CORE_INSTANCES_PER_CALL: u32 = 40;
/// The largest table of one flow, in elements; a large Go flow needs 20 000.
pub(super) const TABLE_ELEMENTS: usize = 32_768;
/// Stack that host functions have left when a guest has used all of its own. An overflow there aborts the process, and
/// what is never touched costs nothing: so more than parsing, patterns and logging need.
const HOST_STACK: usize = 512 << 10;
/// Frames of a trap's backtrace: enough to find the line, not enough to fill a log by recursion.
const BACKTRACE_FRAMES: usize = 16;

/// The engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine has no room for even a few calls.
    #[error(transparent)]
    NoRoom(#[from] Shortage),
    /// The WebAssembly engine refused its configuration or its memory.
    #[error(
        "the WebAssembly engine does not start: {0:#}; lower calls_max or give the process more address space"
    )]
    Start(wasmtime::Error),
}

/// The WebAssembly engine of the process; a clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<CallState>,
    limits: PluginLimits,
    capacity: Capacity,
    code_hash: u64,
    fair: Fair,
    instantiations: Histogram,
    sampler: OnceLock<Sampler>,
}

impl Engine {
    /// Makes the engine and its pool for `calls_max` calls at once.
    ///
    /// When fewer fit on this machine the pool is smaller, which [`Engine::capacity`] tells and the log warns of.
    pub fn new(limits: &PluginLimits, calls_max: usize) -> Result<Self, EngineError> {
        let reserve = u64::from(MEMORIES_PER_CALL) * (MEMORY_RESERVATION + MEMORY_GUARD);
        let capacity = Capacity::on_this_machine(calls_max as u64, reserve)?;
        if let Some(shortage) = &capacity.shortage {
            tracing::warn!(asked = shortage.asked, fits = shortage.fits, "{shortage}");
        }
        let calls = u32::try_from(capacity.calls).unwrap_or(u32::MAX);
        let mut config = codegen();
        config
            .max_wasm_stack(limits.stack_max_bytes)
            .async_stack_size(limits.stack_max_bytes + HOST_STACK)
            .async_stack_zeroing(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, calls)));
        let engine = wasmtime::Engine::new(&config).map_err(EngineError::Start)?;
        let linker = host_api::linker(&engine).map_err(EngineError::Start)?;
        let code_hash = code_hash(&engine);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                limits: limits.clone(),
                capacity,
                code_hash,
                fair: Fair::new(threads::count()),
                instantiations: Histogram::default(),
                sampler: OnceLock::new(),
            }),
        })
    }

    /// From now on the host calls of the sessions that it takes are noted. The first one that is given stays.
    pub fn note_host_calls(&self, sampler: Sampler) {
        drop(self.shared.sampler.set(sampler));
    }

    /// Where the host calls of this session are noted, if they are.
    pub(super) fn host_calls_of(&self, session: &str) -> Option<Box<HostCalls>> {
        let sampler = self.shared.sampler.get()?;
        sampler
            .takes_host_calls(session)
            .then(|| Box::new(HostCalls::new()))
    }

    /// Calls at once that the pool holds; at most the `calls_max` it was made with.
    pub fn calls_max(&self) -> usize {
        usize::try_from(self.shared.capacity.calls).unwrap_or(usize::MAX)
    }

    /// How many calls fit, and what cut them down.
    pub fn capacity(&self) -> &Capacity {
        &self.shared.capacity
    }

    /// Limits of each call and of the loader.
    pub fn limits(&self) -> &PluginLimits {
        &self.shared.limits
    }

    /// How long it took from a run's first turn until its instance could be called.
    pub(super) fn instantiations(&self) -> &Histogram {
        &self.shared.instantiations
    }

    /// The turns of all flows.
    pub(super) fn fair(&self) -> &Fair {
        &self.shared.fair
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(super) fn linker(&self) -> &Linker<CallState> {
        &self.shared.linker
    }

    /// Changes whenever code compiled for another engine version, processor or setting would not run here.
    pub(super) fn code_hash(&self) -> u64 {
        self.shared.code_hash
    }
}

/// How code is generated: by the host and by its compiling child alike.
///
/// Fuel and not epochs: it limits, meters and yields in one, and both together cost an interpreter half its speed.
/// NaNs are canonical and relaxed SIMD is deterministic, so that the same input gives the same run and the same fuel.
pub(super) fn codegen() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(false)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .guard_before_linear_memory(false)
        .memory_init_cow(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES));
    config
}

/// The number behind [`Engine::code_hash`]: target, processor features, code generation, tunables, WebAssembly features and version
/// of the engine, which is what wasmtime's own cache goes by.
pub(super) fn code_hash(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn pool(limits: &PluginLimits, calls: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES_PER_CALL))
        .total_memories(calls.saturating_mul(MEMORIES_PER_CALL))
        .total_tables(calls.saturating_mul(TABLES_PER_CALL))
        .max_memories_per_component(MEMORIES_PER_CALL)
        .max_tables_per_component(TABLES_PER_CALL)
        .max_core_instances_per_component(CORE_INSTANCES_PER_CALL)
        .max_memories_per_module(MEMORIES_PER_CALL)
        .max_tables_per_module(TABLES_PER_CALL)
        // A smaller number would save nothing, and would refuse a large flow with the engine's words, not ours.
        .max_memory_size(MEMORY_RESERVATION as usize)
        .table_elements(TABLE_ELEMENTS.min(limits.table_elements))
        // What a call of a small flow dirties is cleared by hand and kept: cheaper than giving the pages back and
        // faulting them in again. What a large or hostile one dirtied goes back to the kernel.
        .async_stack_keep_resident(STACK_KEPT)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        .pagemap_scan(Enabled::Auto)
        .decommit_batch_size(DECOMMIT_BATCH)
        // Slots still holding a flow's image; a slot of the right flow starts without any system call.
        .max_unused_warm_slots(calls.clamp(100, 1_000));
    pool
}

/// Bytes of each stack, memory and table that stay resident between two calls.
///
/// Measured with a small Rust flow: 30 µs a call like this, 59 µs with nothing kept. The price is that a wave of calls
/// leaves 38 KiB for each slot it used, which the next calls reuse.
const STACK_KEPT: usize = 8 << 10;
const MEMORY_KEPT: usize = 64 << 10;
const TABLE_KEPT: usize = 4 << 10;
/// Pages of so many finished calls go back to the kernel at once. One, although more would save system calls: what waits for
/// its batch stays resident, and a hostile flow leaves all the memory that it was allowed.
const DECOMMIT_BATCH: usize = 1;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_child_compiles_for_the_engine_that_the_host_runs() {
        let host = Engine::new(&PluginLimits::default(), 10).unwrap();
        let child = wasmtime::Engine::new(&codegen()).unwrap();
        assert_eq!(host.code_hash(), code_hash(&child));
        assert_eq!(host.calls_max(), 10);
    }

    #[test]
    fn another_processor_and_another_setting_have_another_code_hash() {
        let hash = |config: &Config| code_hash(&wasmtime::Engine::new(config).unwrap());
        let here = hash(&codegen());
        // A target that is named has no features of the processor that this runs on.
        let named = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let (mut plain, mut other) = (codegen(), codegen());
        assert_ne!(hash(plain.target(&named).unwrap()), here);
        assert_ne!(hash(other.consume_fuel(false)), here);
    }
}
