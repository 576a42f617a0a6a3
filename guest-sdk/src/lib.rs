//! Write callbox flows in Rust.
//!
//! A *flow* is a WebAssembly component. callbox makes one instance of it for each incoming call and runs its entry
//! function; when that returns, every leg still up is hung up and the instance is gone. So a flow is straight-line
//! code about one call: no event loop, no locks, no state to clean up. A *job* ([`job!`]) runs without a call.
//!
//! ```no_run
//! use callbox_sdk::{Call, Error, Gather, info, sdp};
//! use std::time::Duration;
//!
//! callbox_sdk::flow!(menu);
//!
//! /// Answers, asks for one digit, and says goodbye.
//! fn menu(call: Call) -> Result<(), Error> {
//!     let Some(session) = sdp::answer_to(&call) else {
//!         return call.reject(488);
//!     };
//!     call.ring()?;
//!     call.answer(session)?;
//!
//!     let choice = call.gather(Gather::length(1).first_digit(Duration::from_secs(10)))?;
//!     info!("{} chose {:?}", call.ani(), choice.digits);
//!     call.hang_up()
//! }
//! ```
//!
//! # Building
//!
//! A flow is a `cdylib` crate that depends on this one:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! callbox-sdk = { path = "../guest-sdk" }
//!
//! [profile.release]        # a flow is copied into every call: small is fast
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//! ```
//!
//! `cargo build --release --target wasm32-unknown-unknown` makes a module that callbox takes as it is. Link it with
//! a small stack, as `examples/.cargo/config.toml` does: the default of 1 MiB counts against the call's memory.
//!
//! # What is where
//!
//! * [`Call`] is one leg: the verbs. [`MakeCall`], [`Answer`], [`Gather`] and the like are their parameters, with
//!   [`Duration`](std::time::Duration) for every time.
//! * [`Error`] is why a verb failed. A flow may return it with `?`; a peer that hung up is not a failure of the flow.
//! * [`events`] waits for the first of many things on many legs; [`session`] is about the instance itself.
//! * [`sdp`] answers offers for flows without media. [`seed`] has `sipcall` under its old names.
//! * [`wit`] is the contract as generated from `wit/`; everything above is a thin layer over it.
//!
//! A method called in the wrong state fails and changes nothing: `wit/leg-semantics.md` has the table.

#![deny(unsafe_code, missing_docs)]

mod args;
mod call;
mod digits;
mod error;
pub mod events;
#[cfg(any(test, all(target_arch = "wasm32", feature = "heap")))]
#[allow(unsafe_code)]
mod heap;
mod incoming_offer;
mod logging;
mod options;
mod referral;
mod registration;
#[doc(hidden)]
pub mod runtime;
pub mod sdp;
pub mod seed;
pub mod session;
mod subscription;
mod words;

/// The contract, generated from the files in `wit/`.
#[allow(missing_docs, unsafe_code, clippy::all)]
pub mod wit {
    wit_bindgen::generate!({
        path: "../wit",
        world: "call-flow",
        pub_export_macro: true,
        default_bindings_module: "callbox_sdk::wit",
        additional_derives: [PartialEq],
        additional_derives_ignore: ["event", "event-kind"],
    });
}

/// The world `job-flow`, which has the same imports.
#[allow(missing_docs, unsafe_code, clippy::all)]
#[doc(hidden)]
pub mod wit_job {
    wit_bindgen::generate!({
        path: "../wit",
        world: "job-flow",
        pub_export_macro: true,
        default_bindings_module: "callbox_sdk::wit_job",
        with: {
            "callbox:flow/types@0.1.0": crate::wit::callbox::flow::types,
            "callbox:flow/sipcall@0.1.0": crate::wit::callbox::flow::sipcall,
            "callbox:flow/registration@0.1.0": crate::wit::callbox::flow::registration,
            "callbox:flow/subscription@0.1.0": crate::wit::callbox::flow::subscription,
            "callbox:flow/events@0.1.0": crate::wit::callbox::flow::events,
            "callbox:flow/session@0.1.0": crate::wit::callbox::flow::session,
        },
    });
}

pub use args::Args;
pub use call::{Call, bridge, unbridge};
pub use digits::{Dtmf, Gather, Gathered, Pattern};
pub use error::{Error, Result};
pub use incoming_offer::IncomingOffer;
pub use options::{Answer, BridgeOptions, MakeCall, Rejection, Reoffer, Transfer};
pub use referral::Referral;
pub use registration::{Register, Registration};
pub use subscription::{Subscribe, Subscription};

pub use wit::callbox::flow::registration::Binding;
pub use wit::callbox::flow::session::Level;
pub use wit::callbox::flow::sipcall::{
    AnswerInfo, CallState, Direction, DtmfSource, GatherOutcome, InfoRequest, InfoResponse, TransferResult,
};
pub use wit::callbox::flow::subscription::{Notification, SubscriptionState};
pub use wit::callbox::flow::types::{Body, Denial, HangupInfo, Header, Party, Status};

/// Makes a function the entry of the flow.
///
/// The function takes the incoming [`Call`] and returns `()`, `Result<(), Error>`, `Result<(), String>` or
/// `Result<(), Box<dyn std::error::Error>>`. The text of an error goes to the log and into the call record.
///
/// ```no_run
/// callbox_sdk::flow!(busy);
///
/// fn busy(call: callbox_sdk::Call) -> callbox_sdk::Result {
///     call.reject(486)
/// }
/// ```
#[macro_export]
macro_rules! flow {
    ($entry:path) => {
        const _: () = {
            struct Flow;
            impl $crate::wit::exports::callbox::flow::handler::Guest for Flow {
                fn on_call(
                    incoming: $crate::wit::callbox::flow::sipcall::Call,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    $crate::runtime::on_call(incoming, $entry)
                }
            }
    $crate::wit::export!(Flow with_types_in $crate::wit);
        };
    };
}

/// Makes a function the entry of a job: a flow that runs without an incoming call, because the host starts it at boot or
/// by the clock, or because `callbox call` or another flow asks for it.
///
/// The function takes the arguments as a [`Body`] (`application/json` when the host's configuration or `--arg` made
/// them) and returns `()` or what it reports (a [`Body`], or a [`String`] as `text/plain`), bare or in a `Result` with
/// [`Error`], [`String`] or `Box<dyn std::error::Error>`. The text of an error goes to the log.
///
/// ```no_run
/// use callbox_sdk::{Body, Call, Result, session};
/// use std::time::Duration;
///
/// callbox_sdk::job!(desk);
///
/// fn desk(_args: Body) -> Result {
///     loop {
///         let call = Call::new();
///         match call.accept("desk", Duration::from_secs(600)) {
///             Ok(()) => call.reject(486)?,
///             Err(error) if error.is_timeout() => return Ok(()),
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
#[macro_export]
macro_rules! job {
    ($entry:path) => {
        const _: () = {
            struct Job;
            impl $crate::wit_job::exports::callbox::flow::job::Guest for Job {
                fn run(args: $crate::Body) -> ::core::result::Result<$crate::Body, ::std::string::String> {
                    $crate::runtime::run_job(args, $entry)
                }
            }
    $crate::wit_job::export!(Job with_types_in $crate::wit_job);
        };
    };
}
