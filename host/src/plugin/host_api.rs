//! The contract of `wit/`, translated to and from [`crate::call`]: one file an interface.
//!
//! Nothing is decided here. Each function pays for the call ([`CallState::enter`]), takes its arguments apart, calls
//! the method of the same name, and puts the result together; a wait goes through `state::waited`, which fills the
//! guest's burst again. A failure of the call is a value for the guest; a failure of the guest (a bad handle, too many
//! objects) is a trap. Entry point: [`linker`].

// The glue that `bindgen!` makes re-exports the types behind the resources, so those must be `pub`.
#![allow(unreachable_pub)]

pub(super) mod bindings;
mod events;
mod options;
mod registration;
mod session;
mod sipcall;
mod subscription;
mod types;

pub(super) use types::body;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::state::CallState;
use bindings::call_flow::callbox::flow;

/// Everything that a flow may import, linked once for all of them.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    // WASI with nothing in it: JavaScript, Python and wasip2 guests import it whether they use it or not.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    flow::types::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    flow::sipcall::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    flow::registration::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    flow::subscription::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    flow::events::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    flow::session::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    Ok(linker)
}
