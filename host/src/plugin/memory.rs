//! What a call may hold: one sum over all its linear memories, one over all its tables.
//!
//! A growth that does not fit fails as WebAssembly says it does (`memory.grow` returns -1), because an interpreter can
//! live with that; most guests trap next, and the refusal kept here then tells why. Entry type: [`Holdings`].
//! Invariant: the sums never exceed their bounds.

use wasmtime::ResourceLimiter;

use crate::config::limits::PluginLimits;

/// Memories and tables of one call.
#[derive(Debug)]
pub(super) struct Holdings {
    memory_max: usize,
    memory: usize,
    table_max: usize,
    table: usize,
    refused: Option<Refusal>,
}

/// A growth that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All memories would have been so many bytes.
    Memory(usize),
    /// All tables would have been so many elements.
    Table(usize),
}

impl Holdings {
    pub(super) fn new(limits: &PluginLimits) -> Self {
        Self {
            memory_max: limits.memory_max_bytes,
            memory: 0,
            table_max: limits.table_elements,
            table: 0,
            refused: None,
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
            self.memory = sum;
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

    #[test]
    fn memories_are_summed_and_a_refusal_is_kept() {
        let mut holdings = Holdings::new(&PluginLimits {
            memory_max_bytes: 300,
            ..Default::default()
        });
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
        let mut holdings = Holdings::new(&PluginLimits {
            memory_max_bytes: 300,
            ..Default::default()
        });
        assert!(holdings.memory_growing(0, 200, Some(100)).unwrap());
        assert_eq!((holdings.memory(), holdings.refused()), (0, None));
    }
}
