//! The one place where bytes become executable code.
//!
//! Wasmtime trusts the compiled code it is given: code made by anyone else would run with the host's rights. The code
//! that comes here was made by our own compiling child, which wrote it into a directory that only this user can enter
//! (`cache` checks owner and mode of directory and file, and that the file's digest is the one recorded when it was
//! written). The bytes are handed over as they were read and verified: the file cannot change between check and use.
//! Whoever could forge all of that already runs as this user. A tenant's upload never comes here: it is parsed as
//! WebAssembly, and `source` refuses anything that looks compiled.

#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Verified;

/// Maps compiled code. Errors when it was made for another engine, processor or setting.
pub(super) fn map(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `Verified` is made only by `cache::Cache::read`, which upholds what is said above.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
