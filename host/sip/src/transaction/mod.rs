//! The four transaction machines of RFC 3261 §17 as amended by RFC 6026.
//!
//! Each machine is a pure function of its state: an input (a message by its class, a timer, a transport error) gives
//! actions and perhaps a new state. The machines know neither messages nor clocks nor who owns them; the endpoint carries
//! out their actions. Entry types: [`ClientInvite`], [`Client`], [`ServerInvite`], [`Server`].
//!
//! Invariants: a machine runs at most four timers; after [`Action::Terminated`] nothing more is done; a server machine
//! never asks to send in answer to an ACK.

mod action;
mod client;
mod client_invite;
pub(crate) mod key;
mod population;
mod server;
mod server_invite;
mod timing;

pub use action::{Action, Actions, Failure};
pub use client::{Client, ClientInput, ClientState};
pub use client_invite::{ClientInvite, ClientInviteInput, ClientInviteState};
pub use population::{Population, STATES};
pub use server::{Server, ServerInput, ServerState};
pub use server_invite::{ServerInvite, ServerInviteInput, ServerInviteState};
pub use timing::{Timer, Timing};

/// The class of a response, which is all that a machine needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseClass {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 300..=699
    Failure,
}

impl ResponseClass {
    /// The class of a status code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            _ => Self::Failure,
        }
    }
}
