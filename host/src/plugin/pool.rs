//! How full the pool of instances is, and how long instances take to make: for those who only look.
//!
//! Entry type: [`Pool`], read by [`Engine::pool`]. Takes no lock that a call waits for.

use super::engine::Engine;
use crate::histogram::Reading;

/// The pool at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Instances of flows.
    pub instances: u64,
    /// As many as fit.
    pub instances_max: usize,
    /// Linear memories in use: one to three for each instance.
    pub memories: usize,
    /// Stacks in use: one for each instance that has begun.
    pub stacks: usize,
    /// Free slots that still hold the image of a flow, whose next instance starts sooner.
    pub warm: u32,
    /// Bytes that stay resident in free slots, for the next instances.
    pub kept_bytes: usize,
    /// From the first turn of a run until its instance could be called.
    pub instantiations: Reading,
}

impl Engine {
    /// How it stands with the pool.
    #[must_use]
    pub fn pool(&self) -> Pool {
        let mut pool = Pool {
            instances_max: self.calls_max(),
            instantiations: self.instantiations().read(),
            ..Pool::default()
        };
        // None only of an engine without a pool.
        if let Some(metrics) = self.wasmtime().pooling_allocator_metrics() {
            pool.instances = metrics.component_instances();
            pool.memories = metrics.memories();
            pool.stacks = metrics.stacks();
            pool.warm = metrics.unused_warm_memories();
            pool.kept_bytes = metrics
                .unused_memory_bytes_resident()
                .saturating_add(metrics.unused_table_bytes_resident())
                .saturating_add(metrics.unused_stack_bytes_resident().unwrap_or_default());
        }
        pool
    }
}
