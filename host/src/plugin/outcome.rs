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
use crate::config::limits::PluginLimits;

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
            | Outcome::NotInstantiated(_) => return None,
        })
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
            Outcome::PoolFull(_) => "pool-full",
            Outcome::NotInstantiated(_) => "not-instantiated",
        }
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
        .map(ToString::to_string)
}

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
            Outcome::PoolFull(text) => write!(f, "no instance was free: {text}"),
            Outcome::NotInstantiated(text) => write!(f, "could not be instantiated: {text}"),
        }
    }
}
