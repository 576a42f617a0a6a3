//! Logs without end, with bytes that would spoil a terminal or forge a log line.

use callbox_sdk::{Call, warn};

callbox_sdk::flow!(flood);

fn flood(_call: Call) {
    let mut line = 0u64;
    loop {
        warn!("\x1b[2Jline {line}\r\n2026-01-01T00:00:00Z  INFO callbox: all is well");
        line = line.wrapping_add(1);
    }
}
