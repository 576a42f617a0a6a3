//! What a call may hold: one sum over all its linear memories, one over all its tables; and what all calls of a tenant
//! may hold together.
//!
//! A growth that does not fit fails as WebAssembly says it does (`memory.grow` returns -1), because an interpreter can
//! live with that; most guests trap next, and the refusal kept here then tells why. Entry types: [`Holdings`] of a
//! call, [`Pool`] of a tenant. Invariants: the sums never exceed their bounds; a call gives back to the pool all that
//! it took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;
use crate::config::limits::PluginLimits;

/// Memories and tables of one call.
#[derive(Debug)]
pub(super) struct Holdings {
    memory_max: usize,
    memory: usize,
    table_max: usize,
    table: usize,
    refused: Option<Refusal>,
    pool: Arc<Pool>,
}

/// A growth that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All memories would have been so many bytes.
    Memory(usize),
    /// All memories of all calls of the tenant would have been so many bytes.
    TenantMemory(usize),
    /// All tables would have been so many elements.
    Table(usize),
    /// One table would have been so many elements.
    OneTable(usize),
}

/// The memory of all calls of one tenant.
#[derive(Debug)]
pub(super) struct Pool {
    max: usize,
    taken: AtomicUsize,
}

impl Pool {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            taken: AtomicUsize::new(0),
        }
    }

    /// Takes so many bytes, or says how many it would have been.
    fn take(&self, bytes: usize) -> Result<(), usize> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|taken| taken.saturating_add(bytes))
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The pools of all tenants, made as their first calls come: as many as there are tenants in the configuration.
#[derive(Debug, Default)]
pub(super) struct Pools {
    by_tenant: Mutex<HashMap<Arc<str>, Arc<Pool>>>,
}

impl Pools {
    pub(super) fn of(&self, tenant: &Arc<str>, limits: &PluginLimits) -> Arc<Pool> {
        let mut pools = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Pool::new(limits.tenant_memory_max_bytes));
        Arc::clone(pools.entry(Arc::clone(tenant)).or_insert_with(make))
    }
}

impl Holdings {
    pub(super) fn new(limits: &PluginLimits, pool: Arc<Pool>) -> Self {
        Self {
            memory_max: limits.memory_max_bytes,
            memory: 0,
            table_max: limits.table_elements,
            table: 0,
            refused: None,
            pool,
        }
    }

    /// Bytes of all memories.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The last growth that was refused.
    pub(super) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Bytes that the memories may still grow by.
    pub(super) fn memory_left(&self) -> usize {
        self.memory_max - self.memory
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.pool.give_back(self.memory);
    }
}

impl ResourceLimiter for Holdings {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A module's own maximum is its own business; the pool's, also passed here, is our limit.
        let sum = self.memory.saturating_sub(current).saturating_add(desired);
        if sum > self.memory_max {
            self.refused = Some(Refusal::Memory(sum));
            return Ok(false);
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            // Memories never shrink.
            if let Err(wanted) = self.pool.take(sum.saturating_sub(self.memory)) {
                self.refused = Some(Refusal::TenantMemory(wanted));
                return Ok(false);
            }
            self.memory = sum.max(self.memory);
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.table.saturating_sub(current).saturating_add(desired);
        if sum > self.table_max {
            self.refused = Some(Refusal::Table(sum));
            return Ok(false);
        }
        // What the pool of instances holds for one table.
        if desired > TABLE_ELEMENTS {
            self.refused = Some(Refusal::OneTable(desired));
            return Ok(false);
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.table = sum;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn holdings(pool: &Arc<Pool>) -> Holdings {
        let limits = PluginLimits {
            memory_max_bytes: 300,
            ..Default::default()
        };
        Holdings::new(&limits, Arc::clone(pool))
    }

    #[test]
    fn memories_are_summed_and_a_refusal_is_kept() {
        let mut holdings = holdings(&Arc::new(Pool::new(1_000)));
        assert!(holdings.memory_growing(0, 100, None).unwrap());
        assert!(holdings.memory_growing(0, 150, None).unwrap(), "a second memory");
        assert!(!holdings.memory_growing(100, 151, None).unwrap());
        assert_eq!(
            (holdings.memory(), holdings.refused()),
            (250, Some(Refusal::Memory(301)))
        );
        assert!(holdings.memory_growing(100, 150, None).unwrap());
        assert_eq!(holdings.memory_left(), 0);
    }

    #[test]
    fn a_growth_beyond_the_modules_own_maximum_is_not_booked() {
        let mut holdings = holdings(&Arc::new(Pool::new(1_000)));
        assert!(holdings.memory_growing(0, 200, Some(100)).unwrap());
        assert_eq!((holdings.memory(), holdings.refused()), (0, None));
    }

    #[test]
    fn the_calls_of_a_tenant_share_a_pool_and_give_back_what_they_took() {
        let pool = Arc::new(Pool::new(500));
        let mut first = holdings(&pool);
        let mut second = holdings(&pool);
        assert!(first.memory_growing(0, 300, None).unwrap());
        assert!(second.memory_growing(0, 200, None).unwrap());
        assert!(!second.memory_growing(200, 201, None).unwrap());
        assert_eq!(second.refused(), Some(Refusal::TenantMemory(501)));
        drop(first);
        assert!(second.memory_growing(200, 300, None).unwrap());
        drop(second);
        assert_eq!(pool.taken.load(Ordering::Relaxed), 0);
    }
}
