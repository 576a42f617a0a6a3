//! What a flow must not say: each string that is wrong is refused with the reason, and nothing of it reaches the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::phone::Phone;
use callbox_tests::server::Setup;

/// The rows of the flow's table, at least: fewer means that somebody took some away.
const ROWS: u32 = 565;

#[test]
fn every_method_refuses_what_is_wrong_and_sends_nothing_of_it() {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let mut peer = Phone::udp(setup.address());
    let config = format!(
        "auto_ring = false\nconfig = {{ peer = {:?} }}\n",
        peer.address().to_string()
    );
    let server = setup
        .tenant_flow("house", "bad", &flows::example("bad-input"), &config)
        .start();
    while peer.receive(Duration::from_millis(1)).is_some() {}

    let mut phone = server.phone();
    let mut call = phone.invite("bad");
    // 100 may come; then the answer, and nothing of what was refused before it.
    let answer = loop {
        let message = phone
            .receive_of(&call, Duration::from_secs(20))
            .expect("an answer");
        assert!(matches!(message.status(), Some(100 | 200)), "{message:?}");
        if message.status() == Some(200) {
            break message;
        }
    };
    phone.ack(&mut call, &answer);
    // Then the BYE of a call that is up, with all its rows behind it.
    let bye = loop {
        let message = phone.receive_of(&call, Duration::from_secs(20)).expect("a BYE");
        if message.status() != Some(200) {
            break message;
        }
    };
    assert_eq!(bye.method(), Some("BYE"), "{bye:?}");
    phone.respond(&bye, "200 OK");

    let line = server.wait_for_log(&[" rows, "], Duration::from_secs(10));
    let log = server.log();
    let otherwise: Vec<&str> = log.lines().filter(|line| line.contains("OTHERWISE")).collect();
    assert!(line.contains(" 0 otherwise"), "{line}\n{}", otherwise.join("\n"));
    let rows: u32 = line
        .split(" rows,")
        .next()
        .and_then(|before| before.rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|number| number.parse().ok())
        .expect("a number of rows");
    assert!(rows >= ROWS, "{line}");
    if let Some(message) = peer.receive(Duration::from_millis(300)) {
        panic!("the peer saw {message:?}");
    }
}
