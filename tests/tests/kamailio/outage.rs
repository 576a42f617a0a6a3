//! A registrar that vanishes and comes back, having forgotten everybody.

use callbox_tests::phone::SOON;

use crate::{LONG, go, house, start};

/// Takes the time that RFC 5626 §4.5 has a client wait after a failure: 15 to 30 s, and up to 60 s if it fails again.
#[test]
fn a_registrar_that_vanishes_and_comes_back_is_found_again() {
    let mut kamailio = house().parameter("registrar", "min_expires", "1").start();
    let server = start(&kamailio, "extension", "expires = \"4\"\n");
    let _caller = go(&server, "go");
    kamailio.wait_for_contacts("alice", 1, LONG);
    kamailio.stop();
    server.wait_for_log(&["registration lost:"], 4 * LONG);
    kamailio.start_again();
    kamailio.wait_for_contacts("alice", 1, 8 * LONG);
    server.wait_for_log(&["registered: true"], SOON);
}
