//! What a call may hold: one sum over all its linear memories, one over all its tables; and what all calls of a tenant
//! may hold together.
//!
//! A growth that does not fit fails as WebAssembly says it does (`memory.grow` returns -1), because an interpreter can
//! live with that; most guests trap next, and the refusal kept here then tells why. Entry type: [`Holdings`] of a
//! call; its tenant's sum is in [`TenantBounds`]. Invariants: the sums never exceed their bounds; a call gives back to
//! its tenant all that it took.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;
use crate::call::{Counting, TenantBounds};
use crate::config::limits::PluginLimits;

/// Memories and tables of one call.
#[derive(Debug)]
pub(super) struct Holdings {
    memory_max: usize,
    memory: usize,
    table_max: usize,
    table: usize,
    refused: Option<Refusal>,
    bounds: Arc<TenantBounds>,
    /// Whose they are, where somebody may ask.
    counting: Option<Counting>,
}

/// A growth that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All memories would have been so many bytes.
    Memory(usize),
    /// All memories of all calls of the tenant would have been so many bytes.
    TenantMemory {
        /// So many.
        wanted: usize,
        /// Of so many.
        limit: usize,
    },
    /// All tables would have been so many elements.
    Table(usize),
    /// One table would have been so many elements.
    OneTable(usize),
}

impl Holdings {
    pub(super) fn new(limits: &PluginLimits, bounds: Arc<TenantBounds>) -> Self {
        Self {
            memory_max: limits.memory_max_bytes,
            memory: 0,
            table_max: limits.table_elements,
            table: 0,
            refused: None,
            bounds,
            counting: None,
        }
    }

    /// Says how much there is.
    pub(super) fn counting(mut self, counting: Counting) -> Self {
        self.counting = Some(counting);
        self
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
        self.bounds.memory.give_back(self.memory);
        if let Some(counting) = &self.counting {
            counting.gave_back(self.memory);
        }
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
            let more = sum.saturating_sub(self.memory);
            if let Err(wanted) = self.bounds.memory.take(more) {
                let limit = self.bounds.memory.max();
                self.refused = Some(Refusal::TenantMemory { wanted, limit });
                return Ok(false);
            }
            if let Some(counting) = &self.counting {
                counting.took(more);
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
    use crate::config::limits::TenantLimits;

    fn holdings(pool: &Arc<TenantBounds>) -> Holdings {
        let limits = PluginLimits {
            memory_max_bytes: 300,
            ..Default::default()
        };
        Holdings::new(&limits, Arc::clone(pool))
    }

    fn pool(memory_max_bytes: usize) -> Arc<TenantBounds> {
        TenantBounds::new(
            "acme",
            &TenantLimits {
                memory_max_bytes,
                ..Default::default()
            },
        )
    }

    #[test]
    fn memories_are_summed_and_a_refusal_is_kept() {
        let mut holdings = holdings(&pool(1_000));
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
        let mut holdings = holdings(&pool(1_000));
        assert!(holdings.memory_growing(0, 200, Some(100)).unwrap());
        assert_eq!((holdings.memory(), holdings.refused()), (0, None));
    }

    #[test]
    fn the_calls_of_a_tenant_share_a_pool_and_give_back_what_they_took() {
        let pool = pool(500);
        let mut first = holdings(&pool);
        let mut second = holdings(&pool);
        assert!(first.memory_growing(0, 300, None).unwrap());
        assert!(second.memory_growing(0, 200, None).unwrap());
        assert!(!second.memory_growing(200, 201, None).unwrap());
        assert_eq!(
            second.refused(),
            Some(Refusal::TenantMemory {
                wanted: 501,
                limit: 500
            })
        );
        drop(first);
        assert!(second.memory_growing(200, 300, None).unwrap());
        drop(second);
        assert_eq!(pool.memory.taken(), 0);
    }
}
