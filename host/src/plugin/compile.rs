//! Compilation in a child process, seen from both sides.
//!
//! A module of 96 KB can be made to compile for a minute, compilation cannot be cancelled, and a compiler's bug should
//! not be the host's. So the host starts its own binary with the hidden subcommand `compile`, which limits its CPU
//! time and address space before it reads anything, and the host kills it by the clock. Input and output are files in
//! a scratch directory of the cache; the reason of a failure comes on stderr. Encoding and validation of an untrusted
//! file happen in the child too. Entry points: [`Compiler`] for the host, [`compile_child_main`] for the child.
//!
//! Invariant: at most `compiles_max` children at once; none outlives its limits, or its parent.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::{engine, outcome, source};
use crate::config::limits::{self, PluginLimits};

/// Bytes of the child's stderr that are read: a reason, not a core dump.
const REASON_MAX_BYTES: u64 = 8 << 10;

/// A file could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refused it; the text is for the flow's author.
    #[error("{0}")]
    Refused(String),
    /// It took too much CPU time.
    #[error(
        "compiling took more than {0} s of CPU: split very large functions, or raise limits.plugin.compile_cpu_s"
    )]
    TooSlow(u64),
    /// It took too long by the clock.
    #[error(
        "compiling took longer than {0} ms: is the machine overloaded? Or raise limits.plugin.compile_wall_ms"
    )]
    TooLong(u64),
    /// It took too much memory.
    #[error(
        "compiling needed more than {0} bytes: split very large functions, or raise limits.plugin.compile_memory_bytes"
    )]
    TooLarge(u64),
    /// The compiler crashed: a bug in it, or an attack on it.
    #[error("the compiler crashed ({how}); the file is not loaded. Its last words: {words}")]
    Crashed {
        /// Signal or exit status.
        how: String,
        /// The end of its stderr.
        words: String,
    },
    /// The child could not be started or its files not be written.
    #[error("the compiling child {program} could not be run: {source}", program = program.display())]
    Child {
        /// The program that was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts compiling children.
#[derive(Debug, Clone)]
pub(super) struct Compiler {
    program: PathBuf,
    children: Arc<Semaphore>,
}

impl Compiler {
    pub(super) fn new(program: PathBuf, limits: &PluginLimits) -> Self {
        Self {
            program,
            children: Arc::new(Semaphore::new(limits.compiles_max)),
        }
    }

    /// Compiles `input` to `output`.
    pub(super) async fn compile(
        &self,
        input: &Path,
        output: &Path,
        limits: &PluginLimits,
    ) -> Result<(), CompileError> {
        let fail = |source| CompileError::Child {
            program: self.program.clone(),
            source,
        };
        let closed = |_| fail(io::Error::other("the compiler is shut down"));
        let _permit = self.children.acquire().await.map_err(closed)?;
        let mut child = tokio::process::Command::new(&self.program)
            .arg("compile")
            .args([input, output])
            .args([
                limits.compile_cpu_s.to_string(),
                limits.compile_memory_bytes.to_string(),
            ])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(fail)?;
        let stderr = child.stderr.take();
        let work = async {
            let mut reason = Vec::new();
            if let Some(mut stderr) = stderr {
                (&mut stderr)
                    .take(REASON_MAX_BYTES)
                    .read_to_end(&mut reason)
                    .await?;
                // A child that says more must not block on a full pipe.
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            Ok::<_, io::Error>((child.wait().await?, reason))
        };
        match tokio::time::timeout(Duration::from_millis(limits.compile_wall_ms), work).await {
            Err(_) => {
                let _ = child.start_kill();
                let _ = child.wait().await;
                limits::hit("limits.plugin.compile_wall_ms");
                Err(CompileError::TooLong(limits.compile_wall_ms))
            }
            Ok(Err(source)) => Err(fail(source)),
            Ok(Ok((status, reason))) => judge(status, &reason, limits),
        }
    }
}

fn judge(status: ExitStatus, reason: &[u8], limits: &PluginLimits) -> Result<(), CompileError> {
    let words: String = String::from_utf8_lossy(reason)
        .trim()
        .chars()
        .map(|character| {
            if character.is_control() && character != '\n' {
                ' '
            } else {
                character
            }
        })
        .collect();
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(REFUSED) {
        return Err(CompileError::Refused(words));
    }
    let signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The hard limit kills what ignored the soft one.
    if signal(Signal::XCPU) || signal(Signal::KILL) {
        limits::hit("limits.plugin.compile_cpu_s");
        return Err(CompileError::TooSlow(limits.compile_cpu_s));
    }
    if words.contains("memory allocation of") || words.contains("out of memory") {
        limits::hit("limits.plugin.compile_memory_bytes");
        return Err(CompileError::TooLarge(limits.compile_memory_bytes));
    }
    Err(CompileError::Crashed {
        how: status.to_string(),
        words,
    })
}

/// Exit status of a child that refuses a file.
const REFUSED: i32 = 3;

/// The body of the hidden subcommand `callbox compile INPUT OUTPUT CPU_SECONDS MEMORY_BYTES`; `arguments` are those
/// four. Never to be called in a process that does anything else: it limits the whole process.
pub fn compile_child_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match child(arguments.into_iter().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::from(REFUSED as u8)
        }
    }
}

fn child(arguments: Vec<OsString>) -> Result<(), String> {
    let [input, output, cpu, memory] = arguments.as_slice() else {
        return Err(
            "usage: callbox compile INPUT OUTPUT CPU_SECONDS MEMORY_BYTES (the host runs this itself)"
                .to_owned(),
        );
    };
    let number = |text: &OsString| {
        text.to_str()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| format!("not a number: {}", text.display()))
    };
    limit_this_process(number(cpu)?, number(memory)?)
        .map_err(|error| format!("the child cannot limit itself: {error}"))?;
    let mut bytes = Vec::new();
    let open = std::fs::File::open(input).map_err(|error| format!("{}: {error}", input.display()))?;
    open.take(1 << 30)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{}: {error}", input.display()))?;
    let component = source::encode(bytes)?;
    let engine = wasmtime::Engine::new(&engine::codegen()).map_err(|error| outcome::text_of(&error))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| format!("does not compile: {}", outcome::text_of(&error)))?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(output)
        .and_then(|mut file| file.write_all(&code))
        .map_err(|error| format!("{}: {error}", output.display()))
}

fn limit_this_process(cpu_s: u64, memory: u64) -> io::Result<()> {
    let limit = |resource, soft, hard| {
        rustix::process::setrlimit(
            resource,
            Rlimit {
                current: Some(soft),
                maximum: Some(hard),
            },
        )
    };
    limit(Resource::Cpu, cpu_s, cpu_s + 1)?;
    limit(Resource::As, memory, memory)?;
    limit(Resource::Core, 0, 0)?;
    // Calls go first; and a host that dies takes its children with it.
    let _ = rustix::process::nice(10);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(raw: i32, words: &str) -> CompileError {
        judge(
            ExitStatus::from_raw(raw),
            words.as_bytes(),
            &PluginLimits::default(),
        )
        .unwrap_err()
    }

    #[test]
    fn how_a_child_ended_is_understood() {
        judge(ExitStatus::from_raw(0), b"a warning", &PluginLimits::default()).unwrap();
        assert!(
            matches!(error(REFUSED << 8, "bad\x1b magic"), CompileError::Refused(text) if text == "bad  magic")
        );
        assert!(matches!(
            error(Signal::XCPU.as_raw(), ""),
            CompileError::TooSlow(30)
        ));
        assert!(matches!(
            error(Signal::KILL.as_raw(), ""),
            CompileError::TooSlow(30)
        ));
        assert!(matches!(
            error(Signal::ABORT.as_raw(), "memory allocation of 9 bytes failed"),
            CompileError::TooLarge(_)
        ));
        assert!(matches!(
            error(Signal::SEGV.as_raw(), ""),
            CompileError::Crashed { .. }
        ));
        assert!(matches!(
            error(101 << 8, "panicked at"),
            CompileError::Crashed { .. }
        ));
    }
}
