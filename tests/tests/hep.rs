//! The HEP mirror, from outside: every message of a call arrives at a collector, and a collector that is not there harms
//! nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callbox_tests::phone::{Call, Phone, SOON};
use callbox_tests::server::Setup;
use callbox_tests::{flows, net};

/// One message as the collector has it.
#[derive(Debug)]
struct Copy {
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
    at: Duration,
    correlation: String,
    message: String,
}

struct Collector(UdpSocket);

impl Collector {
    fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self(socket)
    }

    fn setup(&self) -> Setup {
        let lines = format!(
            "[hep]\nto = \"udp:{}\"\ncapture_id = 77\npassword = \"secret\"",
            self.0.local_addr().unwrap()
        );
        Setup::new().flow("100", "hello").lines(&lines)
    }

    /// The messages of a call, once there are so many; a moment later there must not be more.
    fn of(&self, call: &Call, count: usize) -> Vec<Copy> {
        let (mut copies, until) = (Vec::new(), Instant::now() + SOON);
        let mut quiet = false;
        while copies.len() < count || !quiet {
            assert!(Instant::now() < until, "{} of {count}: {copies:#?}", copies.len());
            let mut packet = vec![0; 65_536];
            quiet = match self.0.recv(&mut packet) {
                Ok(length) => {
                    let copy = read(&packet[..length]);
                    if copy.correlation == call.id {
                        copies.push(copy);
                    }
                    false
                }
                Err(_) => true,
            };
        }
        assert_eq!(copies.len(), count, "{copies:#?}");
        copies
    }
}

/// Reads a packet in which no chunk may be missing, twice there, or unknown.
fn read(packet: &[u8]) -> Copy {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(number(4)), packet.len());
    let mut chunks = HashMap::new();
    let mut at = 6;
    while at < packet.len() {
        let end = at + usize::from(number(at + 4));
        assert_eq!(number(at), 0, "the generic vendor");
        let twice = chunks.insert(number(at + 2), packet[at + 6..end].to_vec());
        assert_eq!(twice, None);
        at = end;
    }
    let mut take = |kind| chunks.remove(&kind).unwrap_or_else(|| panic!("no chunk {kind}"));
    let family = take(1);
    let mut addresses = |kinds: [u16; 2]| kinds.map(&mut take);
    let [from, to]: [IpAddr; 2] = match family[..] {
        [2] => addresses([3, 4]).map(|it| <[u8; 4]>::try_from(it).unwrap().into()),
        [10] => addresses([5, 6]).map(|it| <[u8; 16]>::try_from(it).unwrap().into()),
        _ => panic!("{family:?} is no family"),
    };
    let [from_port, to_port] = [7, 8].map(|kind| u16::from_be_bytes(take(kind).try_into().unwrap()));
    let [seconds, micros] = [9, 10].map(|kind| u32::from_be_bytes(take(kind).try_into().unwrap()));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let copy = Copy {
        protocol: take(2)[0],
        from: SocketAddr::new(from, from_port),
        to: SocketAddr::new(to, to_port),
        at: Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into()),
        correlation: text(take(17)),
        message: text(take(15)),
    };
    assert_eq!(take(11), [1], "SIP");
    assert_eq!(take(12), 77u32.to_be_bytes());
    assert_eq!(take(14), b"secret");
    assert!(chunks.is_empty(), "{chunks:?}");
    copy
}

/// A whole call. What the phone sent, but for the ACK, and what came.
fn call(phone: &mut Phone) -> (Call, [String; 2], Vec<String>) {
    let mut came = Vec::new();
    let mut call = phone.invite("100");
    let ok = loop {
        let message = phone.receive_of(&call, SOON).expect("the call is answered");
        came.push(message.text().to_owned());
        if message.status() == Some(200) {
            break message;
        }
    };
    phone.ack(&mut call, &ok);
    let bye = phone.bye(&mut call);
    let ok = phone.receive_of(&call, SOON).expect("the BYE is answered");
    came.push(ok.text().to_owned());
    let sent = [call.invite.clone(), bye];
    (call, sent, came)
}

fn every_message_arrives(collector: &Collector, phone: &mut Phone, server: SocketAddr, protocol: u8) {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (call, [invite, bye], came) = call(phone);
    let copies = collector.of(&call, 3 + came.len());
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (sent, received): (Vec<&Copy>, Vec<&Copy>) = copies.iter().partition(|copy| copy.from == server);
    for copy in &copies {
        assert_eq!(copy.protocol, protocol);
        assert!((before..after).contains(&copy.at), "{copy:?}");
    }
    assert!(sent.iter().all(|copy| copy.to == phone.address()), "{sent:#?}");
    let there = |copy: &&Copy| (copy.from, copy.to) == (phone.address(), server);
    assert!(received.iter().all(there), "{received:#?}");
    let messages: Vec<&str> = sent.iter().map(|copy| copy.message.as_str()).collect();
    assert_eq!(messages, came);
    let messages: Vec<&str> = received.iter().map(|copy| copy.message.as_str()).collect();
    let [first, ack, last] = messages[..] else {
        panic!("{messages:#?}")
    };
    assert_eq!((first, last), (invite.as_str(), bye.as_str()));
    assert!(
        ack.starts_with("ACK sip:") && ack.contains("CSeq: 1 ACK"),
        "{ack}"
    );
}

#[test]
fn every_message_of_a_call_arrives_with_its_addresses_over_udp_and_tcp() {
    let collector = Collector::open();
    let server = collector.setup().start();
    every_message_arrives(&collector, &mut server.phone(), server.address(), 17);
    every_message_arrives(&collector, &mut Phone::tcp(server.address()), server.address(), 6);
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn and_over_ipv6() {
    let Some(address) = net::free_ipv6_port() else {
        eprintln!("no IPv6 here");
        return;
    };
    let collector = Collector::open();
    let setup = collector.setup();
    let _server = setup
        .listen(&format!("udp:{address}"))
        .listen(&format!("tcp:{address}"))
        .start();
    every_message_arrives(&collector, &mut Phone::udp(address), address, 17);
    every_message_arrives(&collector, &mut Phone::tcp(address), address, 6);
}

#[test]
fn the_calls_of_a_flow_are_copied_too() {
    let collector = Collector::open();
    let setup = collector.setup();
    let mut callee = Phone::udp(setup.address());
    let config = format!("config.dest = \"sip:bob@{}\"", callee.address());
    let server = setup
        .tenant_flow("house", "go", &flows::example("bridge"), &config)
        .dial("house", &["127.0.0.0/8"])
        .start();
    let mut phone = server.phone();
    let mut caller = phone.invite("go");
    let invite = callee.next_request("INVITE", |_| true);
    callee.respond_with(&invite, "486 Busy Here", "");
    let ack = callee.next_request("ACK", |_| true);
    let refused = phone.final_response(&caller, "INVITE");
    assert_eq!(refused.status(), Some(486));
    phone.ack(&mut caller, &refused);
    let mut call = caller.clone();
    call.id = invite.header("Call-ID").to_owned();
    let copies = collector.of(&call, 3);
    let [first, answer, last] = &copies[..] else {
        panic!("{copies:#?}")
    };
    assert_eq!((&*first.message, &*last.message), (invite.text(), ack.text()));
    assert_eq!((first.from, first.to), (server.address(), callee.address()));
    assert_eq!((answer.from, answer.to), (callee.address(), server.address()));
    assert!(answer.message.starts_with("SIP/2.0 486 "), "{answer:?}");
}

#[test]
fn a_collector_that_is_dead_harms_no_call_and_is_told_once_a_power_of_two() {
    let collector = Collector::open();
    let setup = collector.setup();
    drop(collector);
    let server = setup.start();
    let mut phone = server.phone();
    for _ in 0..10 {
        call(&mut phone);
    }
    server.wait_for_log(&["dropped=1", "HEP collector"], SOON);
    let told = server.log().matches("HEP collector").count();
    assert!((2..10).contains(&told), "{told} lines:\n{}", server.log());
}
