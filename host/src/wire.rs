//! Sockets, clocks and names: what carries bytes and time between the network and `callbox-sip`.
//!
//! One OS thread a shard, each with an endpoint of its own; a call lives on the shard that its Call-ID hashes to, so
//! no lock is shared between calls. A UDP socket is read by one shard, which hands messages of other shards over
//! through a bounded queue; every shard sends through every socket. A TCP connection, under TLS or not, is a task on the shard of its
//! listener.
//!
//! Deliberately knows nothing of calls, flows or tenants: what runs beside the endpoint is a [`ShardCore`]. Deliberately
//! does not parse SIP beyond framing and the Call-ID.
//!
//! Invariants: after each input the endpoint's outputs are drained before the next one; no task and no allocation for a
//! datagram beside its own bytes; every queue, table and wait has its row in [`crate::config::limits::WireLimits`].
//!
//! Entry points: [`start`], and [`Sockets::bind`] with [`start_on`] where sockets are wanted earlier than calls.

mod accept;
mod bind;
mod connection;
mod drive;
mod hep;
mod inbox;
mod ladder;
mod message_log;
mod names;
mod outlet;
mod pulse;
mod shard;
mod shared;
mod start;
mod stats;
mod stream;
mod table;
mod tally;
mod tls;
mod udp;
mod view;

pub use bind::{Bound, Sockets, protocol_of};
pub use ladder::Rung;
pub use pulse::Pulse;
pub use shard::{ShardCore, ShardIndex, ShardWaker};
pub use start::{Wire, WireConfig, WireError, start, start_on};
pub use stats::WireStats;
pub use view::WireView;

#[cfg(test)]
mod tests;
