//! Traces, from outside: what a collector hears of calls, and that one which is ill harms none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::flows;
use callbox_tests::metrics::Scrape;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};
use serde_json::Value;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Answers every request alike; what was sent comes out.
fn collector(answer: &'static str) -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, documents) = sync_channel(1_000);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let document = exchange(stream.unwrap(), answer);
            if send.send(document).is_err() {
                return;
            }
        }
    });
    (address, documents)
}

fn exchange(mut stream: TcpStream, answer: &str) -> Value {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                stream.write_all(answer.as_bytes()).unwrap();
                return serde_json::from_str(body).unwrap();
            }
        }
        let size = stream.read(&mut buffer).unwrap();
        assert!(size > 0, "{text}");
        bytes.extend_from_slice(&buffer[..size]);
    }
}

fn spans(document: &Value) -> Vec<Value> {
    document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap()
        .clone()
}

/// All spans that come until there are so many.
fn wait_for(documents: &Receiver<Value>, count: usize) -> Vec<Value> {
    let (mut all, until) = (Vec::new(), Instant::now() + 2 * SOON);
    while all.len() < count {
        let left = until.saturating_duration_since(Instant::now());
        let document = documents.recv_timeout(left);
        let document = document.unwrap_or_else(|_| panic!("{} of {count} spans: {all:#?}", all.len()));
        all.extend(spans(&document));
    }
    all
}

fn of<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|it| it["key"] == key)?;
    let value = &found["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str())
}

fn setup(to: SocketAddr, more: &str) -> Setup {
    let lines = format!("[otel]\nendpoint = \"http://{to}\"\n{more}");
    Setup::new().flow("100", "hello").lines(&lines)
}

fn ns(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_call_is_a_span_with_a_span_a_leg_and_a_span_a_host_call() {
    let (to, documents) = collector(OK);
    let server = setup(to, "host_calls = \"100%\"\nservice = \"edge-1\"").start();
    let mut phone = server.phone();
    let mut call = phone.connect("100");
    phone.hang_up(&mut call);
    let spans = wait_for(&documents, 3);
    let [root, leg, calls @ ..] = &spans[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(
        (&root["name"], &root["kind"], &root["parentSpanId"]),
        (&"call".into(), &2.into(), &"".into())
    );
    for (key, value) in [
        ("callbox.tenant", "house"),
        ("callbox.flow", "100"),
        ("callbox.outcome", "finished"),
        ("sip.call_id", &call.id),
        ("sip.response.status_code", "200"),
        ("callbox.host_calls.forgotten", "0"),
    ] {
        assert_eq!(of(root, key), Some(value), "{root:#}");
    }
    assert_eq!(of(root, "callbox.version").unwrap().len(), 12);
    assert!(of(root, "session.id").is_some() && of(root, "error.type").is_none());
    assert_eq!((&leg["name"], &leg["kind"]), (&"leg".into(), &2.into()));
    assert_eq!(of(leg, "callbox.leg.ended_by"), Some("peer"));
    let events: Vec<&Value> = leg["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(events, ["ringing", "answered"]);
    let names: Vec<&str> = calls.iter().map(|span| span["name"].as_str().unwrap()).collect();
    for name in ["call.ring", "call.answer", "session.log"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        names.iter().all(|name| name.contains('.') && !name.contains('_')),
        "{names:?}"
    );
    for span in &spans {
        assert!(
            ns(&span["startTimeUnixNano"]) <= ns(&span["endTimeUnixNano"]),
            "{span}"
        );
        assert_eq!(span["traceId"], root["traceId"]);
        assert!(span == root || span["parentSpanId"] == root["spanId"], "{span}");
    }
    // Nobody is named unless the operator said so.
    let text = serde_json::to_string(&spans).unwrap();
    assert!(
        !text.contains("sip:") && of(leg, "sip.from.user").is_none(),
        "{text}"
    );
}

#[test]
fn a_trap_and_a_call_of_a_flow_are_told_as_what_they_are() {
    let (to, documents) = collector(OK);
    let setup = setup(to, "include_numbers = true");
    let mut callee = Phone::udp(setup.address());
    let config = format!("config.dest = \"sip:bob@{}\"", callee.address());
    let server = setup
        .tenant_flow("house", "go", &flows::example("bridge"), &config)
        .tenant_flow("house", "loop", &flows::example("loop"), "")
        .dial("house", &["127.0.0.0/8"])
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("go");
    let invite = callee.next_request("INVITE", |_| true);
    callee.respond_with(&invite, "503 Service Unavailable", "");
    let refused = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &refused);
    let spans = wait_for(&documents, 3);
    let outbound = spans
        .iter()
        .find(|span| span["kind"] == 3)
        .expect("a leg of ours");
    assert_eq!(of(outbound, "sip.response.status_code"), Some("503"));
    assert_eq!(of(outbound, "error.type"), Some("503"));
    assert_eq!(of(outbound, "sip.call_id"), Some(invite.header("Call-ID")));
    assert_eq!(of(outbound, "sip.request.uri"), Some(invite.request_uri()));
    let inbound = spans
        .iter()
        .find(|span| of(span, "callbox.leg.direction") == Some("inbound"));
    assert_eq!(of(inbound.unwrap(), "sip.from.user"), Some("2001"));

    let mut call = phone.invite("loop");
    let refused = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &refused);
    let spans = wait_for(&documents, 2);
    let root = &spans[0];
    assert_eq!(root["status"]["code"], 2, "{root:#}");
    assert_eq!(of(root, "error.type"), of(root, "callbox.outcome"));
    assert!(
        of(root, "callbox.limit").unwrap().starts_with("limits.plugin."),
        "{root:#}"
    );
    assert_eq!(of(root, "sip.response.status_code"), Some("500"));
}

#[test]
fn what_is_not_sampled_is_not_sent() {
    let (to, documents) = collector(OK);
    let server = setup(to, "sample = \"0%\"").start();
    let mut phone = server.phone();
    for _ in 0..20 {
        let mut call = phone.connect("100");
        phone.hang_up(&mut call);
    }
    assert!(documents.recv_timeout(Duration::from_secs(2)).is_err());
}

#[test]
fn collectors_that_are_dead_slow_or_refuse_harm_no_call() {
    // Takes connections and says nothing.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, _refused) = collector("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    let (busy, _asked) = collector("HTTP/1.1 429 Later\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
    for to in [slow.local_addr().unwrap(), dead, refusing, busy] {
        let mut server = setup(to, "host_calls = \"100%\"").start();
        let mut phone = server.phone();
        for _ in 0..20 {
            let mut call = phone.connect("100");
            phone.hang_up(&mut call);
        }
        if to == refusing {
            server.wait_for_log(&["traces did not get to the collector", "500"], SOON);
        }
        let began = Instant::now();
        assert_eq!(server.stop(Duration::from_secs(20)), Some(0), "{}", server.log());
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
}

/// What the metrics say of traces: sent, dropped, spans rejected, requests that failed.
fn counts(server: &Callbox) -> [f64; 4] {
    let scrape = Scrape::of(&Admin::of(server.folder()).get("/metrics"));
    [
        "callbox_traces_sent_total",
        "callbox_traces_dropped_total",
        "callbox_trace_spans_rejected_total",
        "callbox_trace_failures_total",
    ]
    .map(|name| scrape.value(name, &[]))
}

/// Waits until the metrics say just this. What is counted never falls, so what came meanwhile is a failure.
fn wait_for_counts(server: &Callbox, expected: [f64; 4]) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let now = counts(server);
        if now == expected {
            return;
        }
        let past = now.iter().zip(&expected).any(|(now, expected)| now > expected);
        assert!(
            !past && Instant::now() < until,
            "{now:?}, not {expected:?}:\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn metrics_tell_what_became_of_traces() {
    let calls = |server: &Callbox, count: usize| {
        let mut phone = server.phone();
        for _ in 0..count {
            let mut call = phone.connect("100");
            phone.hang_up(&mut call);
        }
    };
    // Asked again and again, each time after a longer wait: these two take longest and run beside the others.
    let (busy, asked) = collector("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    let busy = setup(busy, "").start();
    calls(&busy, 1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = setup(silent.local_addr().unwrap(), "").start();
    calls(&hanging, 1);

    let (taking, _documents) = collector(OK);
    let server = setup(taking, "").start();
    assert_eq!(counts(&server), [0.0; 4]);
    calls(&server, 7);
    wait_for_counts(&server, [7.0, 0.0, 0.0, 0.0]);

    // Each batch would have spans of its own refused: one batch.
    let partial = "{\"partialSuccess\":{\"rejectedSpans\":\"2\"}}";
    let partial = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{partial}",
        partial.len()
    );
    let (choosy, _documents) = collector(partial.leak());
    let server = setup(choosy, "").start();
    calls(&server, 1);
    wait_for_counts(&server, [1.0, 0.0, 2.0, 0.0]);

    // What is refused is not sent again.
    let (refusing, _documents) = collector("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    let server = setup(refusing, "").start();
    calls(&server, 5);
    wait_for_counts(&server, [0.0, 5.0, 0.0, 0.0]);

    // No word within the time of a request: a failure, nothing lost yet, and calls go on.
    let until = Instant::now() + Duration::from_secs(40);
    let failed = loop {
        let now = counts(&hanging);
        if now[3] > 0.0 || Instant::now() > until {
            break now;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(failed[3] > 0.0 && failed[..3] == [0.0; 3], "{failed:?}");
    calls(&hanging, 1);
    // Tried five times, then lost.
    wait_for_counts(&busy, [0.0, 1.0, 0.0, 5.0]);
    assert_eq!(asked.try_iter().count(), 5);
}
