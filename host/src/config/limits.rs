//! The one table of limits: every bound of callbox with its default, its range, the reason for the number, and what a
//! peer or a flow gets when it is hit.
//!
//! Knows nothing of the layers that obey it: each layer takes its group ([`SipLimits`], [`WireLimits`], [`CallLimits`],
//! [`PluginLimits`], [`TenantLimits`], [`AdminLimits`]) as plain numbers. Units stand last in the names (`_ms`, `_s`, `_bytes`); a name without a unit is a
//! count. Invariant: a number is in its range from the moment it is read, so no layer checks it again.
//!
//! Entry points: [`Limits`] and [`table`].

mod hits;
mod metric;

use std::fmt;

pub use hits::{hit, hits};
pub use metric::{HITS, TENANT_HITS};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The table of the configuration file: `limits`, `limits.sip`, …
    pub group: &'static str,
    /// The key in that table.
    pub name: &'static str,
    /// What holds when the file says nothing.
    pub default: u64,
    /// The least and the greatest number accepted.
    pub range: (u64, u64),
    /// What is counted.
    pub unit: &'static str,
    /// Why this number.
    pub why: &'static str,
    /// What the peer, the flow or the operator gets when it is hit.
    pub when_hit: &'static str,
}

impl Limit {
    /// The name of the row as it is written in configurations, logs and metrics: `limits.call.legs_max`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }
}

/// The group of what a tenant has in all.
const TENANT: &str = "limits.tenant";

/// A number that the table refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The group has no such key.
    Unknown,
    /// Below the range; the field holds the least number accepted.
    TooSmall(u64),
    /// Above the range; the field holds the greatest number accepted.
    TooLarge(u64),
}

macro_rules! limits {
    ($(
        $(#[$doc:meta])*
        [$group:literal] $field:ident: $Group:ident { $(
            $name:ident: $ty:ident = $default:expr, $min:literal..=$max:expr, $unit:literal,
                $why:literal, $hit:literal;
        )* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Group { $(
                #[doc = concat!("In ", $unit, ". ", $why, " When hit: ", $hit)]
                pub $name: $ty,
            )* }

            impl Default for $Group {
                fn default() -> Self {
                    Self { $( $name: $default, )* }
                }
            }

            impl $Group {
                /// The rows of this group, in the order of the table.
                pub const ROWS: &'static [Limit] = &[ $( Limit {
                    group: $group,
                    name: stringify!($name),
                    default: $default as u64,
                    range: ($min as u64, $max as u64),
                    unit: $unit,
                    why: $why,
                    when_hit: $hit,
                }, )* ];

                /// Sets one number by its key, if it is in range.
                pub fn set(&mut self, name: &str, value: u64) -> Result<(), Refusal> {
                    match name {
                        $( stringify!($name) => {
                            let (least, greatest) = ($min as u64, $max as u64);
                            if value < least {
                                return Err(Refusal::TooSmall(least));
                            }
                            // The range fits the type (a test says so), so the conversion fails only above it.
                            match $ty::try_from(value) {
                                Ok(number) if value <= greatest => self.$name = number,
                                _ => return Err(Refusal::TooLarge(greatest)),
                            }
                            Ok(())
                        } )*
                        _ => Err(Refusal::Unknown),
                    }
                }

                /// The number now set under this key.
                pub fn get(&self, name: &str) -> Option<u64> {
                    match name {
                        $( stringify!($name) => Some(self.$name as u64), )*
                        _ => None,
                    }
                }
            }
        )*

        /// Every limit of the host.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Limits { $(
            #[doc = concat!("`[", $group, "]`")]
            pub $field: $Group,
        )* }

        impl Limits {
            /// The number now set for a row of the [`table`].
            pub fn get(&self, row: &Limit) -> Option<u64> {
                match row.group {
                    $( $group => self.$field.get(row.name), )*
                    _ => None,
                }
            }

            /// Sets one number by its group and its key, if it is in range.
            pub fn set(&mut self, group: &str, name: &str, value: u64) -> Result<(), Refusal> {
                match group {
                    $( $group => self.$field.set(name, value), )*
                    _ => Err(Refusal::Unknown),
                }
            }
        }

        /// Every group with its rows, `limits` first.
        pub const GROUPS: &[(&str, &[Limit])] = &[ $( ($group, $Group::ROWS), )* ];

        /// How many rows there are.
        const ROWS: usize = 0 $( + $Group::ROWS.len() )*;

        /// Every row of every group.
        pub fn table() -> impl Iterator<Item = &'static Limit> {
            GROUPS.iter().flat_map(|(_, rows)| *rows)
        }
    };
}

limits! {
    /// `[limits]`: the size of the whole host.
    ["limits"] host: HostLimits {
        calls_max: usize = 5_000, 1..=100_000, "calls",
            "Sizes the pool of instances: about 6 memory maps and 45–80 KiB of memory a call, so 5 000 fits the kernel's default of 65 530 maps.",
            "the INVITE gets 503 with Retry-After; nothing is instantiated.";
        calls_reserved_percent: usize = 20, 0..=100, "percent",
            "Of calls_max, kept in equal parts for the tenants, so that no tenant, and no number of them together, takes the last call of another.",
            "a tenant that has its own part shares the rest with the others; when that is taken too, its INVITE gets 480 with Retry-After.";
        retry_after_s: u32 = 5, 1..=3_600, "seconds",
            "The Retry-After of every call that is refused for want of room: long enough to spread a wave of redials.",
            "not a bound but an answer.";
        tenants_max: usize = 1_000, 1..=100_000, "files",
            "Tenant files of one folder: each is read at the start and at every reload.",
            "the configuration is refused.";
        flows_max: usize = 1_000, 1..=100_000, "flows",
            "Each loaded flow holds its compiled code in memory (0.1–20 MB).",
            "the configuration is refused.";
        routes_max: usize = 10_000, 1..=1_000_000, "routes",
            "Routes are tried in order for every call.",
            "the configuration is refused.";
        delayed_jobs_max: usize = 1_000, 0..=100_000, "jobs",
            "That flows have asked for and whose time has not come: each holds a session without an instance.",
            "the flow gets denied(limit).";
        traps_max: usize = 32, 0..=1_000, "reports",
            "Traps that are remembered of each tenant, for `callbox traps`: 2 KB each, 8 at most.",
            "the oldest is forgotten; the log has it.";
        drain_grace_ms: u64 = 0, 0..=86_400_000, "milliseconds",
            "How long the calls of a stopping host may go on before they are hung up: a minute or two lets most of them end by themselves. 0 hangs up at once. A second signal ends the wait.",
            "every leg that is up is ended: BYE or CANCEL with a Reason, 503 to who still rings in.";
        drain_ms: u64 = 5_000, 0..=3_600_000, "milliseconds",
            "How long a stopping host waits for the BYEs of its calls to be answered; a peer that is gone must not hold it.",
            "the host exits with calls open and says how many.";
        log_queue_lines: usize = 16_384, 64..=1_048_576, "log lines",
            "A slow terminal or disk must never block a SIP thread; 16 384 lines are a second of a very busy host.",
            "the line is dropped and counted; the count is logged.";
    }

    /// `[limits.sip]`: messages, transactions and dialogs.
    ["limits.sip"] sip: SipLimits {
        message_max_bytes: usize = 65_536, 2_048..=65_536, "bytes",
            "The largest UDP datagram; no SIP message seen in the wild comes near it.",
            "413 or 513 where an answer is possible; a TCP connection is closed.";
        headers_max: usize = 200, 32..=1_000, "headers",
            "Real messages have 10–60; the index of a message grows with it.",
            "the request gets 400.";
        header_value_max_bytes: usize = 8_192, 256..=65_536, "bytes",
            "Identity tokens reach 4 KiB; twice that.",
            "the request gets 400.";
        t1_ms: u64 = 500, 10..=5_000, "milliseconds",
            "RFC 3261 T1, the round trip that retransmissions start from; 64 of them end a transaction.",
            "a retransmission.";
        t2_ms: u64 = 4_000, 10..=60_000, "milliseconds",
            "RFC 3261 T2, the longest pause between two retransmissions.",
            "a retransmission.";
        t4_ms: u64 = 5_000, 10..=60_000, "milliseconds",
            "RFC 3261 T4, how long a message may wander in the network.",
            "a finished transaction is forgotten.";
        legs_max: usize = 40_000, 16..=1_000_000, "legs",
            "Of one SIP thread, about 2 KB each: the default 5 000 calls on one thread, eight legs each.",
            "an INVITE gets 503 with Retry-After; a flow gets denied(limit).";
        transactions_max: usize = 200_000, 64..=10_000_000, "transactions",
            "Of one SIP thread. An ended call keeps two or three for 32 s: 2 000 calls a second on one thread.",
            "a request gets 503 with Retry-After; a flow gets denied(limit).";
        registrations_max: usize = 1_000, 1..=1_000_000, "registrations",
            "Of one SIP thread, of all flows together.",
            "the flow gets denied(limit).";
        subscriptions_max: usize = 1_000, 1..=1_000_000, "subscriptions",
            "Of one SIP thread, of all flows together.",
            "the flow gets denied(limit).";
        requests_per_leg_max: usize = 16, 1..=1_024, "requests",
            "Of ours, under way on one leg.",
            "the flow gets denied(limit).";
        refers_per_leg_max: usize = 4, 1..=64, "requests",
            "REFERs of one leg that are not over, each way.",
            "the peer gets 500 with Retry-After, the flow denied(limit).";
        forks_max: usize = 8, 1..=256, "dialogs",
            "Early dialogs of one outbound leg: a call that rings at more phones is rare.",
            "the oldest is forgotten; an answer from there gets ACK and BYE all the same.";
        route_headers_max: usize = 16, 1..=64, "headers",
            "Proxies between us and the peer.",
            "the INVITE gets 400; our own call is ended with BYE.";
        contacts_max: usize = 8, 1..=64, "contacts",
            "That one registration may bind beside our own.",
            "the flow gets denied(limit).";
        bindings_max: usize = 32, 1..=1_024, "bindings",
            "Of a registrar's answer that a flow is told.",
            "the others are left out.";
        accepts_max: usize = 16, 1..=64, "types",
            "MIME types that one subscription may accept.",
            "the flow gets denied(limit).";
        auth_tries_max: u8 = 2, 1..=8, "tries",
            "Repetitions of one request with credentials: one for the challenge, one for a stale nonce.",
            "the 401 or 407 is final.";
        offer_decision_ms: u64 = 30_000, 1_000..=150_000, "milliseconds",
            "How long a flow may think about a re-INVITE that it asked to decide.",
            "the peer gets 488 and the old session holds.";
        request_decision_ms: u64 = 10_000, 1_000..=25_000, "milliseconds",
            "The same for an UPDATE or a REFER, which must be answered well before 64 T1 (RFC 3261 section 17.1.2.2).",
            "the peer gets 504 to an UPDATE (RFC 3311 section 5.2), 603 to a REFER.";
        session_expires_s: u32 = 1_800, 0..=86_400, "seconds",
            "RFC 4028: the interval that we ask for on calls in which the peer has no wish; half an hour is what operators use. Below 90 counts as 90, 0 is not to ask.",
            "a call whose peer shows no sign of life for so long is ended with BYE, the leg with 408 by host.";
        timers_per_wake: usize = 1_024, 16..=65_536, "timers",
            "Handled in one turn of a SIP thread before its sockets get theirs.",
            "the rest is handled in the next turn.";
    }

    /// `[limits.wire]`: sockets, connections, queues and names.
    ["limits.wire"] wire: WireLimits {
        shards: usize = 0, 0..=256, "threads",
            "SIP threads; 0 means one for every two cores.",
            "not a bound but a size.";
        udp_batch: usize = 64, 1..=1_024, "datagrams",
            "Read in one turn before timers and other sockets get theirs.",
            "the rest is read in the next turn.";
        udp_socket_buffer_bytes: usize = 4_194_304, 65_536..=1_073_741_824, "bytes",
            "Holds a burst of about 5 000 INVITEs; the kernel may grant less (net.core.rmem_max).",
            "the kernel drops datagrams; peers retransmit.";
        udp_send_queue: usize = 1_024, 1..=65_536, "datagrams",
            "What waits when the kernel's send buffer is full; older would be retransmissions anyway.",
            "the datagram is dropped and counted; transactions retransmit.";
        handover_queue: usize = 4_096, 16..=1_048_576, "messages",
            "Between the shard that reads a socket and the shard that owns the Call-ID.",
            "a datagram is dropped and counted; a connection waits.";
        connections_max: usize = 8_192, 1..=1_000_000, "connections",
            "TCP connections of all shards, in and out; a silent one costs a descriptor and about 2 KiB.",
            "a new connection is closed at once, an outgoing one fails.";
        connections_per_source_max: usize = 2_048, 1..=1_000_000, "connections",
            "Of one remote address, so that one peer cannot take all of them; generous because a carrier or a NAT is one address.",
            "a new connection from it is closed at once.";
        tcp_write_queue_bytes: usize = 262_144, 65_536..=16_777_216, "bytes",
            "What waits for a peer that reads slowly; four of the largest messages.",
            "the connection is closed and its transactions fail.";
        tcp_idle_ms: u64 = 600_000, 1_000..=86_400_000, "milliseconds",
            "A connection without a byte for so long is given back; peers that want it open send CRLF keep-alives (RFC 5626, 120 s).",
            "the connection is closed; a later request connects again.";
        tcp_first_message_ms: u64 = 30_000, 100..=3_600_000, "milliseconds",
            "A connection that has never carried a message is a probe or an attack. TLS is agreed on within it.",
            "the connection is closed.";
        tcp_message_ms: u64 = 10_000, 100..=600_000, "milliseconds",
            "From the first byte of a message to its last: 64 KiB arrive in less on any line that carries calls.",
            "the connection is closed (slow loris).";
        tcp_connect_ms: u64 = 5_000, 100..=120_000, "milliseconds",
            "Less than timer B, so that the next address can still be tried. TLS gets the same once more.",
            "the next address is tried, then the transaction fails.";
        tls_handshakes: u32 = 200, 1..=100_000, "handshakes a second",
            "Of one listener; each takes 0.2 ms (P-256) to 0.7 ms (RSA 2048) of a SIP thread, which carries calls beside them.",
            "the connection is closed at once.";
        names_max: usize = 4_096, 1..=1_000_000, "names",
            "Host names whose addresses are remembered.",
            "the oldest is forgotten.";
        name_ttl_ms: u64 = 30_000, 0..=86_400_000, "milliseconds",
            "How long addresses are remembered: short, because the system's resolver does not tell the record's own time.",
            "the name is looked up again.";
        name_lookup_ms: u64 = 4_000, 100..=60_000, "milliseconds",
            "Less than timer B, so that a failure is reported as what it is.",
            "the transaction fails with a transport error.";
        name_lookups: usize = 64, 1..=4_096, "lookups",
            "Each may occupy a thread of the system's resolver.",
            "the message waits for one to end, within name_waiting.";
        name_waiting: usize = 1_024, 1..=1_000_000, "messages",
            "Messages of one shard that wait for a name.",
            "the transaction fails with a transport error.";
        ladder_bytes: usize = 1_048_576, 0..=1_073_741_824, "bytes",
            "The latest messages of one SIP thread in outline, for callbox ladder: about 200 bytes each, so 600 calls; 0 keeps none.",
            "the oldest is forgotten.";
    }

    /// `[limits.call]`: legs and what a flow may do with them.
    ["limits.call"] call: CallLimits {
        legs_max: usize = 16, 1..=1_000, "legs",
            "Of one session; a conference of a flow's own making, with room.",
            "a leg is made that answers denied(limit) to all it is asked to do.";
        registrations_max: usize = 8, 1..=1_000, "registrations",
            "Of one session, those that are being removed included: one is the rule.",
            "the flow gets denied(limit).";
        subscriptions_max: usize = 16, 1..=1_000, "subscriptions",
            "Of one session, those that are being ended included.",
            "the flow gets denied(limit).";
        notifications_max: usize = 32, 1..=1_024, "requests",
            "Unread NOTIFYs of one subscription.",
            "the oldest is forgotten; it has been answered 200.";
        mailbox_events: usize = 64, 4..=4_096, "events",
            "Unread events of one session.",
            "the oldest that may be lost is dropped; the flow gets overflow.";
        digits_max: usize = 256, 1..=65_536, "digits",
            "DTMF kept for one leg.",
            "the oldest digit is forgotten.";
        infos_max: usize = 16, 1..=1_024, "requests",
            "Unread INFO requests of one leg.",
            "the oldest is forgotten; it has been answered 200.";
        timers_max: usize = 64, 1..=4_096, "timers",
            "Running timers of one session.",
            "the timer is not set; the flow gets overflow.";
        headers_max: usize = 64, 1..=150, "headers",
            "That a flow may add to one message.",
            "the flow gets denied(limit).";
        header_max_bytes: usize = 4_096, 64..=8_192, "bytes",
            "One header that a flow sets, name and value.",
            "the flow gets invalid.";
        body_max_bytes: usize = 32_768, 256..=60_000, "bytes",
            "One body that a flow sends: an SDP has 200–4 000.",
            "the flow gets invalid.";
        commands_max: usize = 32, 8..=1_024, "commands",
            "That a flow has given to one leg and its shard has not taken yet; a shard takes them within microseconds.",
            "the flow gets denied(limit).";
        sends_burst: u32 = 100, 16..=100_000, "messages",
            "Requests and responses that a flow may cause at once: sixteen legs dialled together, with room.",
            "the flow gets denied(limit); what ends a leg is sent all the same.";
        sends_rate: u32 = 50, 1..=100_000, "messages a second",
            "The same in the long run; keys sent in haste are ten a second.",
            "the flow gets denied(limit).";
        requests_max: usize = 16, 1..=1_024, "requests",
            "INFO and its like under way on one leg, their answers awaited.",
            "the flow gets denied(limit).";
        record_fields_max: usize = 32, 1..=1_024, "fields",
            "That a flow may write into the record of its call.",
            "the flow gets denied(limit).";
        record_value_max_bytes: usize = 256, 16..=4_096, "bytes",
            "One value of such a field: an account, a queue, a verdict.",
            "the flow gets denied(limit).";
        service_waiting_calls: usize = 64, 0..=65_536, "calls",
            "That wait for one service until a session accepts: a burst, while sessions come back from the calls before.",
            "the INVITE gets 480.";
        service_wait_ms: u64 = 2_000, 0..=60_000, "milliseconds",
            "How long such a call waits: long enough for a session to come back, too short for a caller to notice the silence.",
            "the INVITE gets 480.";
        redirects_max: usize = 5, 1..=20, "responses",
            "3xx that one call follows; a chain of more is a mistake of somebody's.",
            "the last 3xx comes back as rejected.";
        redirect_contacts_max: usize = 10, 1..=100, "contacts",
            "Destinations that one call is redirected to, one after the other.",
            "further ones are not called.";
        wait_max_ms: u64 = 86_400_000, 1_000..=604_800_000, "milliseconds",
            "The longest single wait that a flow may ask for.",
            "the wait is cut to it.";
    }

    /// `[limits.plugin]`: what one flow, and one instance of it, may use.
    ["limits.plugin"] plugin: PluginLimits {
        component_max_bytes: usize = 33_554_432, 65_536..=1_073_741_824, "bytes",
            "A Python flow has 18 MB, everything else less.",
            "the flow is not loaded; check and serve say so.";
        compile_cpu_s: u64 = 30, 1..=3_600, "seconds",
            "Of CPU in the compiling child: a Python flow needs 12, and a 96 KB module can be made to need 63.",
            "the flow is not loaded.";
        compile_wall_ms: u64 = 60_000, 1_000..=3_600_000, "milliseconds",
            "The same by the clock, for a machine that is busy.",
            "the flow is not loaded.";
        compile_memory_bytes: u64 = 4_294_967_296, 268_435_456..=68_719_476_736, "bytes",
            "Address space of the compiling child, most of it reserved and never touched.",
            "the flow is not loaded.";
        compiles_max: usize = 2, 1..=64, "children",
            "Compilations at once: each takes a core.",
            "the next one waits.";
        cache_max_bytes: u64 = 2_147_483_648, 1_048_576..=1_099_511_627_776, "bytes",
            "Compiled code in cache_dir: a Rust flow has 0.1 to 0.5 MB of it, a Python flow 43.",
            "what was used longest ago is removed, but nothing that serves; needed again, it is compiled again.";
        cache_entries_max: usize = 2_000, 1..=1_000_000, "entries",
            "The same in numbers: each entry is looked at when one is added.",
            "what was used longest ago is removed, but nothing that serves; needed again, it is compiled again.";
        memory_max_bytes: usize = 67_108_864, 65_536..=4_294_967_296, "bytes",
            "All linear memories of one call together; a Python flow uses 20 MB.",
            "memory.grow fails; most guests then trap: the call ends as the flow's trap policy says.";
        table_elements: usize = 100_000, 100..=10_000_000, "elements",
            "All tables of one call together; a large Go flow uses 20 000.",
            "table.grow fails.";
        fuel_burst: u64 = 1_000_000_000, 1_000_000..=1_000_000_000_000, "fuel",
            "Between two host calls; about 0.25 s of CPU.",
            "the flow traps: out of fuel (burst).";
        fuel_total: u64 = 20_000_000_000, 1_000_000..=1_000_000_000_000_000, "fuel",
            "Of one call; about 5 s of CPU.",
            "the flow traps: out of fuel (total).";
        fuel_slice: u64 = 200_000, 10_000..=100_000_000, "fuel",
            "A spinning flow gives its thread to others after so much: about 50 µs.",
            "the flow is suspended and goes on in its next turn.";
        hostcall_fuel: usize = 1_048_576, 4_096..=1_073_741_824, "units",
            "Bounds what one host call may copy out of a guest; wasmtime's default is 128 MiB.",
            "the flow traps: host call too large.";
        handles_max: usize = 1_000, 16..=100_000, "handles",
            "Component handles of one call.",
            "the flow traps: too many handles.";
        resources_max: usize = 256, 16..=100_000, "resources",
            "Host resources (legs, options) held by one call.",
            "the flow traps: too many resources.";
        stack_max_bytes: usize = 524_288, 65_536..=8_388_608, "bytes",
            "WebAssembly stack of one call.",
            "the flow traps: stack overflow.";
        call_max_s: u64 = 14_400, 1..=604_800, "seconds",
            "The life of one instance, waits included.",
            "every leg is hung up and the instance dropped.";
        job_max_s: u64 = 604_800, 1..=31_536_000, "seconds",
            "The life of one run of a job, waits included: a week, for jobs that keep a registration; those that the host restarts begin anew.",
            "every leg is hung up and the instance dropped.";
        log_line_max_bytes: usize = 4_096, 64..=65_536, "bytes",
            "One line of a flow's log.",
            "the line is cut and marked.";
        log_max_bytes: usize = 262_144, 1_024..=1_073_741_824, "bytes",
            "All log lines of one call.",
            "further lines are dropped; their number is logged once.";
    }

    /// `[limits.tenant]`: what all flows of one tenant have together. `[tenant.limits]` sets them for one tenant.
    ["limits.tenant"] tenant: TenantLimits {
        calls_max: usize = 100_000, 1..=100_000, "calls",
            "Calls and jobs at a time, and calls that its sessions have accepted. As many as there may be: what the others need is kept by limits.calls_reserved_percent; set it to what the tenant has paid for.",
            "the INVITE gets 480 with Retry-After, never a 503, which would send everybody's calls elsewhere; a flow that starts a job gets denied(limit).";
        calls_rate: u32 = 2_500, 1..=1_000_000, "calls a second",
            "New calls in the long run, those for a service too: as many as sends_rate has messages for.",
            "the INVITE gets 480 with Retry-After; nothing is instantiated.";
        calls_burst: u32 = 5_000, 1..=1_000_000, "calls",
            "The same at once: everybody redials after an outage.",
            "as calls_rate.";
        cpu_rate: u32 = 256_000, 1..=256_000, "milliseconds a second",
            "CPU of all its flows in the long run, 1000 for one core. More than any machine has, because turns are shared fairly anyway: set it to what the tenant has paid for.",
            "an INVITE gets 480 with Retry-After, a job is not started, and what runs goes on at this rate: a flow in the middle of a call is slowed, not ended.";
        cpu_burst_ms: u32 = 60_000, 10..=3_600_000, "milliseconds",
            "CPU that a tenant may have saved up: a minute of one core, for the busy hour and for jobs that work in spurts.",
            "as cpu_rate.";
        memory_max_bytes: usize = 4_294_967_296, 1_048_576..=1_099_511_627_776, "bytes",
            "All linear memories of all calls together, as large as they have grown, and payloads that its sessions have not read: 5 000 calls of a small flow use 0.7 GB, 200 of a Python flow 4.",
            "memory.grow fails, or the instance is not made: the call ends as the flow's trap policy says; session.send gets denied(limit).";
        legs_max: usize = 32_000, 16..=1_000_000, "legs",
            "Legs at a time: a fifth of one SIP thread's is left to others.",
            "a leg is made that answers denied(limit) to all it is asked to do. A call that comes in has its leg all the same.";
        dials_rate: u32 = 2_500, 1..=1_000_000, "calls a second",
            "Calls that its flows place, in the long run: as many as may come in.",
            "the flow gets denied(limit); nothing is sent.";
        dials_burst: u32 = 5_000, 1..=1_000_000, "calls",
            "The same at once.",
            "as dials_rate.";
        sends_rate: u32 = 10_000, 10..=10_000_000, "messages a second",
            "Requests and responses that its flows cause, and so many at once: 2 500 calls a second that ring, are answered, and have room.",
            "the flow gets denied(limit); what ends a leg is sent all the same.";
        registrations_max: usize = 800, 1..=1_000_000, "registrations",
            "At a time, those that are being removed included: a fifth of one SIP thread's is left to others.",
            "the flow gets denied(limit).";
        subscriptions_max: usize = 800, 1..=1_000_000, "subscriptions",
            "At a time, those that are being ended included: a fifth of one SIP thread's is left to others.",
            "the flow gets denied(limit).";
        timers_max: usize = 100_000, 16..=10_000_000, "timers",
            "Running timers of all its sessions: twenty for each of 5 000 calls.",
            "the timer is not set; the flow gets overflow.";
        events_max: usize = 40_000, 16..=10_000_000, "events",
            "Unread events of all its sessions, what peers have sent and each other's payloads: eight for each of 5 000 calls, where a flow that reads has one. Each holds its message, 1 KB as a rule.",
            "as mailbox_events: the session's oldest that may be lost is dropped, or the new one where it has none, and the flow gets overflow; session.send gets denied(limit). What decides a call, such as an answer or a hang-up, is never lost.";
        posts_rate: u32 = 10_000, 1..=10_000_000, "payloads a second",
            "What its sessions send each other, and so much at once: four for each call of calls_rate.",
            "the flow gets denied(limit).";
        spawned_max: usize = 1_000, 0..=100_000, "jobs",
            "Jobs that its flows have started and that run: a flow that starts itself twice must leave room for the tenant's own callers.",
            "the flow gets denied(limit); a delayed job is not started.";
        spawns_rate: u32 = 100, 1..=100_000, "jobs a second",
            "Jobs that its flows start, in the long run, those that begin later too: one for each of a hundred calls a second.",
            "the flow gets denied(limit).";
        spawns_burst: u32 = 1_000, 1..=100_000, "jobs",
            "The same at once: a list that is dialled through.",
            "as spawns_rate.";
        delayed_jobs_max: usize = 800, 0..=100_000, "jobs",
            "Jobs that its flows have asked for and whose time has not come: a fifth of the host's is left to others.",
            "the flow gets denied(limit).";
        log_rate: u32 = 4_194_304, 1_024..=1_073_741_824, "bytes a second",
            "Log lines of all its flows in the long run, 64 bytes added to each: a thousand calls a second with 4 KiB each.",
            "further lines are dropped; their number is logged at the end of the call.";
        log_burst_bytes: u32 = 16_777_216, 65_536..=1_073_741_824, "bytes",
            "The same at once: as much as 64 calls may write.",
            "as log_rate.";
    }

    /// `[limits.record]`: the way of call records to their store.
    ["limits.record"] record: RecordLimits {
        queue: usize = 16_384, 16..=1_048_576, "records",
            "That wait to be written: half a minute of a host at 500 calls a second whose disk does not answer; 1–2 KB each.",
            "the record is lost and counted; with when_full = \"refuse-calls\" new calls get 503 instead, and those that are up keep their places.";
        batch: usize = 512, 1..=10_000, "records",
            "Of one transaction.",
            "the next transaction takes the rest.";
        batch_ms: u64 = 50, 0..=10_000, "milliseconds",
            "How long a record waits for others to share its transaction: what a host that is killed may lose.",
            "the batch is written.";
        refused_rate: u32 = 20, 1..=10_000, "a second",
            "Of calls that were refused before a flow ran, with refused = true: a host that refuses thousands writes no more than this.",
            "it leaves no record; the caller gets what it would get anyway.";
        flush_ms: u64 = 5_000, 0..=600_000, "milliseconds",
            "How long a stopping host waits for the store to take what waits.",
            "the host exits and logs how many records it left.";
        jsonl_max_bytes: u64 = 104_857_600, 65_536..=1_099_511_627_776, "bytes",
            "One file of JSON lines.",
            "the file is renamed to NAME.TIME and a new one begun.";
    }

    /// `[limits.admin]`: the admin API.
    ["limits.admin"] admin: AdminLimits {
        connections_max: usize = 64, 4..=4_096, "connections",
            "Operators, scripts and a scraper: each holds one for a moment.",
            "the next one waits until one is closed.";
        body_max_bytes: usize = 65_536, 1_024..=1_048_576, "bytes",
            "The body of a request: an event, the arguments of a job. A flow that is deployed has a bound of its own.",
            "413.";
        request_ms: u64 = 10_000, 100..=600_000, "milliseconds",
            "From the head of a request to that of its answer, and for the head itself; what takes longer by nature has a bound of its own.",
            "503, or the connection is closed.";
        write_ms: u64 = 10_000, 100..=600_000, "milliseconds",
            "A client that takes nothing of an answer, or of a log that it follows, because it does not read.",
            "the connection is closed.";
        streams_max: usize = 16, 1..=1_024, "streams",
            "Logs that are followed at a time; each holds a connection.",
            "429.";
        stream_lines: usize = 1_024, 16..=65_536, "log lines",
            "That wait for one who follows the log: a tenth of a second of a very busy host.",
            "the oldest are lost to it, and it is told how many.";
    }

    /// `[limits.trace]`: what waits for the collector of `[otel]`, and how long for.
    ["limits.trace"] trace: TraceLimits {
        queue: usize = 4_096, 16..=1_048_576, "traces",
            "That wait to be sent: ten seconds of a host that ends 400 sampled calls a second, about 2 KiB each.",
            "the trace is lost and counted; the call is not touched.";
        batch: usize = 128, 1..=10_000, "traces",
            "In one request.",
            "the next request takes the rest.";
        batch_ms: u64 = 1_000, 0..=60_000, "milliseconds",
            "How long a trace waits for others to share its request.",
            "the request is sent.";
        request_ms: u64 = 10_000, 100..=600_000, "milliseconds",
            "For one request, from the look-up of the collector's name to the end of its answer.",
            "it is tried again, tries times in all.";
        tries: u32 = 5, 1..=100, "requests",
            "Of one batch, with pauses that double from 1 s: half a minute in which a collector may start again.",
            "its traces are lost and counted.";
        retry_after_max_s: u64 = 60, 0..=3_600, "seconds",
            "The longest that a collector can have us wait; other batches wait behind.",
            "it is asked again sooner than it said.";
        answer_max_bytes: usize = 65_536, 1_024..=16_777_216, "bytes",
            "Of a collector's answer, which is a word, or an error in words.",
            "the rest is not read.";
        flush_ms: u64 = 2_000, 0..=600_000, "milliseconds",
            "How long a stopping host waits for the collector to take what waits.",
            "the host exits without it.";
    }

    /// `[limits.versions]`: the versions of each flow.
    ["limits.versions"] versions: VersionLimits {
        kept_max: usize = 10, 2..=1_000, "versions",
            "Of one flow, on disk, to go back to; only those that calls may get are in memory.",
            "the oldest that no call can get is forgotten.";
        pins_max: usize = 64, 0..=1_000, "pins",
            "Of one flow, tried in order for each of its calls.",
            "the deploy is refused.";
        smoke_ms: u64 = 1_000, 0..=60_000, "milliseconds",
            "The longest that a new version is tried on a virtual call before it gets real ones; one that waits is through at once. 0 tries none.",
            "it has not trapped, and is taken.";
        settle_ms: u64 = 200, 10..=60_000, "milliseconds",
            "A flow's file is taken when it has not changed for so long: it may be half written.",
            "not a bound but a wait.";
        breaker_calls: u32 = 20, 1..=100_000, "calls",
            "The first calls of a version, in which it has to prove itself.",
            "it is proven: it is not rolled back by itself any more.";
        breaker_traps: u32 = 10, 0..=100_000, "traps",
            "Of the first breaker_calls calls, or in a row later on. 0 never breaks a version.",
            "the version before it takes its calls; without one they get trap_code at once, and no instance.";
        breaker_open_s: u64 = 30, 1..=3_600, "seconds",
            "How long calls get trap_code at once before one of them is let through to see.",
            "one call gets an instance; if it ends well, all do again.";
    }
}

/// Keys of earlier versions, as the group, the key, and the row that took its place.
pub const MOVED: &[(&str, &str, &str)] = &[
    ("limits.call", "tenant_sends_rate", "limits.tenant.sends_rate"),
    (
        "limits.plugin",
        "tenant_memory_max_bytes",
        "limits.tenant.memory_max_bytes",
    ),
];

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{} = {} ({}; {} to {})",
            self.group, self.name, self.default, self.unit, self.range.0, self.range.1
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn defaults_are_in_their_ranges_and_every_row_is_reachable() {
        let limits = Limits::default();
        let mut rows = 0;
        for row in table() {
            rows += 1;
            assert!(row.default >= row.range.0 && row.default <= row.range.1, "{row}");
            assert_eq!(limits.get(row), Some(row.default), "{row}");
            assert!(!row.why.is_empty() && !row.when_hit.is_empty(), "{row}");
        }
        assert!(rows > 40);
    }

    #[test]
    fn both_ends_of_a_range_are_accepted_and_nothing_beyond() {
        let mut limits = Limits::default();
        for row in PluginLimits::ROWS {
            limits.plugin.set(row.name, row.range.0).unwrap();
            limits.plugin.set(row.name, row.range.1).unwrap();
            assert_eq!(limits.plugin.get(row.name), Some(row.range.1));
            assert_eq!(
                limits.plugin.set(row.name, row.range.1 + 1),
                Err(Refusal::TooLarge(row.range.1))
            );
            assert_eq!(
                limits.plugin.set(row.name, row.range.0 - 1),
                Err(Refusal::TooSmall(row.range.0))
            );
        }
        assert_eq!(limits.plugin.set("fuel", 1), Err(Refusal::Unknown));
    }

    #[test]
    fn units_stand_last_in_the_names() {
        for row in table() {
            for (unit, suffix) in [("milliseconds", "_ms"), ("seconds", "_s"), ("bytes", "_bytes")] {
                assert_eq!(row.unit == unit, row.name.ends_with(suffix), "{row}");
            }
        }
    }
}
