//! Calls under TLS with baresip, trunks under TLS, certificates that are renewed and wrong ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use callbox_tests::admin::Admin;
use callbox_tests::baresip::Baresip;
use callbox_tests::metrics::Scrape;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::tls::{self, Authority, Signed};
use callbox_tests::{cli, flows};

/// Longer than anything takes that should come at once, with all of these programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);

fn secure_at(server: SocketAddr) -> SocketAddr {
    SocketAddr::new(server.ip(), 5061)
}

/// A server that is to listen by TLS, with a certificate for its address.
fn setup(authority: &Authority) -> (Setup, Signed) {
    let setup = Setup::new();
    let address = setup.address().ip();
    let own = authority.sign(&format!("callbox-{address}"), &address.to_string());
    let setup = setup
        .listen(&format!("tls:{address}:5061"))
        .lines(&authority.table(&own))
        .dial("house", &["127.0.0.0/8"]);
    (setup, own)
}

fn total(server: &Callbox, name: &str) -> f64 {
    Scrape::of(&Admin::of(server.folder()).get("/metrics")).value(name, &[])
}

/// `callout` calls this URI once somebody calls `go`.
fn calling(setup: Setup, uri: &str) -> Callbox {
    let more = format!("auto_ring = false\nconfig = {{ dest = {uri:?} }}");
    setup
        .tenant_flow("house", "go", &flows::example("callout"), &more)
        .start()
}

#[test]
fn baresip_calls_a_flow_under_tls_and_hangs_up() {
    let authority = Authority::new();
    let (setup, _) = setup(&authority);
    let server = setup.flow("hello", "hello").start();
    let mut desk = Baresip::secure("desk", &authority);
    desk.dial(&format!(
        "sip:hello@{};transport=tls",
        secure_at(server.address())
    ));
    desk.wait_for("CALL_RINGING", "hello");
    desk.wait_for("CALL_ESTABLISHED", "hello");
    desk.hang_up();
    server.wait_for_log(&["the peer ended the call"], LONG);
    assert_eq!(total(&server, "callbox_tls_agreed_total"), 1.0);
    assert_eq!(total(&server, "callbox_tls_failed_total"), 0.0);
}

#[test]
fn we_hang_up_under_tls_along_the_callers_connection() {
    let authority = Authority::new();
    let (setup, _) = setup(&authority);
    let mut server = setup
        .limit("limits", "drain_grace_ms", 0)
        .flow("hello", "hello")
        .start();
    let mut desk = Baresip::secure("desk", &authority);
    desk.dial(&format!(
        "sip:hello@{};transport=tls",
        secure_at(server.address())
    ));
    desk.wait_for("CALL_ESTABLISHED", "hello");
    assert_eq!(server.stop(LONG), Some(0));
    desk.wait_for("CALL_CLOSED", "hello");
    let log = desk.log();
    assert!(
        log.contains("BYE sip:desk") && !log.contains("SIP/2.0/UDP"),
        "{log}"
    );
}

#[test]
fn a_flow_calls_baresip_under_tls() {
    let authority = Authority::new();
    let mut desk = Baresip::secure("desk", &authority);
    let server = calling(setup(&authority).0, &desk.secure_uri());
    let mut phone = server.phone();
    phone.invite("go");
    desk.wait_for("CALL_ESTABLISHED", "");
    // It is held, resumed, asked and hung up along one connection.
    desk.wait_for("CALL_CLOSED", "");
    server.wait_for_log(&["hold: Ok"], LONG);
    server.wait_for_log(&["we end it: Ok"], LONG);
    assert_eq!(total(&server, "callbox_connections_opened_total"), 1.0);
    assert_eq!(total(&server, "callbox_tls_agreed_total"), 1.0);
}

/// Somebody else is at the address: nothing is said to it, and the operator is told why.
#[test]
fn who_cannot_prove_that_it_was_meant_is_not_called() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let desk = Baresip::secure("desk", &theirs);
    let server = calling(setup(&ours).0, &desk.secure_uri());
    let mut phone = server.phone();
    phone.invite("go");
    server.wait_for_log(
        &[
            "WARN",
            "TLS was not agreed on with a peer that is called",
            "invalid peer certificate",
        ],
        LONG,
    );
    server.wait_for_log(&["the destination is not secure"], LONG);
    assert!(!desk.log().contains("INVITE"), "{}", desk.log());
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_a_wrong_one_changes_nothing() {
    let authority = Authority::new();
    let (setup, own) = setup(&authority);
    let at = secure_at(setup.address());
    let server = setup.flow("hello", "hello").start();
    let first = tls::shown(&own.certificate);
    let (shown, answer) = authority.ask(at).unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert_eq!(shown, first);

    let name = format!("callbox-{}", at.ip());
    let renewed = authority.sign(&name, &at.ip().to_string());
    assert_eq!(authority.ask(at).unwrap().0, first, "not before the reload");
    assert!(server.reload());
    server.wait_for_log(&["reload: tls: another certificate"], LONG);
    let second = tls::shown(&renewed.certificate);
    assert_ne!(first, second);
    assert_eq!(authority.ask(at).unwrap().0, second);

    // Half of a renewal: the key is another one's.
    let stranger = Authority::new();
    let other = stranger.sign("other", "other.test");
    fs::copy(&other.key, &renewed.key).unwrap();
    assert!(!server.reload());
    server.wait_for_log(&["reload: ", "tls.key: ", "do not serve"], LONG);
    assert_eq!(authority.ask(at).unwrap().0, second, "everything is as it was");
    assert!(
        stranger.ask(at).is_err(),
        "who does not know the authority does not believe"
    );
}

#[test]
fn check_says_what_tls_would_refuse_before_anybody_is_served() {
    let authority = Authority::new();
    let own = authority.sign("own", "sip.example.com");
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let file = folder.path().join("callbox.toml");
        fs::write(&file, text).unwrap();
        cli::run(["check", "--config", file.to_str().unwrap()])
    };
    let listen = "listen = \"tls:127.0.0.1:5061\"\n";
    let said = file(listen);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(
        said.all()
            .contains("callbox.toml:1: listen: \"tls:127.0.0.1:5061\" has no certificate; write [tls]"),
        "{}",
        said.all()
    );
    let said = file(&format!(
        "{listen}{}",
        authority.table(&own).replace("own.key", "authority.pem")
    ));
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.all().contains("callbox.toml:4: tls.key: "), "{}", said.all());
}
