//! Looks for the operator's secret: registers, subscribes and calls with a login that it only knows the name of, reads
//! whatever the host lets it read, and then searches all of its own memory.
//!
//! `needle` is what to look for, backwards, so that the search does not find its own question; `there` is a text that is
//! in memory for certain, backwards too, which shows that the search finds what there is.

use std::time::Duration;

use callbox_sdk::{Call, MakeCall, Register, Subscribe, info, sdp, session};

callbox_sdk::flow!(secrets);

const SHORT: Duration = Duration::from_secs(3);
/// What a host might call it.
const KEYS: [&str; 8] = [
    "password",
    "secret",
    "carrier",
    "credential",
    "credential.carrier.password",
    "tenant.credential.carrier.password",
    "password_file",
    "CARRIER_PASSWORD",
];
const HEADERS: [&str; 8] = [
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Authentication-Info",
    "X-Reflected",
    "From",
    "Contact",
];

fn secrets(call: Call) {
    let to = session::config("to").unwrap_or_default();
    let mut read: Vec<String> = KEYS.iter().filter_map(|key| session::config(key)).collect();
    let registration = Register::at(&to).trunk("main").timeout(SHORT).start();
    info!("registered: {registration:?}");
    let subscription = Subscribe::to(&to, "presence")
        .trunk("main")
        .timeout(SHORT)
        .start();
    info!("subscribed: {subscription:?}");
    let leg = Call::new();
    let outbound = MakeCall::to(&to).trunk("main").credential_name("carrier");
    let made = leg.make_call(outbound.offer(sdp::offer()).timeout(SHORT));
    info!("called: {made:?}");
    for leg in [&call, &leg] {
        read.extend(HEADERS.iter().flat_map(|name| leg.header(name)));
        read.extend([
            leg.ani(),
            leg.from_uri(),
            leg.to_uri(),
            leg.request_uri(),
            leg.sip_call_id(),
        ]);
    }
    info!("read {} texts", read.len());
    let times = |key: &str| session::config(key).map_or(0, |backwards| in_memory(backwards.as_bytes()));
    info!(
        "found: there {} times, secret {} times",
        times("there"),
        times("needle")
    );
    drop((read, registration, subscription, made));
    call.reject(486).ok();
}

/// How often these bytes, read backwards, stand in the memory of this instance.
fn in_memory(backwards: &[u8]) -> usize {
    let size = core::arch::wasm32::memory_size(0) * 65_536;
    let base: *const u8 = core::ptr::null();
    let byte = |at: usize| {
        // SAFETY: below the size of the memory, which holds initialised bytes throughout. Volatile, because some of it
        // belongs to what the compiler thinks nobody looks at.
        unsafe { base.wrapping_add(at).read_volatile() }
    };
    let last = size.saturating_sub(backwards.len());
    (1..last)
        .filter(|&start| {
            backwards
                .iter()
                .rev()
                .enumerate()
                .all(|(at, wanted)| byte(start + at) == *wanted)
        })
        .count()
}
