//! Who may speak with the API, and what wrong requests get.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::cli;
use callbox_tests::metrics::Scrape;
use callbox_tests::phone::SOON;
use callbox_tests::server::Setup;

use super::callbox;

const TOKEN: &str = "correct-horse-battery-staple";

#[test]
fn the_socket_is_its_owners_and_goes_with_the_host() {
    let mut server = Setup::new().flow("1", "hello").start();
    let socket = server.folder().join(".callbox/admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);

    let said = callbox(&server, &["status"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    for part in ["serving", "calls: 0 of", "house/1"] {
        assert!(said.out.contains(part), "no `{part}` in:\n{}", said.out);
    }
    let by_path = cli::run(["status", "--socket", socket.to_str().unwrap(), "--json"]);
    assert_eq!(by_path.code, Some(0), "{by_path:#?}");
    assert!(by_path.out.contains("\"state\": \"serving\""), "{}", by_path.out);

    assert_eq!(server.stop(Duration::from_secs(20)), Some(0));
    assert!(!socket.exists(), "the socket stays behind");
    let said = callbox(&server, &["status"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("no callbox answers at"), "{}", said.err);
}

#[test]
fn a_flow_that_is_not_loaded_is_seen_in_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.wasm");
    fs::write(&broken, "no flow").unwrap();
    let server = Setup::new()
        .flow("1", "hello")
        .tenant_flow("acme", "2", &broken, "")
        .start();
    let said = callbox(&server, &["status"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.out.contains("acme/2") && said.out.contains("NOT LOADED"),
        "{}",
        said.out
    );
}

#[test]
fn a_port_wants_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let setup = Setup::new().flow("1", "hello");
    let address = std::net::SocketAddr::new(setup.address().ip(), 8_080);
    let server = setup
        .lines(&format!(
            "[admin]\nlisten = \"{address}\"\ntoken_file = {token:?}"
        ))
        .start();
    let admin = Admin::Tcp(address);

    let refused = admin.get("/v1/status");
    refused.assert_problem(401, "token");
    assert!(
        refused
            .header("www-authenticate")
            .is_some_and(|it| it.starts_with("Bearer")),
        "{refused:?}"
    );
    let with = |token: &str| {
        admin.request(
            "GET",
            "/v1/status",
            &format!("Authorization: Bearer {token}\r\n"),
            "",
        )
    };
    with("correct-horse-battery-stapl").assert_problem(401, "token");
    with(&format!("{TOKEN}x")).assert_problem(401, "token");
    assert_eq!(with(TOKEN).status(), 200);
    admin.get("/v1/nowhere").assert_problem(401, "token");
    admin.get("/metrics").assert_problem(401, "token");

    let url = format!("http://{address}");
    let run = |token: &str| {
        let mut command = cli::command();
        command
            .args(["status", "--url", &url, "--token-env", "ADMIN_TOKEN"])
            .env("ADMIN_TOKEN", token);
        cli::said(&mut command, Duration::from_secs(60))
    };
    assert_eq!(run(TOKEN).code, Some(0));
    let said = run("wrong");
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("Authorization: Bearer"), "{}", said.err);
    assert!(!server.log().contains(TOKEN), "the token is in the log");
}

#[test]
fn a_port_without_a_token_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = Setup::new()
        .flow("1", "hello")
        .lines("[admin]\nlisten = \"127.0.0.1:8080\"")
        .write(folder.path());
    let said = cli::run(["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("token_env"), "{}", said.err);
}

#[test]
fn what_is_wrong_with_a_request_is_a_problem() {
    let server = Setup::new()
        .flow("1", "hello")
        .limit("limits.admin", "body_max_bytes", 2_000)
        .start();
    let admin = Admin::of(server.folder());
    admin.get("/v1/nowhere").assert_problem(404, "unknown-resource");
    admin.get("/").assert_problem(404, "unknown-resource");
    admin
        .get("/v1/sessions/none")
        .assert_problem(404, "unknown-session");
    admin
        .get("/v1/sessions?limit=many")
        .assert_problem(400, "invalid");
    admin
        .get("/v1/sessions?tenat=acme")
        .assert_problem(400, "invalid");
    let wrong = admin.request("DELETE", "/v1/status", "", "");
    wrong.assert_problem(405, "method");
    assert!(
        wrong.header("allow").is_some_and(|it| it.contains("GET")),
        "{wrong:?}"
    );

    let jobs = |body: &str| admin.post("/v1/jobs", body);
    jobs("{").assert_problem(400, "invalid");
    jobs("{\"flow\": 7}").assert_problem(400, "invalid");
    jobs("{\"flow\": \"house/none\"}").assert_problem(404, "unknown-flow");
    jobs("{\"flow\": \"house/1\"}").assert_problem(422, "refused");
    let large = format!("{{\"flow\": \"{}\"}}", "x".repeat(2_000));
    jobs(&large).assert_problem(413, "too-large");
    let text = admin.request("POST", "/v1/jobs", "Content-Type: text/plain\r\n", "{}");
    text.assert_problem(415, "media-type");
    assert_eq!(admin.get("/v1/status").status(), 200, "and it serves on");
}

#[test]
fn a_client_that_says_nothing_is_sent_away() {
    let server = Setup::new()
        .flow("1", "hello")
        .limit("limits.admin", "connections_max", 4)
        .limit("limits.admin", "request_ms", 500)
        .start();
    let socket = server.folder().join(".callbox/admin.sock");
    let mut silent: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(b"GET /v1/sta").unwrap();
            stream
        })
        .collect();
    // Four hold every place there is, until their time is over.
    assert_eq!(Admin::of(server.folder()).get("/v1/status").status(), 200);
    let mut rest = Vec::new();
    let first = &mut silent[0];
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = first.read_to_end(&mut rest);
    assert!(
        !rest.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn a_client_that_does_not_read_is_closed_and_others_are_served_meanwhile() {
    const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: callbox\r\n\r\n";
    // Answers to so many are more than the kernel keeps for a reader.
    const REQUESTS: usize = 400;
    let server = Setup::new()
        .flow("1", "hello")
        .limit("limits.admin", "connections_max", 4)
        .limit("limits.admin", "write_ms", 1_000)
        .start();
    let socket = server.folder().join(".callbox/admin.sock");
    let deaf = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // What the host does not take any more is left.
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        for _ in 0..REQUESTS {
            match stream.write_all(REQUEST) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        stream
    };
    let admin = Admin::of(server.folder());
    let closed = || {
        let scrape = Scrape::of(&admin.get("/metrics"));
        scrape.sum("callbox_limit_hits_total", &[("limit", "limits.admin.write_ms")])
    };
    // They hold three of the four places; whoever reads is answered through the fourth.
    let three: Vec<UnixStream> = (0..3).map(|_| deaf()).collect();
    assert_eq!(admin.get("/v1/status").status(), 200);
    let until = Instant::now() + SOON;
    while closed() < 3.0 {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Every place: who comes then waits until they are closed, and no longer.
    let four: Vec<UnixStream> = (0..4).map(|_| deaf()).collect();
    assert_eq!(admin.get("/v1/status").status(), 200);
    let until = Instant::now() + SOON;
    while closed() < 7.0 {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut stream in three.into_iter().chain(four) {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut rest = Vec::new();
        // The end of the stream, or a reset of what was never read: not the time that is up.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        let answers = String::from_utf8_lossy(&rest).matches("HTTP/1.1 200").count();
        assert!((1..REQUESTS).contains(&answers), "{answers} answers");
    }
}
