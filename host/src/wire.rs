//! Sockets and clocks: what carries bytes and time between the network and `callbox-sip`.
//!
//! Deliberately knows nothing of calls, flows or tenants.

mod shard;

pub use shard::{ShardCore, ShardIndex, ShardWaker};
