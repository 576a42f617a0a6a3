//! Kamailio as registrar: digest, several users, what it refuses, and calls to a registered name.

use callbox_tests::flows;
use callbox_tests::kamailio::REALM;
use callbox_tests::phone::{Call, Phone, SOON};
use callbox_tests::server::Setup;
use callbox_tests::sipp::Sipp;

use crate::{LONG, go, house, start, with};

#[test]
fn alice_is_registered_while_her_flow_lives() {
    let kamailio = house().start();
    let server = start(&kamailio, "extension", "expires = \"60\"\n");
    assert!(kamailio.contacts("alice").is_empty());
    let (mut phone, call) = go(&server, "go");
    let contacts = kamailio.wait_for_contacts("alice", 1, LONG);
    assert!(
        contacts[0].contains(&server.address().to_string()),
        "{contacts:?}"
    );
    server.wait_for_log(&["bound sip:alice", "for 60 s"], SOON);

    phone.cancel(&call);
    server.wait_for_log(&["unregistered: Ok"], LONG);
    assert!(kamailio.contacts("alice").is_empty());
}

#[test]
fn the_digest_may_be_sha_256() {
    let kamailio = house().parameter("auth", "algorithm", "\"SHA-256\"").start();
    let server = start(&kamailio, "extension", "");
    let _caller = go(&server, "go");
    kamailio.wait_for_contacts("alice", 1, LONG);
    kamailio.wait_for_log(&["authorised: REGISTER", "algorithm=SHA-256"], LONG);
}

/// Kamailio remembers the highest nonce count of each nonce: one that did not rise would be challenged.
#[test]
fn renewals_use_the_nonce_that_is_there() {
    let kamailio = house().parameter("registrar", "min_expires", "1").start();
    let server = start(&kamailio, "extension", "expires = \"2\"\n");
    let _caller = go(&server, "go");
    kamailio.wait_for_logged(&["authorised: REGISTER"], 4, LONG);
    assert_eq!(kamailio.logged(&["challenged: REGISTER"]), 1);
    assert!(!server.log().contains("registration lost"));
}

#[test]
fn a_nonce_that_got_old_is_replaced() {
    let kamailio = house()
        .parameter("registrar", "min_expires", "1")
        .parameter("auth", "nonce_expire", "1")
        .start();
    let server = start(&kamailio, "extension", "expires = \"6\"\n");
    let _caller = go(&server, "go");
    kamailio.wait_for_logged(&["authorised: REGISTER"], 2, LONG);
    assert_eq!(kamailio.logged(&["challenged: REGISTER"]), 2);
    assert!(!server.log().contains("registration lost"));
}

#[test]
fn a_registrar_may_be_reached_over_tcp() {
    let kamailio = house().start();
    let registrar = format!("registrar = \"{};transport=tcp\"\n", kamailio.uri("alice"));
    let server = start(&kamailio, "extension", &registrar);
    let (mut phone, call) = go(&server, "go");
    let contacts = kamailio.wait_for_contacts("alice", 1, LONG);
    assert!(contacts[0].contains("transport=tcp"), "{contacts:?}");
    phone.cancel(&call);
    server.wait_for_log(&["unregistered: Ok"], LONG);
}

#[test]
fn a_short_registration_is_made_as_long_as_the_registrar_wants_it() {
    let kamailio = house().min_expires(90).start();
    let server = start(&kamailio, "extension", "expires = \"30\"\n");
    let _caller = go(&server, "go");
    kamailio.wait_for_contacts("alice", 1, LONG);
    server.wait_for_log(&["bound sip:alice", "for 90 s"], SOON);
}

#[test]
fn a_wrong_password_is_told_to_the_flow() {
    let kamailio = house().start();
    let server = start(&kamailio, "extension", "password = \"4321\"\n");
    let _caller = go(&server, "go");
    server.wait_for_log(&["not registered: rejected: 401"], LONG);
    assert_eq!(
        kamailio.logged(&["challenged: REGISTER"]),
        2,
        "tried once, and not again"
    );
    assert!(kamailio.contacts("alice").is_empty());
}

#[test]
fn another_ones_name_is_refused() {
    let kamailio = house().start();
    let server = start(
        &kamailio,
        "extension",
        "username = \"bob\"\npassword = \"5678\"\n",
    );
    let _caller = go(&server, "go");
    server.wait_for_log(&["not registered: rejected: 403 Not Your Name"], LONG);
    assert!(kamailio.contacts("alice").is_empty());
}

#[test]
fn credentials_of_another_realm_are_not_sent() {
    let kamailio = house().start();
    let server = start(&kamailio, "register", "realm = \"elsewhere.example\"\n");
    let _caller = go(&server, "go");
    server.wait_for_log(&["c1:startregister res = 4", "401"], LONG);
    assert_eq!(kamailio.logged(&["challenged: REGISTER", "user <null>"]), 1);
    assert_eq!(kamailio.logged(&["challenged: REGISTER"]), 1);
}

#[test]
fn several_users_are_registered_at_once_and_each_leaves_alone() {
    let kamailio = house().start();
    let mut setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    for user in ["alice", "bob", "carol"] {
        setup = with(setup, &kamailio, user, "extension", user, "");
    }
    let server = setup.start();
    let mut calls: Vec<(Phone, Call)> = ["alice", "bob", "carol", "alice"]
        .iter()
        .map(|user| go(&server, user))
        .collect();
    kamailio.wait_for_contacts("alice", 2, LONG);
    kamailio.wait_for_contacts("bob", 1, LONG);
    kamailio.wait_for_contacts("carol", 1, LONG);

    let (mut phone, call) = calls.remove(0);
    phone.cancel(&call);
    kamailio.wait_for_contacts("alice", 1, LONG);
    let (mut phone, call) = calls.remove(0);
    phone.cancel(&call);
    kamailio.wait_for_contacts("bob", 0, LONG);
    assert_eq!(kamailio.contacts("alice").len(), 1, "the other session's");
    assert_eq!(kamailio.contacts("carol").len(), 1);
}

#[test]
fn a_call_for_the_registered_name_reaches_a_flow() {
    for transport in ["udp", "tcp"] {
        let kamailio = house().start();
        let registrar = format!(
            "registrar = \"{};transport={transport}\"\n",
            kamailio.uri("alice")
        );
        let setup = Setup::new()
            .dial("house", &["127.0.0.0/8"])
            .flow("alice", "hello");
        let server = with(setup, &kamailio, "go", "extension", "alice", &registrar).start();
        let _caller = go(&server, "go");
        kamailio.wait_for_contacts("alice", 1, LONG);

        Sipp::scenario("answer", kamailio.address(), "alice")
            .fill("HOLD_MS", 200)
            .run()
            .assert_all(1);
        server.wait_for_log(&["sipp is talking to alice"], SOON);
        let relayed = format!("relayed: INVITE to sip:alice@{}", server.address());
        assert_eq!(kamailio.logged(&[&relayed]), 1);
        assert_eq!(kamailio.logged(&["in dialog by route: BYE"]), 1);
    }
}

/// The session that registered takes the calls that come for it: no route leads them there.
#[test]
fn the_session_that_registered_accepts_the_calls() {
    let kamailio = house().start();
    let mut setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    for (user, password) in [("alice", "1234"), ("bob", "5678")] {
        let more = format!(
            "[tenant.flow.{user}.job]\nstart = \"boot\"\n[tenant.flow.{user}.job.args]\n\
             registrar = \"{}\"\nusername = \"{user}\"\npassword = \"{password}\"\ncalls = 2\n",
            kamailio.uri(user)
        );
        setup = setup.job("house", user, &flows::example("desk"), &more);
    }
    let server = setup.start();
    for user in ["alice", "bob"] {
        kamailio.wait_for_contacts(user, 1, LONG);
        for call in ["call 1 on leg", "call 2 on leg"] {
            Sipp::scenario("answer", kamailio.address(), user)
                .fill("HOLD_MS", 200)
                .run()
                .assert_all(1);
            server.wait_for_log(&[call, &format!("sipp calls {user}")], SOON);
        }
        // Two calls are all that it wants.
        kamailio.wait_for_contacts(user, 0, LONG);
    }
}

/// Kamailio sends a call to both contacts of a name: they are one call to callbox, and one session gets it.
#[test]
fn a_call_for_a_name_that_is_registered_twice_is_taken_once() {
    let kamailio = house().start();
    let mut setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    for desk in ["left", "right"] {
        let more = format!(
            "[tenant.flow.{desk}.job]\nstart = \"boot\"\n[tenant.flow.{desk}.job.args]\n\
             registrar = \"{}\"\nusername = \"alice\"\npassword = \"1234\"\ncalls = 1\n",
            kamailio.uri("alice")
        );
        setup = setup.job("house", desk, &flows::example("desk"), &more);
    }
    let server = setup.start();
    for contacts in [2, 1] {
        kamailio.wait_for_contacts("alice", contacts, LONG);
        Sipp::scenario("answer", kamailio.address(), "alice")
            .fill("HOLD_MS", 200)
            .run()
            .assert_all(1);
    }
    kamailio.wait_for_contacts("alice", 0, LONG);
    assert_eq!(
        server.log().matches("call 1 on leg").count(),
        2,
        "one for each desk"
    );
}

/// A host that was killed has left a contact behind, and registers with another one. Kamailio tries both; the call that
/// reaches nobody must not be in the way of the one that does.
#[test]
fn a_contact_of_an_earlier_life_is_not_in_the_way() {
    for stale_first in [true, false] {
        let kamailio = house().start();
        let more = format!(
            "[tenant.flow.desk.job]\nstart = \"boot\"\n[tenant.flow.desk.job.args]\n\
             registrar = \"{}\"\nusername = \"alice\"\npassword = \"1234\"\ncalls = 1\n",
            kamailio.uri("alice")
        );
        let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
        let stale = format!("sip:alice@{};line=abcdefghijklmnop", setup.address());
        if stale_first {
            kamailio.leave_behind("alice", &stale);
        }
        let server = setup.job("house", "desk", &flows::example("desk"), &more).start();
        kamailio.wait_for_contacts("alice", 1 + usize::from(stale_first), LONG);
        if !stale_first {
            kamailio.leave_behind("alice", &stale);
        }
        Sipp::scenario("answer", kamailio.address(), "alice")
            .fill("HOLD_MS", 200)
            .run()
            .assert_all(1);
        server.wait_for_log(&["call 1 on leg"], SOON);
    }
}

#[test]
fn a_host_that_is_stopped_leaves_nothing_with_the_registrar() {
    let kamailio = house().start();
    let watching = crate::presence::watching(&kamailio, "presence", "application/pidf+xml");
    let mut server = start(&kamailio, "extension", &watching);
    let _caller = go(&server, "go");
    kamailio.wait_for_contacts("alice", 1, LONG);
    kamailio.wait_for_log(&["sent: NOTIFY, presence, active"], LONG);
    assert_eq!(server.stop(LONG), Some(0));
    assert!(kamailio.contacts("alice").is_empty());
    kamailio.wait_for_log(&["sent: NOTIFY, presence, terminated"], LONG);
}

/// The page's example of `register`, whole: the call in that name is challenged too.
#[test]
fn the_pages_example_registers_and_calls_in_that_name() {
    let kamailio = house().start();
    let setup = Setup::new()
        .dial("house", &["127.0.0.0/8"])
        .flow("hello", "hello");
    let dest = kamailio.uri("907723154123");
    let more = format!("realm = {REALM:?}\ndest = {dest:?}\nstay = \"300\"\n");
    let server = with(setup, &kamailio, "go", "register", "alice", &more).start();
    kamailio.route("907723154123", &format!("sip:hello@{}", server.address()));
    let _caller = go(&server, "go");
    server.wait_for_log(&["c1:startregister res = 0"], LONG);
    server.wait_for_log(&["c1:makecall res = 0"], LONG);
    server.wait_for_log(&["alice is talking to 907723154123"], LONG);
    kamailio.wait_for_contacts("alice", 0, LONG);
    kamailio.wait_for_log(&["in dialog by route: BYE"], LONG);
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}
