//! The wire with real sockets, a real endpoint, and a core that answers every call with 486.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    // These tests are threads of their own beside the shards: nothing else waits for them.
    clippy::disallowed_methods
)]

mod tls;

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbox_sip::endpoint::{
    AddressFilter, Destination, Endpoint, EndpointConfig, Event, InviteRequest, LegEvent, PartyAddress,
    Protocol, shard_of,
};

use super::*;
use crate::config::limits::WireLimits;

const PATIENCE: Duration = Duration::from_secs(5);

/// What the cores of a wire saw, and what they shall do.
#[derive(Clone, Default)]
struct Notes {
    incoming: Arc<Mutex<Vec<(u16, String)>>>,
    ended: Arc<Mutex<Vec<String>>>,
    to_call: Arc<Mutex<Vec<InviteRequest>>>,
    wakers: Arc<Mutex<Vec<ShardWaker>>>,
}

struct Probe {
    index: u16,
    notes: Notes,
}

impl ShardCore for Probe {
    fn woken(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for request in self.notes.to_call.lock().unwrap().drain(..) {
            endpoint.invite(now, request).unwrap();
        }
    }

    fn event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::Incoming { leg, request, .. } => {
                let call_id = String::from_utf8_lossy(request.call_id().unwrap()).into_owned();
                self.notes.incoming.lock().unwrap().push((self.index, call_id));
                let _ = endpoint.reject(now, leg, 486, None, &[]);
            }
            Event::Leg {
                event: LegEvent::Ended(ended),
                ..
            } => {
                self.notes.ended.lock().unwrap().push(format!("{:?}", ended.why));
            }
            Event::Leg { .. } => {}
            Event::Registration { .. } | Event::Subscription { .. } => {}
        }
    }
}

struct Under {
    wire: Wire,
    notes: Notes,
}

impl Under {
    fn at(&self, index: usize) -> SocketAddr {
        self.wire.listeners().nth(index).unwrap().local
    }

    fn call(&self, to: Destination) {
        self.notes.to_call.lock().unwrap().push(InviteRequest {
            uri: "sip:x@callee.invalid".to_owned(),
            from: PartyAddress::default(),
            to: None,
            next_hop: Some(to),
            headers: Vec::new(),
            body: None,
            credentials: Vec::new(),
            contact_user: None,
            timeout: PATIENCE,
        });
        self.notes.wakers.lock().unwrap()[0].wake();
    }
}

fn wire(listen: &[&str], limits: WireLimits) -> Under {
    wire_with(listen, limits, None)
}

fn wire_with(listen: &[&str], limits: WireLimits, tls: Option<crate::config::Tls>) -> Under {
    let notes = Notes::default();
    let config = WireConfig {
        listen: listen.iter().map(|listen| listen.parse().unwrap()).collect(),
        tls,
        limits,
        hep: None,
        endpoint: EndpointConfig::default(),
    };
    let wire = start(config, |index, waker| {
        notes.wakers.lock().unwrap().push(waker);
        Probe {
            index: index.0,
            notes: notes.clone(),
        }
    })
    .unwrap();
    Under { wire, notes }
}

fn limits() -> WireLimits {
    WireLimits {
        shards: 1,
        ..WireLimits::default()
    }
}

fn message(method: &str, via: &str, call_id: &str, more: &str) -> String {
    format!(
        "{method} sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
         From: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:b@127.0.0.1:9>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn options(call_id: &str) -> String {
    message("OPTIONS", "TCP client.invalid", call_id, "")
}

fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn udp(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads until so many final responses to `OPTIONS` have come.
fn responses(stream: &mut TcpStream, wanted: usize) -> String {
    let mut text = String::new();
    let mut buffer = [0; 65_536];
    while text.matches("SIP/2.0 200").count() < wanted || !text.ends_with("\r\n\r\n") {
        let length = stream
            .read(&mut buffer)
            .unwrap_or_else(|error| panic!("no answer: {error}; so far: {text}"));
        assert!(length > 0, "closed after {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

/// True when the peer closes within our patience.
fn closes(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_datagram_is_answered_to_where_it_came_from() {
    let under = wire(&["udp:127.0.0.1:0", "udp:[::1]:0"], limits());
    for (index, local) in [(0, "127.0.0.1:0"), (1, "[::1]:0")] {
        let socket = udp(local);
        let invite = message(
            "INVITE",
            "UDP other.invalid:9;rport",
            &format!("rport{index}"),
            "",
        );
        socket.send_to(invite.as_bytes(), under.at(index)).unwrap();
        let (answer, from) = receive(&socket);
        assert!(answer.starts_with("SIP/2.0 486"), "{answer}");
        let own = socket.local_addr().unwrap();
        assert!(answer.contains(&format!("rport={}", own.port())), "{answer}");
        assert!(answer.contains(&format!("received={}", own.ip())), "{answer}");
        assert_eq!(
            from,
            under.at(index),
            "the answer must leave by the socket that the request came to"
        );
    }
    under.wire.shutdown();
}

#[test]
fn keep_alives_of_datagrams_are_dropped_without_a_word() {
    let under = wire(&["udp:127.0.0.1:0"], limits());
    let socket = udp("127.0.0.1:0");
    for keep_alive in [&b""[..], b"\0", b"\r\n\r\n"] {
        socket.send_to(keep_alive, under.at(0)).unwrap();
    }
    socket
        .send_to(options("after").replace("TCP", "UDP").as_bytes(), under.at(0))
        .unwrap();
    // Sent to port 5060 of the name in Via, so nothing comes back here; the count says that it was read.
    eventually("four datagrams", || {
        (under.wire.stats().datagrams_in == 4).then_some(())
    });
    under.wire.shutdown();
}

#[test]
fn a_message_may_come_cut_at_any_byte() {
    let under = wire(&["tcp:127.0.0.1:0"], limits());
    let mut stream = connect(under.at(0));
    let whole = message("OPTIONS", "TCP client.invalid", "cut", "Subject: y\r\n");
    for cut in 1..whole.len() {
        let text = whole.replace("cut", &format!("cut{cut}"));
        let (head, tail) = text.split_at(cut);
        stream.write_all(head.as_bytes()).unwrap();
        if cut % 16 == 0 {
            // Now and then long enough that the halves surely arrive apart.
            std::thread::sleep(Duration::from_millis(2));
        }
        stream.write_all(tail.as_bytes()).unwrap();
        let answer = responses(&mut stream, 1);
        assert!(
            answer.contains(&format!("z9hG4bKcut{cut}")),
            "cut at {cut}: {answer}"
        );
    }
    assert_eq!(under.wire.stats().stream_messages_in, whole.len() as u64 - 1);
    assert_eq!(under.wire.connections(), 1);
    under.wire.shutdown();
}

#[test]
fn one_segment_may_hold_many_messages_and_keep_alives() {
    let under = wire(&["tcp:[::1]:0"], limits());
    let mut stream = connect(under.at(0));
    let mut segment = String::from("\r\n\r\n");
    for index in 0..20 {
        segment.push_str(&options(&format!("many{index}")));
    }
    stream.write_all(segment.as_bytes()).unwrap();
    let answers = responses(&mut stream, 20);
    assert!(
        answers.starts_with("\r\nSIP/2.0 200"),
        "CRLFCRLF is answered with CRLF (RFC 5626): {answers}"
    );
    for index in 0..20 {
        assert!(
            answers.contains(&format!("Call-ID: many{index}\r\n")),
            "{index}: {answers}"
        );
    }
    under.wire.shutdown();
}

#[test]
fn what_is_no_sip_is_answered_where_it_can_be_and_closed() {
    let under = wire(&["tcp:127.0.0.1:0"], limits());
    let mut stream = connect(under.at(0));
    let request = options("nolength").replace("Content-Length: 0\r\n", "");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("SIP/2.0 400 "), "{answer}");
    assert!(answer.contains("Call-ID: nolength\r\n"), "{answer}");
    eventually("the count", || {
        (under.wire.stats().framing_closed == 1).then_some(())
    });
    eventually("the end of the connection", || {
        (under.wire.connections() == 0).then_some(())
    });
    under.wire.shutdown();
}

#[test]
fn slow_connections_are_closed() {
    let under = wire(
        &["tcp:127.0.0.1:0"],
        WireLimits {
            tcp_message_ms: 300,
            tcp_first_message_ms: 600,
            tcp_idle_ms: 60_000,
            ..limits()
        },
    );
    let mut silent = connect(under.at(0));
    let mut pinging = connect(under.at(0));
    let mut slow = connect(under.at(0));
    let mut good = connect(under.at(0));
    good.write_all(options("good").as_bytes()).unwrap();
    responses(&mut good, 1);

    let begun = Instant::now();
    let text = options("slow");
    let mut sent = text.bytes();
    let end = loop {
        // A byte now and then must not keep the message alive, nor pings the connection.
        if slow.write_all(&[sent.next().unwrap()]).is_err() {
            break begun.elapsed();
        }
        let _ = pinging.write_all(b"\r\n\r\n");
        std::thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < PATIENCE, "the slow connection is still open");
    };
    assert!(end >= Duration::from_millis(280), "{end:?}");
    assert!(closes(&mut silent) && closes(&mut slow));
    assert!(closes(&mut pinging));
    good.write_all(options("good2").as_bytes()).unwrap();
    responses(&mut good, 1);
    assert_eq!(under.wire.stats().slow_closed, 3);
    under.wire.shutdown();
}

#[test]
fn idle_connections_are_given_back() {
    let under = wire(
        &["tcp:127.0.0.1:0"],
        WireLimits {
            tcp_idle_ms: 1_000,
            ..limits()
        },
    );
    let mut stream = connect(under.at(0));
    stream.write_all(options("idle").as_bytes()).unwrap();
    responses(&mut stream, 1);
    let quiet = Instant::now();
    assert!(closes(&mut stream));
    assert!(quiet.elapsed() >= Duration::from_millis(950));
    assert_eq!(under.wire.stats().idle_closed, 1);
    under.wire.shutdown();
}

#[test]
fn a_peer_that_does_not_read_is_closed_and_the_others_live() {
    let under = wire(
        &["tcp:127.0.0.1:0"],
        WireLimits {
            tcp_write_queue_bytes: 65_536,
            ..limits()
        },
    );
    let deaf = connect(under.at(0));
    socket2::SockRef::from(&deaf).set_recv_buffer_size(4_096).unwrap();
    deaf.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let padding = "p".repeat(4_000);
    let mut sender = deaf.try_clone().unwrap();
    // The answers echo Call-ID, so they are as long as the requests.
    let writer = std::thread::spawn(move || {
        (0..20_000).any(|index| {
            sender
                .write_all(options(&format!("{padding}{index}")).as_bytes())
                .is_err()
        })
    });
    assert!(writer.join().unwrap(), "the connection was never closed");
    eventually("the count", || {
        (under.wire.stats().write_queue_closed >= 1).then_some(())
    });
    let mut other = connect(under.at(0));
    other.write_all(options("other").as_bytes()).unwrap();
    responses(&mut other, 1);
    drop(deaf);
    under.wire.shutdown();
}

#[test]
fn connections_of_one_source_are_bounded() {
    let under = wire(
        &["tcp:127.0.0.1:0"],
        WireLimits {
            connections_per_source_max: 3,
            ..limits()
        },
    );
    let mut kept: Vec<TcpStream> = (0..3)
        .map(|index| {
            let mut stream = connect(under.at(0));
            stream
                .write_all(options(&format!("kept{index}")).as_bytes())
                .unwrap();
            responses(&mut stream, 1);
            stream
        })
        .collect();
    assert!(closes(&mut connect(under.at(0))));
    assert_eq!((under.wire.stats().refused, under.wire.connections()), (1, 3));
    kept.pop();
    eventually("room for one", || (under.wire.connections() == 2).then_some(()));
    let mut again = connect(under.at(0));
    again.write_all(options("again").as_bytes()).unwrap();
    responses(&mut again, 1);
    under.wire.shutdown();
}

#[test]
fn each_call_lives_on_the_shard_of_its_call_id() {
    let under = wire(
        &["udp:127.0.0.1:0", "tcp:127.0.0.1:0"],
        WireLimits {
            shards: 4,
            ..limits()
        },
    );
    let socket = udp("127.0.0.1:0");
    let mut stream = connect(under.at(1));
    let mut wanted = HashSet::new();
    for index in 0..40 {
        let call_id = format!("shard{index}");
        if index % 2 == 0 {
            socket
                .send_to(
                    message("INVITE", "UDP x;rport", &call_id, "").as_bytes(),
                    under.at(0),
                )
                .unwrap();
            assert!(receive(&socket).0.contains(&format!("Call-ID: {call_id}\r\n")));
        } else {
            stream
                .write_all(message("INVITE", "TCP x", &call_id, "").as_bytes())
                .unwrap();
        }
        wanted.insert((shard_of(call_id.as_bytes(), 4), call_id));
    }
    let seen = eventually("forty calls", || {
        let seen = under.notes.incoming.lock().unwrap();
        (seen.len() >= 40).then(|| seen.iter().cloned().collect::<HashSet<_>>())
    });
    assert_eq!(seen, wanted);
    assert_eq!(
        seen.iter().map(|(shard, _)| shard).collect::<HashSet<_>>().len(),
        4
    );
    under.wire.shutdown();
}

#[test]
fn connections_are_opened_and_reused() {
    let under = wire(&["tcp:127.0.0.1:0"], limits());
    let callee = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = callee.local_addr().unwrap();
    under.call(Destination::Addr {
        protocol: Protocol::Tcp,
        addr,
        listener: None,
        filter: None,
    });
    let (mut first, _) = callee.accept().unwrap();
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    under.call(Destination::Addr {
        protocol: Protocol::Tcp,
        addr,
        listener: None,
        filter: None,
    });
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while text.matches("INVITE sip:x@callee.invalid").count() < 2 {
        let length = first.read(&mut buffer).unwrap();
        assert!(length > 0);
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert_eq!((under.wire.connections(), under.wire.stats().connected), (1, 1));
    drop(first);
    eventually("the end of both calls", || {
        (under.notes.ended.lock().unwrap().len() == 2).then_some(())
    });
    under.wire.shutdown();
}

#[test]
fn a_dead_port_fails_a_call_at_once() {
    let under = wire(&["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0"], limits());
    let dead = |local: &str| UdpSocket::bind(local).unwrap().local_addr().unwrap();
    for (protocol, local) in [
        (Protocol::Tcp, "127.0.0.1:0"),
        (Protocol::Udp, "127.0.0.1:0"),
        (Protocol::Udp, "[::1]:0"),
    ] {
        let begun = Instant::now();
        under.call(Destination::Addr {
            protocol,
            addr: dead(local),
            listener: None,
            filter: None,
        });
        let end = eventually("the end of the call", || under.notes.ended.lock().unwrap().pop());
        assert!(end.starts_with("Transport"), "{protocol:?} {local}: {end}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{protocol:?} {local}");
    }
    assert_eq!(under.wire.stats().unreachable, 2);
    under.wire.shutdown();
}

#[test]
fn one_dead_destination_does_not_disturb_the_others() {
    let under = wire(&["udp:127.0.0.1:0"], limits());
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = udp("127.0.0.1:0");
    for index in 0..50 {
        under.call(Destination::Addr {
            protocol: Protocol::Udp,
            addr: dead,
            listener: None,
            filter: None,
        });
        socket
            .send_to(
                message("INVITE", "UDP x;rport", &format!("live{index}"), "").as_bytes(),
                under.at(0),
            )
            .unwrap();
        assert!(receive(&socket).0.starts_with("SIP/2.0 486"), "{index}");
        // Stops the retransmissions of the 486, so that the next answer is to the next call.
        socket
            .send_to(
                message("ACK", "UDP x;rport", &format!("live{index}"), "").as_bytes(),
                under.at(0),
            )
            .unwrap();
    }
    under.wire.shutdown();
}

#[test]
fn names_are_looked_up() {
    let under = wire(&["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], limits());
    let callee = udp("127.0.0.1:0");
    let name = |host: &str, protocol, port| Destination::Name {
        protocol,
        host: host.into(),
        port,
        listener: None,
        filter: None,
    };
    let port = Some(callee.local_addr().unwrap().port());
    under.call(name("localhost", Protocol::Udp, port));
    assert!(receive(&callee).0.starts_with("INVITE sip:x@callee.invalid"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    under.call(name(
        "LocalHost",
        Protocol::Tcp,
        Some(listener.local_addr().unwrap().port()),
    ));
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 6];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"INVITE");
    assert_eq!(
        under.wire.stats().lookups,
        1,
        "the second call found the name in the cache"
    );
    under.call(name("no-such-host.invalid", Protocol::Udp, None));
    let end = eventually("the end of the call", || under.notes.ended.lock().unwrap().pop());
    assert!(end.contains("Unresolved"), "{end}");
    let filter = AddressFilter::new(|address| !address.is_loopback());
    under.call(
        name("localhost", Protocol::Udp, port)
            .under(Some(&filter))
            .unwrap(),
    );
    let end = eventually("the end of the call", || under.notes.ended.lock().unwrap().pop());
    assert!(end.contains("Forbidden"), "{end}");
    under.wire.shutdown();
}

#[test]
fn a_port_in_use_says_which_and_what_to_do() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = format!("udp:{}", taken.local_addr().unwrap());
    let config = WireConfig {
        listen: vec![listen.parse().unwrap()],
        tls: None,
        limits: limits(),
        hep: None,
        endpoint: EndpointConfig::default(),
    };
    let notes = Notes::default();
    let error = start(config, |index, _| Probe {
        index: index.0,
        notes: notes.clone(),
    })
    .err()
    .unwrap()
    .to_string();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        error,
        format!(
            "cannot listen on {listen}: port {port} is in use by another program; stop it (`ss -ulpn sport = :{port}` \
             shows which) or listen on another port"
        )
    );
}

#[test]
fn a_listener_on_every_address_tells_peers_one_that_works() {
    let under = wire(
        &["udp:0.0.0.0:0 as 127.0.0.1", "tcp:0.0.0.0:0 as 127.0.0.1:5099"],
        limits(),
    );
    let bound: Vec<Bound> = under.wire.listeners().copied().collect();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(
        bound[0].advertised,
        SocketAddr::new(loopback, bound[0].local.port())
    );
    assert_eq!(bound[1].advertised, SocketAddr::new(loopback, 5_099));
    let socket = udp("127.0.0.1:0");
    let to = SocketAddr::new(loopback, bound[0].local.port());
    socket
        .send_to(message("INVITE", "UDP x;rport", "any", "").as_bytes(), to)
        .unwrap();
    assert!(receive(&socket).0.starts_with("SIP/2.0 486"));
    under.wire.shutdown();
}

#[test]
fn after_shutdown_the_ports_are_free() {
    let under = wire(
        &["udp:127.0.0.1:0", "tcp:127.0.0.1:0"],
        WireLimits {
            shards: 2,
            ..limits()
        },
    );
    let (udp_at, tcp_at) = (under.at(0), under.at(1));
    let mut stream = connect(tcp_at);
    under.wire.shutdown();
    assert!(closes(&mut stream));
    UdpSocket::bind(udp_at).unwrap();
    assert!(TcpStream::connect(tcp_at).is_err());
}
