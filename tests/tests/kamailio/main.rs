//! Flows with Kamailio as registrar, proxy and presence server: a peer that nobody here wrote.
//!
//! One program, so that what waits for a clock (`outage`) and what works runs side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod outage;
mod presence;
mod proxy;
mod registrar;
mod secure;

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::kamailio::{Kamailio, Setup as Registrar};
use callbox_tests::phone::{Call, Phone};
use callbox_tests::server::{Callbox, Setup};

/// Longer than any answer takes that crosses two programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);

fn house() -> Registrar {
    Registrar::new()
        .user("alice", "1234")
        .user("bob", "5678")
        .user("carol", "9012")
}

/// Adds an example that starts on a call to `number` and knows this registrar; `more` is further configuration of it.
fn with(setup: Setup, kamailio: &Kamailio, number: &str, flow: &str, user: &str, more: &str) -> Setup {
    let password = match user {
        "alice" => "1234",
        "bob" => "5678",
        _ => "9012",
    };
    // What comes first counts: TOML refuses a key that stands twice, so `more` may replace these.
    let mut config = format!("auto_ring = false\n[tenant.flow.{number}.config]\n{more}");
    for (key, value) in [
        ("registrar", kamailio.uri(user)),
        ("username", user.to_owned()),
        ("password", password.to_owned()),
    ] {
        if !more.contains(&format!("{key} = ")) {
            config.push_str(&format!("{key} = {value:?}\n"));
        }
    }
    setup.tenant_flow("house", number, &flows::example(flow), &config)
}

/// A server with one such example, for alice, that starts on a call to `go`.
fn start(kamailio: &Kamailio, flow: &str, more: &str) -> Callbox {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    with(setup, kamailio, "go", flow, "alice", more).start()
}

/// Starts a flow by a call that is never answered, and that ends it when it is cancelled.
fn go(server: &Callbox, number: &str) -> (Phone, Call) {
    let mut phone = server.phone();
    let call = phone.invite(number);
    (phone, call)
}
