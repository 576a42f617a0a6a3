//! What the wire has counted since its start. All only rise, but `connections`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($( $(#[$doc:meta])* $name:ident; )*) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters { $( pub(super) $name: AtomicU64, )* }

        /// A reading of the counters.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct WireStats { $( $(#[$doc])* pub $name: u64, )* }

        impl Counters {
            pub(super) fn read(&self) -> WireStats {
                WireStats { $( $name: self.$name.load(Ordering::Relaxed), )* }
            }
        }
    };
}

stats! {
    /// Datagrams read.
    datagrams_in;
    /// Datagrams given to the kernel.
    datagrams_out;
    /// Datagrams that the kernel would not take, with the queue full or for lack of memory.
    datagrams_unsent;
    /// Datagrams for another shard whose queue was full.
    handover_dropped;
    /// Messages read from connections.
    stream_messages_in;
    /// Connections accepted.
    accepted;
    /// Connections closed at once because of a limit.
    refused;
    /// Connections opened.
    connected;
    /// Connections that could not be opened.
    connect_failed;
    /// Connections closed because a message, or the first one, took too long.
    slow_closed;
    /// Connections closed because the peer did not read.
    write_queue_closed;
    /// Connections closed because what came was not SIP.
    framing_closed;
    /// Connections closed because nothing came.
    idle_closed;
    /// Peers that TLS was agreed on with.
    tls_agreed;
    /// Connections closed because TLS could not be agreed on, or was broken.
    tls_failed;
    /// Destinations reported unreachable by ICMP.
    unreachable;
    /// Names looked up.
    lookups;
    /// Names without an address, or without an answer in time.
    lookups_failed;
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
