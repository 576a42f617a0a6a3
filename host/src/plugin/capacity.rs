//! How many calls the kernel lets this process hold, and what to tell the operator when that is fewer than asked for.
//!
//! Each running call takes about six memory maps (its memory, its image, its tables, its stack and their guards) and
//! some twelve gigabytes of reserved address space. Neither costs memory, but both run out: beyond
//! `vm.max_map_count` an `mmap` fails in the middle of a call, in the worst case on a path that can only abort. So the
//! pool is sized before it is made. Entry type: [`Capacity`]. Knows nothing of wasmtime.

use std::fmt;

/// Memory maps of one running call, measured.
const MAPS_PER_CALL: u64 = 6;
/// Maps of everything else: the binary, its libraries, thread stacks, the heap, compiled flows.
const MAPS_BESIDE_CALLS: u64 = 5_000;
/// Fewer calls than this are not worth starting for: something is wrong with the machine.
const CALLS_WORTH_STARTING: u64 = 100;
/// What x86-64 and AArch64 leave to a process, less room for everything else.
const ADDRESS_SPACE: u64 = 110 << 40;

/// The number of calls that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Calls at once; at most what was asked for.
    pub calls: u64,
    /// What cut it down, if anything did.
    pub shortage: Option<Shortage>,
}

/// Fewer calls fit than were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// `calls_max` of the configuration.
    pub asked: u64,
    /// What fits.
    pub fits: u64,
    /// What ran out.
    pub cause: Cause,
}

/// What ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// `vm.max_map_count` is this much.
    MemoryMaps(u64),
    /// A process has only so much address space.
    AddressSpace,
}

impl Capacity {
    /// What fits on this machine, when one call reserves `reserve` bytes of address space.
    ///
    /// Errors with the shortage when not even `CALLS_WORTH_STARTING` (or the fewer that were asked for) fit.
    pub fn on_this_machine(asked: u64, reserve: u64) -> Result<Self, Shortage> {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        Self::plan(asked, maps.and_then(|text| text.trim().parse().ok()), reserve)
    }

    /// The same for a given `vm.max_map_count`; `None` on systems without that limit.
    pub fn plan(asked: u64, max_map_count: Option<u64>, reserve: u64) -> Result<Self, Shortage> {
        let mut capacity = Capacity {
            calls: asked,
            shortage: None,
        };
        if let Some(maps) = max_map_count {
            capacity.cut_to(
                maps.saturating_sub(MAPS_BESIDE_CALLS) / MAPS_PER_CALL,
                Cause::MemoryMaps(maps),
            );
        }
        capacity.cut_to(ADDRESS_SPACE / reserve.max(1), Cause::AddressSpace);
        match capacity.shortage {
            Some(shortage) if shortage.fits < CALLS_WORTH_STARTING => Err(shortage),
            _ => Ok(capacity),
        }
    }

    fn cut_to(&mut self, fits: u64, cause: Cause) {
        if fits < self.calls {
            let asked = self.shortage.as_ref().map_or(self.calls, |before| before.asked);
            self.calls = fits;
            self.shortage = Some(Shortage { asked, fits, cause });
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "calls_max is {}, but only {} calls fit: ",
            self.asked, self.fits
        )?;
        match self.cause {
            Cause::MemoryMaps(maps) => write!(
                f,
                "vm.max_map_count is {maps} and a call takes {MAPS_PER_CALL} memory maps. Run: sysctl -w vm.max_map_count={}",
                self.asked * MAPS_PER_CALL + MAPS_BESIDE_CALLS
            ),
            Cause::AddressSpace => {
                write!(
                    f,
                    "a process has no more address space. Run several hosts, or set calls_max = {}",
                    self.fits
                )
            }
        }
    }
}

impl std::error::Error for Shortage {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CALL: u64 = 12 << 30;

    #[test]
    fn the_usual_machine_holds_the_default_number_of_calls() {
        assert_eq!(
            Capacity::plan(5_000, Some(65_530), CALL).unwrap(),
            Capacity {
                calls: 5_000,
                shortage: None
            }
        );
    }

    #[test]
    fn too_few_maps_scale_the_pool_down_and_name_the_line_to_run() {
        let capacity = Capacity::plan(20_000, Some(65_530), 1).unwrap();
        assert_eq!(capacity.calls, 10_088);
        let text = capacity.shortage.unwrap().to_string();
        assert!(text.contains("sysctl -w vm.max_map_count=125000"), "{text}");
        // Running that line really is enough.
        assert_eq!(Capacity::plan(20_000, Some(125_000), 1).unwrap().shortage, None);
    }

    #[test]
    fn a_machine_without_room_is_refused() {
        let shortage = Capacity::plan(5_000, Some(5_500), CALL).unwrap_err();
        assert_eq!(shortage.fits, 83);
        assert_eq!(
            Capacity::plan(50, Some(5_500), CALL).unwrap().calls,
            50,
            "unless so few were asked for"
        );
    }

    #[test]
    fn address_space_ends_too_and_the_number_asked_for_is_kept() {
        let capacity = Capacity::plan(100_000, Some(65_530), CALL).unwrap();
        assert_eq!(capacity.calls, (110 << 40) / CALL);
        let shortage = capacity.shortage.unwrap();
        assert_eq!((shortage.asked, shortage.cause), (100_000, Cause::AddressSpace));
    }

    #[test]
    fn systems_without_that_limit_are_bounded_by_address_space_alone() {
        assert_eq!(Capacity::plan(9_000, None, CALL).unwrap().calls, 9_000);
    }
}
