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
use super::engine;

/// Compiled code was not mapped; both have the engine's words.
pub(super) enum NotMapped {
    /// It was made for another engine, processor or setting: compiled again it may run.
    Foreign(wasmtime::Error),
    /// It could run here, but an instance of it has no room in the pool: compiled again it would not either.
    Unfit(wasmtime::Error),
}

/// Maps compiled code.
///
/// The cache's key has all that wasmtime hashes of an engine, the processor's features too. What it asks when it reads code
/// back is another question, put to the machine of this moment, so code with the right key can be refused all the same.
pub(super) fn map(engine: &Engine, code: &Verified) -> Result<Component, NotMapped> {
    let error = match deserialize(engine, code) {
        Ok(component) => return Ok(component),
        Err(error) => error,
    };
    // What the same code generation takes where there is no pool was refused for the pool.
    let plain = Engine::new(&engine::codegen());
    Err(match plain.and_then(|plain| deserialize(&plain, code)) {
        Ok(_) => NotMapped::Unfit(error),
        Err(_) => NotMapped::Foreign(error),
    })
}

fn deserialize(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `Verified` is made only by `cache::Cache`, which upholds what is said above.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
