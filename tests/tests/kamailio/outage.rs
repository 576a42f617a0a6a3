//! A registrar that vanishes and comes back, having forgotten everybody.

use callbox_tests::phone::SOON;

use crate::presence::{tell, watching};
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

/// Who comes back knows nothing of the dialog (481): the host subscribes anew, and the flow hears of changes as before.
#[test]
fn a_presence_server_that_forgot_a_subscription_is_asked_again() {
    let mut kamailio = house().parameter("presence", "max_expires", "8").start();
    let more = watching(&kamailio, "presence", "application/pidf+xml");
    let server = start(&kamailio, "extension", &more);
    let _caller = go(&server, "go");
    server.wait_for_log(&["notify", "Active"], LONG);
    kamailio.stop();
    kamailio.start_again();
    kamailio.wait_for_logged(&["sent: NOTIFY, presence, active"], 2, LONG);
    tell(&kamailio, None, "back again");
    server.wait_for_log(&["notify", "Active", "back again"], LONG);
    assert!(!server.log().contains("Terminated"));
}
