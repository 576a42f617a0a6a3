//! Sampling, OTLP, and collectors of every temper.

// `sleep`: a test waits on a thread of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods)]
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn trace(session: &str) -> Box<Trace> {
    let mut span = Span {
        name: "call".into(),
        kind: SpanKind::Server,
        start_ns: 1_700_000_000_000_000_001,
        end_ns: 1_700_000_000_000_000_002,
        attributes: Vec::new(),
        events: vec![("answered", 1_700_000_000_000_000_001)],
        error: None,
    };
    let mut child = span.clone();
    child.name = "leg".into();
    child.kind = SpanKind::Client;
    child.error = Some("503".to_owned());
    child.text("sip.call_id", &"ü".repeat(200));
    span.number("callbox.fuel", u64::MAX);
    Box::new(Trace {
        session: session.to_owned(),
        spans: vec![span, child],
    })
}

fn bounds() -> Bounds {
    Bounds {
        queue: 4_096,
        batch: 128,
        batch_wait: Duration::from_secs(1),
        request_wait: Duration::from_secs(10),
        tries: 5,
        retry_after_max: Duration::from_secs(60),
        answer_max_bytes: 65_536,
    }
}

fn settings(to: SocketAddr) -> Settings {
    Settings {
        endpoint: Endpoint {
            authority: to.to_string(),
            path: "/v1/traces".to_owned(),
        },
        service: "edge".to_owned(),
        sampler: Sampler::new(WHOLE, 0),
        include_numbers: false,
        bounds: bounds(),
    }
}

/// Reads one request whole and answers it.
fn answer(mut stream: TcpStream, with: &str) -> (String, Value) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                stream.write_all(with.as_bytes()).unwrap();
                return (head.to_owned(), serde_json::from_str(body).unwrap());
            }
        }
        let size = stream.read(&mut buffer).unwrap();
        assert!(size > 0, "{text}");
        bytes.extend_from_slice(&buffer[..size]);
    }
}

/// A collector that gives these answers, one a request.
fn collector(answers: &'static [&'static str]) -> (SocketAddr, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, requests) = mpsc::sync_channel(100);
    std::thread::spawn(move || {
        for with in answers {
            let (stream, _) = listener.accept().unwrap();
            if send.send(answer(stream, with)).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn until(tracer: &Tracer, what: impl Fn(Counts) -> bool) {
    let end = Instant::now() + SOON;
    while !what(tracer.counts()) {
        assert!(Instant::now() < end, "{:?}", tracer.counts());
        std::thread::yield_now();
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn a_share_of_sessions_is_traced_and_every_asker_hears_the_same() {
    let names: Vec<String> = (0..20_000).map(|number| format!("19ab-{number:x}")).collect();
    let count = |calls, host_calls| {
        let sampler = Sampler::new(calls, host_calls);
        let taken: Vec<&String> = names.iter().filter(|name| sampler.takes(name)).collect();
        let again = sampler.clone();
        assert!(taken.iter().all(|name| again.takes(name)));
        let hosts: Vec<_> = names.iter().filter(|name| again.takes_host_calls(name)).collect();
        assert!(hosts.iter().all(|name| sampler.takes(name)));
        (taken.len(), hosts.len())
    };
    assert_eq!(count(WHOLE, WHOLE), (20_000, 20_000));
    assert_eq!(count(0, WHOLE), (0, 0));
    assert_eq!(count(WHOLE, 0), (20_000, 0));
    let (calls, host_calls) = count(WHOLE / 10, WHOLE / 2);
    assert!((1_600..2_400).contains(&calls), "{calls}");
    assert!((700..1_300).contains(&host_calls), "{host_calls}");
}

#[test]
fn a_trace_is_a_document_of_otlp() {
    let (address, requests) = collector(&[OK]);
    let (tracer, exporter) = start(settings(address)).unwrap();
    tracer.keep(trace("one"));
    tracer.keep(trace("other"));
    let (head, document) = requests.recv_timeout(SOON).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let resource = &document["resourceSpans"][0];
    let name = &resource["resource"]["attributes"][0];
    assert_eq!(
        (&name["key"], &name["value"]["stringValue"]),
        (&"service.name".into(), &"edge".into())
    );
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 4);
    let hex = |value: &Value, length| {
        let text = value.as_str().unwrap();
        text.len() == length
            && text.bytes().all(|it| it.is_ascii_hexdigit())
            && text.bytes().any(|it| it != b'0')
    };
    for span in spans {
        assert!(hex(&span["traceId"], 32) && hex(&span["spanId"], 16), "{span}");
        assert_eq!(span["startTimeUnixNano"], "1700000000000000001");
    }
    let (root, leg) = (&spans[0], &spans[1]);
    assert_eq!(
        (&root["parentSpanId"], &root["kind"], &root["status"]),
        (&"".into(), &2.into(), &serde_json::json!({}))
    );
    assert_eq!(root["attributes"][0]["value"]["intValue"], u64::MAX.to_string());
    assert_eq!(
        (&leg["parentSpanId"], &leg["traceId"]),
        (&root["spanId"], &root["traceId"])
    );
    assert_eq!((&leg["kind"], &leg["status"]["code"]), (&3.into(), &2.into()));
    assert_eq!(leg["attributes"][0]["value"]["stringValue"], "ü".repeat(128));
    assert_ne!(spans[2]["traceId"], root["traceId"]);
    until(&tracer, |counts| counts.sent == 2);
    exporter.stop(SOON);
}

#[test]
fn a_busy_collector_is_asked_again_a_refusing_one_is_not() {
    let (address, requests) = collector(&[
        "HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"1\"}}",
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        OK,
    ]);
    let (tracer, exporter) = start(settings(address)).unwrap();
    tracer.keep(trace("first"));
    let first = requests.recv_timeout(SOON).unwrap();
    assert_eq!(requests.recv_timeout(SOON).unwrap().1, first.1, "the same again");
    until(&tracer, |counts| counts.rejected_spans == 1);
    tracer.keep(trace("second"));
    until(&tracer, |counts| counts.dropped == 1);
    tracer.keep(trace("third"));
    // What waits is sent when the host stops.
    exporter.stop(SOON);
    let counts = Counts {
        sent: 2,
        dropped: 1,
        rejected_spans: 1,
        failures: 1,
    };
    assert_eq!(tracer.counts(), counts);
}

#[test]
fn a_collector_that_says_nothing_or_is_not_there_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for to in [silent.local_addr().unwrap(), dead] {
        let (tracer, exporter) = start(settings(to)).unwrap();
        let began = Instant::now();
        for number in 0..2 * bounds().queue {
            tracer.keep(trace(&number.to_string()));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(tracer.counts().dropped > 1_000, "{:?}", tracer.counts());
        let began = Instant::now();
        exporter.stop(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn what_waits_and_how_long_for_is_bounded_as_it_is_told() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(silent.local_addr().unwrap());
    settings.bounds = Bounds {
        queue: 16,
        batch: 1,
        batch_wait: Duration::ZERO,
        request_wait: Duration::from_millis(50),
        tries: 1,
        ..bounds()
    };
    let (tracer, exporter) = start(settings).unwrap();
    for number in 0..100 {
        tracer.keep(trace(&number.to_string()));
    }
    // Sixteen wait, and a few are being tried; each is given up after one request.
    let dropped = tracer.counts().dropped;
    assert!((75..=84).contains(&dropped), "{dropped}");
    let until = Instant::now() + SOON;
    while tracer.counts().dropped < 100 {
        assert!(Instant::now() < until, "{:?}", tracer.counts());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(tracer.counts().failures, 100 - dropped);
    exporter.stop(SOON);
}
