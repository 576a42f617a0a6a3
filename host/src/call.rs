//! What a flow can do to a call, as an asynchronous Rust API.
//!
//! It deliberately knows neither wasm nor sockets, and SIP only as values of `callbox-sip`. A [`Session`] is one run of
//! a flow and holds its [`Leg`]s; an [`Exchange`] sits on each SIP shard and moves commands one way and events the
//! other; [`IncomingCalls`] decides what answers a call. `wit/leg-semantics.md` is the specification of every method.
//!
//! Invariants: no string of a flow reaches the wire unparsed (`text`); every queue of a session is bounded
//! (`config::limits`); every wait on a leg ends with the leg; dropping a leg, a registration or a
//! subscription ends it on the wire.

mod accept;
mod allowance;
mod answers;
mod apply;
mod bridge;
mod command;
mod digits;
mod dtmf;
mod ending;
mod error;
mod events;
mod exchange;
mod facts;
mod gauge;
mod grants;
mod hang_up;
mod host_end;
mod inbound;
mod incoming;
mod incoming_offer;
mod info;
mod leg;
mod lua_pattern;
mod media_addresses;
mod meter;
mod needs;
mod options;
mod outbound;
pub(crate) mod overruns;
mod policy;
mod record_fields;
mod redirect;
mod referral;
mod registration;
mod reoffer;
mod replacement;
mod roster;
#[cfg(test)]
mod serialised;
mod service;
mod session;
mod session_description;
mod session_id;
mod share;
mod siblings;
mod stop;
mod subscription;
mod summary;
mod takeover;
mod target;
mod tenant_bounds;
mod text;
mod timers;
mod transfer;
mod usage;
mod view;
mod virtual_line;
mod wait;

pub use allowance::Allowance;
pub use answers::Answers;
pub use digits::{GATHER_DIGITS_MAX, GatherOutcome, Gathered};
pub use dtmf::{Dtmf, DtmfSource};
pub use error::{CallError, Denial, HangupInfo, Party, Status};
pub use events::{Event, EventKind};
pub use exchange::{Exchange, ShardQueue};
pub use facts::{called, dialled};
pub use gauge::Gauge;
pub use grants::{Grants, Withheld};
pub use host_end::HostEnd;
pub use incoming::{IncomingCall, IncomingCalls, Refusal};
pub use incoming_offer::IncomingOffer;
pub use info::{InfoRequest, InfoResponse};
pub use leg::{AnswerInfo, CallState, Direction, Leg};
pub use lua_pattern::{LuaPattern, PatternError, StepsExhausted};
pub use needs::Needs;
pub use options::{
    BridgeOptions, Credentials, DigitPattern, GatherOptions, Login, MakeCallOptions, ReofferOptions,
    TransferOptions,
};
pub use policy::{DialGrant, DialPolicy, DialRequest};
pub use referral::Referral;
pub use registration::{Binding, RegisterOptions, Registration};
pub use replacement::Neighbours;
pub use service::{Services, WaitingRoom};
pub use session::{Session, SessionContext, Turns};
pub use siblings::{SessionAddress, Siblings};
pub use stop::Stopping;
pub use subscription::{Notification, SubscribeOptions, Subscription, SubscriptionState};
pub use summary::{LegSummary, LegsSummary};
pub use takeover::Estate;
pub use target::DialTarget;
pub use tenant_bounds::{Place, Reading, TenantBounds};
pub use text::{Body, Header, ReceivedHeader, is_claim};
pub use transfer::TransferResult;
pub use usage::{Counting, Usage};
pub use view::SessionView;
pub use virtual_line::VirtualLine;
