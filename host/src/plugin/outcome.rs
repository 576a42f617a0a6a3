//! How a call's instance ended, in words that an operator can act on.
//!
//! Entry type: [`Outcome`]. Everything that wasmtime, WASI or a host function can raise is put into one of these
//! cases by [`Outcome::of_error`]; what was refused earlier (a growth of memory) explains the trap that follows it.
//! Invariant: an outcome other than [`Outcome::Finished`] and [`Outcome::Failed`] means that the store is unusable and
//! has been dropped.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::engine::TABLE_ELEMENTS;
use super::flow_log;
use super::fuel::{Budget, Exhausted};
use super::memory::Refusal;
use crate::call::HostEnd;
use crate::config::limits::PluginLimits;

/// What a caller hears when no instance was free.
const NO_ROOM: u16 = 503;

/// How a call's instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The flow returned.
    Finished,
    /// The flow returned an error of its own; its text.
    Failed(String),
    /// The flow computed too much.
    OutOfFuel {
        /// Between two waits, or in all.
        budget: Budget,
        /// The budget's size.
        limit: u64,
    },
    /// The flow's memories would have grown beyond their limit.
    OutOfMemory {
        /// What all of them together would have been, in bytes.
        wanted: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The memories of all calls of the tenant would have grown beyond their limit.
    TenantOutOfMemory {
        /// What all of them together would have been, in bytes.
        wanted: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The flow's tables would have grown beyond their limit.
    TablesTooLarge {
        /// What all of them together would have been, in elements.
        wanted: usize,
        /// The limit, in elements.
        limit: usize,
    },
    /// The flow recursed too deeply.
    StackOverflow {
        /// The stack's size in bytes.
        limit: usize,
    },
    /// The flow handed too much to one host function.
    HostCallTooLarge {
        /// About so many bytes may pass.
        limit: usize,
    },
    /// The flow held too many component handles.
    TooManyHandles {
        /// The limit.
        limit: usize,
    },
    /// The flow held too many legs, options and other host objects.
    TooManyResources {
        /// The limit.
        limit: usize,
    },
    /// The flow's code gave up: a panic, a failed assertion, an `unreachable`. Its last log line usually says why.
    Panicked(Option<String>),
    /// Another trap: a bad memory access, a division by zero, a broken canonical ABI.
    Trapped(String),
    /// The flow called `exit` with this status.
    Exited(i32),
    /// The call, or the job, reached its maximum length.
    TooLong {
        /// The name of the limit.
        limit: &'static str,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The host ended it: it stops, or an operator wanted it so. Why, in the host's words.
    Ended(HostEnd),
    /// No slot was free. The semaphore before the pool should make this impossible for ordinary flows.
    PoolFull(String),
    /// The component could not be instantiated.
    NotInstantiated(String),
}

impl Outcome {
    /// True when the flow itself came to an end, well or not.
    pub fn is_return(&self) -> bool {
        matches!(self, Outcome::Finished | Outcome::Failed(_))
    }

    /// True when the flow fell over or ran into a limit: neither it nor the host wanted the end.
    pub fn is_trap(&self) -> bool {
        !self.is_return() && !matches!(self, Outcome::Ended(_))
    }

    /// Whether another flow may have the call: it has not lasted too long, and there is an instance for it.
    pub(super) fn may_be_handed_over(&self) -> bool {
        self.is_trap() && !matches!(self, Outcome::TooLong { .. } | Outcome::PoolFull(_))
    }

    /// The limit that ended it, if one did: its name in the table of limits.
    pub fn limit(&self) -> Option<&'static str> {
        Some(match self {
            Outcome::OutOfFuel {
                budget: Budget::Burst,
                ..
            } => "limits.plugin.fuel_burst",
            Outcome::OutOfFuel {
                budget: Budget::Total,
                ..
            } => "limits.plugin.fuel_total",
            Outcome::OutOfMemory { .. } => "limits.plugin.memory_max_bytes",
            Outcome::TenantOutOfMemory { .. } => "limits.tenant.memory_max_bytes",
            Outcome::TablesTooLarge { .. } => "limits.plugin.table_elements",
            Outcome::StackOverflow { .. } => "limits.plugin.stack_max_bytes",
            Outcome::HostCallTooLarge { .. } => "limits.plugin.hostcall_fuel",
            Outcome::TooManyHandles { .. } => "limits.plugin.handles_max",
            Outcome::TooManyResources { .. } => "limits.plugin.resources_max",
            Outcome::TooLong { limit, .. } => limit,
            Outcome::PoolFull(_) => "limits.calls_max",
            Outcome::Finished
            | Outcome::Failed(_)
            | Outcome::Panicked(_)
            | Outcome::Trapped(_)
            | Outcome::Exited(_)
            | Outcome::Ended(_)
            | Outcome::NotInstantiated(_) => return None,
        })
    }

    /// What the peers of the legs that are still up are told, where the caller of an unanswered call gets `status`: the
    /// limit, or what the host may say of a fault. Never a word of the flow's.
    pub(super) fn told(&self, status: u16) -> HostEnd {
        match self {
            Outcome::Ended(why) => *why,
            Outcome::PoolFull(_) => HostEnd::new(NO_ROOM, "limits.calls_max"),
            Outcome::NotInstantiated(_) => HostEnd::new(status, "the flow could not be started"),
            _ => HostEnd::new(status, self.limit().unwrap_or("the flow failed")),
        }
    }

    /// A short name for metrics and records; never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Finished => "finished",
            Outcome::Failed(_) => "failed",
            Outcome::OutOfFuel {
                budget: Budget::Burst,
                ..
            } => "out-of-fuel-burst",
            Outcome::OutOfFuel {
                budget: Budget::Total,
                ..
            } => "out-of-fuel-total",
            Outcome::OutOfMemory { .. } => "out-of-memory",
            Outcome::TenantOutOfMemory { .. } => "tenant-out-of-memory",
            Outcome::TablesTooLarge { .. } => "tables-too-large",
            Outcome::StackOverflow { .. } => "stack-overflow",
            Outcome::HostCallTooLarge { .. } => "host-call-too-large",
            Outcome::TooManyHandles { .. } => "too-many-handles",
            Outcome::TooManyResources { .. } => "too-many-resources",
            Outcome::Panicked(_) => "panicked",
            Outcome::Trapped(_) => "trapped",
            Outcome::Exited(_) => "exited",
            Outcome::TooLong { .. } => "too-long",
            Outcome::Ended(_) => "ended",
            Outcome::PoolFull(_) => "pool-full",
            Outcome::NotInstantiated(_) => "not-instantiated",
        }
    }

    /// Every [`Outcome::name`], the most frequent first.
    pub const NAMES: [&'static str; 18] = [
        "finished",
        "failed",
        "ended",
        "out-of-fuel-burst",
        "out-of-fuel-total",
        "out-of-memory",
        "tenant-out-of-memory",
        "tables-too-large",
        "stack-overflow",
        "host-call-too-large",
        "too-many-handles",
        "too-many-resources",
        "panicked",
        "trapped",
        "exited",
        "too-long",
        "pool-full",
        "not-instantiated",
    ];

    /// Whether an outcome of this name is a trap; see [`Outcome::is_trap`].
    #[must_use]
    pub fn names_a_trap(name: &str) -> bool {
        !matches!(name, "finished" | "failed" | "ended")
    }

    /// Sorts an error that ended a guest.
    pub(super) fn of_error(error: &wasmtime::Error, limits: &PluginLimits, context: &Context) -> Self {
        if let Some(Exhausted(budget)) = error.downcast_ref() {
            return Self::out_of_fuel(*budget, limits);
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Self::of_trap(*trap, limits, context);
        }
        if let Some(I32Exit(status)) = error.downcast_ref() {
            return if *status == 0 {
                Outcome::Finished
            } else {
                Outcome::Exited(*status)
            };
        }
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Outcome::TooManyResources {
                limit: limits.resources_max,
            };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Outcome::PoolFull(error.root_cause().to_string());
        }
        let cause = error.root_cause().to_string();
        // These two have no public type; a test for each fails should wasmtime change the words.
        if cause.contains("fuel allocated for hostcalls") {
            return Outcome::HostCallTooLarge {
                limit: limits.hostcall_fuel,
            };
        }
        if cause.contains("handle limit exceeded") {
            return Outcome::TooManyHandles {
                limit: limits.handles_max,
            };
        }
        match (context.refused, context.running) {
            (Some(refusal), false) => Self::of_refusal(refusal, limits),
            (None, false) => Outcome::NotInstantiated(text_of(error)),
            (_, true) => Outcome::Trapped(cause),
        }
    }

    fn of_trap(trap: Trap, limits: &PluginLimits, context: &Context) -> Self {
        match trap {
            Trap::OutOfFuel => Self::out_of_fuel(context.budget.unwrap_or(Budget::Burst), limits),
            Trap::StackOverflow => Outcome::StackOverflow {
                limit: limits.stack_max_bytes,
            },
            Trap::UnreachableCodeReached => match context.refused {
                Some(refusal) => Self::of_refusal(refusal, limits),
                None => Outcome::Panicked(context.last_line.clone()),
            },
            other => match context.refused {
                // A C program that did not check `malloc` writes to the end of its memory.
                Some(refusal) if other == Trap::MemoryOutOfBounds => Self::of_refusal(refusal, limits),
                _ => Outcome::Trapped(other.to_string().trim_start_matches("wasm trap: ").to_owned()),
            },
        }
    }

    fn of_refusal(refusal: Refusal, limits: &PluginLimits) -> Self {
        match refusal {
            Refusal::Memory(wanted) => Outcome::OutOfMemory {
                wanted,
                limit: limits.memory_max_bytes,
            },
            Refusal::TenantMemory { wanted, limit } => Outcome::TenantOutOfMemory { wanted, limit },
            Refusal::Table(wanted) => Outcome::TablesTooLarge {
                wanted,
                limit: limits.table_elements,
            },
            Refusal::OneTable(wanted) => Outcome::TablesTooLarge {
                wanted,
                limit: TABLE_ELEMENTS.min(limits.table_elements),
            },
        }
    }

    fn out_of_fuel(budget: Budget, limits: &PluginLimits) -> Self {
        let limit = match budget {
            Budget::Burst => limits.fuel_burst,
            Budget::Total => limits.fuel_total,
        };
        Outcome::OutOfFuel { budget, limit }
    }
}

/// What is known of a call beside the error that ended it.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The guest was running; false while it was being instantiated.
    pub(super) running: bool,
    pub(super) budget: Option<Budget>,
    pub(super) refused: Option<Refusal>,
    pub(super) last_line: Option<String>,
}

/// The WebAssembly frames of an error, innermost first.
pub(super) fn backtrace_of(error: &wasmtime::Error) -> Option<String> {
    error
        .downcast_ref::<WasmBacktrace>()
        .filter(|trace| !trace.frames().is_empty())
        .map(|trace| readable(&trace.to_string()))
}

/// Frames as the engine writes them, fit for a log and a list: names in a flow's own table may hold anything, of any length.
fn readable(frames: &str) -> String {
    let mut text = String::new();
    for line in frames.lines() {
        let line = flow_log::escape(line, FRAME_LINE_BYTES);
        if text.len() + line.len() >= BACKTRACE_BYTES {
            text.push('…');
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}

/// Bytes of one line of a backtrace that are kept, and of all of them.
const FRAME_LINE_BYTES: usize = 200;
const BACKTRACE_BYTES: usize = 4_096;

/// A flow's own error text, made fit for a log and a record.
pub(super) fn flow_text(text: &str) -> String {
    flow_log::escape(text, FLOW_TEXT_BYTES)
}

/// Bytes of a flow's own error text that are kept.
const FLOW_TEXT_BYTES: usize = 1_024;

/// An error with its causes on one line.
pub(super) fn text_of(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(cause.trim());
    }
    text
}

/// About so many units are a millisecond of CPU: users see time, beside the number that is exact.
const FUEL_PER_MS: u64 = 4_000_000;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Finished => f.write_str("finished"),
            Outcome::Failed(text) => write!(f, "the flow returned an error: {text}"),
            Outcome::OutOfFuel { budget, limit } => {
                let ms = limit / FUEL_PER_MS;
                match budget {
                    Budget::Burst => write!(
                        f,
                        "computed without waiting for more than about {ms} ms (limits.plugin.fuel_burst = {limit})"
                    ),
                    Budget::Total => write!(
                        f,
                        "computed for more than about {ms} ms in all (limits.plugin.fuel_total = {limit})"
                    ),
                }
            }
            Outcome::OutOfMemory { wanted, limit } => {
                write!(
                    f,
                    "needed {wanted} bytes of memory (limits.plugin.memory_max_bytes = {limit})"
                )
            }
            Outcome::TenantOutOfMemory { wanted, limit } => {
                write!(
                    f,
                    "and the tenant's other calls needed {wanted} bytes of memory \
                     (limits.tenant.memory_max_bytes = {limit})"
                )
            }
            Outcome::TablesTooLarge { wanted, limit } if *limit <= TABLE_ELEMENTS => {
                write!(
                    f,
                    "needed {wanted} elements in one table, which holds {limit} at most (limits.plugin.table_elements \
                     bounds all of them)"
                )
            }
            Outcome::TablesTooLarge { wanted, limit } => {
                write!(
                    f,
                    "needed {wanted} table elements (limits.plugin.table_elements = {limit})"
                )
            }
            Outcome::StackOverflow { limit } => {
                write!(
                    f,
                    "recursed too deeply: stack overflow (limits.plugin.stack_max_bytes = {limit})"
                )
            }
            Outcome::HostCallTooLarge { limit } => {
                write!(
                    f,
                    "passed too much to one host function (limits.plugin.hostcall_fuel = {limit})"
                )
            }
            Outcome::TooManyHandles { limit } => {
                write!(f, "held too many handles (limits.plugin.handles_max = {limit})")
            }
            Outcome::TooManyResources { limit } => {
                write!(
                    f,
                    "held too many calls, options and other objects (limits.plugin.resources_max = {limit})"
                )
            }
            Outcome::Panicked(Some(line)) => write!(f, "panicked; its last words: {line}"),
            Outcome::Panicked(None) => f.write_str("panicked without a word"),
            Outcome::Trapped(text) => write!(f, "trapped: {text}"),
            Outcome::Exited(status) => write!(f, "exited with status {status}"),
            Outcome::TooLong { limit, limit_s } => {
                write!(f, "lasted longer than {limit_s} s ({limit})")
            }
            Outcome::Ended(why) => write!(f, "was ended: {}", why.text),
            Outcome::PoolFull(text) => write!(f, "no instance was free: {text}"),
            Outcome::NotInstantiated(text) => write!(f, "could not be instantiated: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits;

    #[test]
    fn an_outcome_names_its_limit_as_the_table_does() {
        let fuel = |budget| Outcome::OutOfFuel { budget, limit: 1 };
        let memory = (2, 1);
        let all = [
            fuel(Budget::Burst),
            fuel(Budget::Total),
            Outcome::OutOfMemory {
                wanted: memory.0,
                limit: memory.1,
            },
            Outcome::TenantOutOfMemory {
                wanted: memory.0,
                limit: memory.1,
            },
            Outcome::TablesTooLarge {
                wanted: memory.0,
                limit: memory.1,
            },
            Outcome::StackOverflow { limit: 1 },
            Outcome::HostCallTooLarge { limit: 1 },
            Outcome::TooManyHandles { limit: 1 },
            Outcome::TooManyResources { limit: 1 },
            Outcome::PoolFull(String::new()),
        ];
        for outcome in all {
            let name = outcome.limit().unwrap_or_default();
            let known = limits::table().any(|row| format!("{}.{}", row.group, row.name) == name);
            assert!(known, "{outcome:?}: {name:?} is not in the table");
            assert!(outcome.is_trap());
            assert_eq!(outcome.told(500).text, name);
        }
    }

    #[test]
    fn every_outcome_is_in_the_list_of_names() {
        let text = String::new;
        let all = [
            Outcome::Finished,
            Outcome::Failed(text()),
            Outcome::OutOfFuel {
                budget: Budget::Burst,
                limit: 1,
            },
            Outcome::OutOfFuel {
                budget: Budget::Total,
                limit: 1,
            },
            Outcome::OutOfMemory { wanted: 2, limit: 1 },
            Outcome::TenantOutOfMemory { wanted: 2, limit: 1 },
            Outcome::TablesTooLarge { wanted: 2, limit: 1 },
            Outcome::StackOverflow { limit: 1 },
            Outcome::HostCallTooLarge { limit: 1 },
            Outcome::TooManyHandles { limit: 1 },
            Outcome::TooManyResources { limit: 1 },
            Outcome::Panicked(None),
            Outcome::Trapped(text()),
            Outcome::Exited(1),
            Outcome::TooLong {
                limit: "limits.plugin.call_max_s",
                limit_s: 1,
            },
            Outcome::Ended(HostEnd::SHUTTING_DOWN),
            Outcome::PoolFull(text()),
            Outcome::NotInstantiated(text()),
        ];
        let mut named: Vec<&str> = all.iter().map(Outcome::name).collect();
        let mut listed = Outcome::NAMES.to_vec();
        named.sort_unstable();
        listed.sort_unstable();
        assert_eq!(named, listed);
        for outcome in all {
            assert_eq!(
                Outcome::names_a_trap(outcome.name()),
                outcome.is_trap(),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_backtrace_is_bounded_and_writes_no_line_of_its_own() {
        let name = format!("   0: 0x10 - <unknown>!\u{1b}[2J{}", "x".repeat(5_000));
        let text = readable(&vec![name; 200].join("\n"));
        assert!(text.len() <= BACKTRACE_BYTES + 4, "{}", text.len());
        assert!(text.lines().all(|line| line.len() < 2 * FRAME_LINE_BYTES));
        assert!(!text.contains('\u{1b}'));
        assert_eq!(readable("   0: 0x1 - a!b\n"), "   0: 0x1 - a!b");
    }

    #[test]
    fn no_word_of_a_flows_is_told_to_a_peer() {
        let words = "say \"this\"".to_owned();
        for outcome in [Outcome::Panicked(Some(words.clone())), Outcome::Trapped(words)] {
            assert_eq!(outcome.told(486), HostEnd::new(486, "the flow failed"));
        }
    }
}
