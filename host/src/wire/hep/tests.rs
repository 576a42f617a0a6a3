//! Packets byte for byte, and collectors that are gone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::config::Config;

const MESSAGE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nCall-ID: abc@b\r\nCSeq: 1 OPTIONS\r\n\r\n";

fn collector(on: &str) -> UdpSocket {
    let socket = UdpSocket::bind(on).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn mirror(to: SocketAddr, more: &str) -> Mirror {
    let text = format!("listen = \"udp:127.0.0.1:0\"\n[hep]\nto = \"udp:{to}\"\n{more}");
    let config = Config::parse(Path::new("callbox.toml"), &text).unwrap();
    Mirror::open(&config.hep.unwrap()).unwrap()
}

fn hop(protocol: Protocol, from: &str, to: &str) -> Hop {
    Hop {
        protocol,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        seconds: 0x6789_abcd,
        microseconds: 0x000e_1234,
    }
}

fn received(collector: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let length = collector.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// Every chunk as vendor, type and value, of a packet whose lengths are right.
fn chunks(packet: &[u8]) -> Vec<(u16, u16, Vec<u8>)> {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(number(4)), packet.len());
    let mut chunks = Vec::new();
    let mut at = 6;
    while at < packet.len() {
        let end = at + usize::from(number(at + 4));
        chunks.push((number(at), number(at + 2), packet[at + 6..end].to_vec()));
        at = end;
    }
    assert_eq!(at, packet.len());
    chunks
}

#[test]
fn a_packet_over_udp_and_ipv4_is_this_one_byte_for_byte() {
    let socket = collector("127.0.0.1:0");
    let mirror = mirror(
        socket.local_addr().unwrap(),
        "capture_id = 2001\npassword = \"pw\"",
    );
    let hop = hop(Protocol::Udp, "192.0.2.1:5060", "198.51.100.2:5080");
    mirror.send(&hop, b"abc@b", MESSAGE).unwrap();
    let mut expected = b"HEP3\x00\x00".to_vec();
    for chunk in [
        &b"\x00\x00\x00\x01\x00\x07\x02"[..],
        b"\x00\x00\x00\x02\x00\x07\x11",
        b"\x00\x00\x00\x03\x00\x0a\xc0\x00\x02\x01",
        b"\x00\x00\x00\x04\x00\x0a\xc6\x33\x64\x02",
        b"\x00\x00\x00\x07\x00\x08\x13\xc4",
        b"\x00\x00\x00\x08\x00\x08\x13\xd8",
        b"\x00\x00\x00\x09\x00\x0a\x67\x89\xab\xcd",
        b"\x00\x00\x00\x0a\x00\x0a\x00\x0e\x12\x34",
        b"\x00\x00\x00\x0b\x00\x07\x01",
        b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1",
        b"\x00\x00\x00\x0e\x00\x08pw",
        b"\x00\x00\x00\x11\x00\x0babc@b",
        b"\x00\x00\x00\x0f\x00",
        &[u8::try_from(MESSAGE.len() + 6).unwrap()],
        MESSAGE,
    ] {
        expected.extend_from_slice(chunk);
    }
    let length = u16::try_from(expected.len()).unwrap().to_be_bytes();
    expected[4..6].copy_from_slice(&length);
    assert_eq!(received(&socket), expected);
}

#[test]
fn ipv6_tcp_and_no_password() {
    let socket = collector("127.0.0.1:0");
    let mirror = mirror(socket.local_addr().unwrap(), "");
    let of = |kind: u16, value: &[u8]| (0, kind, value.to_vec());
    let (one, two) = (
        [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    );
    let hop6 = hop(Protocol::Tcp, "[2001:db8::1]:5060", "[2001:db8::2]:40000");
    mirror.send(&hop6, b"abc@b", MESSAGE).unwrap();
    let expected = vec![
        of(1, &[10]),
        of(2, &[6]),
        of(5, &one),
        of(6, &two),
        of(7, &[0x13, 0xc4]),
        of(8, &[0x9c, 0x40]),
        of(9, &[0x67, 0x89, 0xab, 0xcd]),
        of(10, &[0x00, 0x0e, 0x12, 0x34]),
        of(11, &[1]),
        of(12, &[0, 0, 0, 1]),
        of(17, b"abc@b"),
        of(15, MESSAGE),
    ];
    assert_eq!(chunks(&received(&socket)), expected);
    // A listener that is known by an IPv4 address and a peer that is not.
    let mixed = hop(Protocol::Udp, "[2001:db8::1]:1", "192.0.2.1:2");
    mirror.send(&mixed, b"abc@b", MESSAGE).unwrap();
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    let got = chunks(&received(&socket));
    assert_eq!((&got[0], &got[1]), (&of(1, &[10]), &of(2, &[17])));
    assert_eq!((&got[2], &got[3]), (&of(5, &one), &of(6, &mapped)));
}

#[test]
fn a_collector_on_ipv6_gets_the_time_of_now_and_what_has_no_call_id_is_not_copied() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        return;
    };
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mirror = mirror(socket.local_addr().unwrap(), "");
    let here: SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    mirror.copy(Protocol::Udp, here, here, b"\r\n\r\n");
    mirror.copy(Protocol::Udp, here, here, b"GET / HTTP/1.1\r\n\r\n");
    mirror.copy(Protocol::Udp, here, here, MESSAGE);
    let got = chunks(&received(&socket));
    let value = |kind| {
        let found = got.iter().find(|chunk| chunk.1 == kind).unwrap();
        u64::from(u32::from_be_bytes(found.2.clone().try_into().unwrap()))
    };
    assert!((before..before + 60).contains(&value(9)), "{}", value(9));
    assert!(value(10) < 1_000_000);
    assert_eq!(got.last().unwrap().2, MESSAGE);
    assert_eq!(mirror.counts(), (1, 0));
}

#[test]
fn what_is_too_long_is_dropped_and_the_longest_is_not() {
    let socket = collector("127.0.0.1:0");
    let mirror = mirror(
        socket.local_addr().unwrap(),
        &format!("password = {:?}", "x".repeat(256)),
    );
    let here: SocketAddr = "[::1]:5060".parse().unwrap();
    let head = "OPTIONS sip:a SIP/2.0\r\nCall-ID: abc@b\r\n\r\n".to_owned();
    // Chunks of IPv6 addresses, and the password's.
    let room = DATAGRAM_MAX - (6 + 7 + 7 + 22 + 22 + 8 + 8 + 10 + 10 + 7 + 10 + 262 + 11 + 6);
    let longest = head.clone() + &"x".repeat(room - head.len());
    mirror.copy(Protocol::Tcp, here, here, longest.as_bytes());
    assert_eq!(received(&socket).len(), DATAGRAM_MAX);
    mirror.copy(Protocol::Tcp, here, here, (longest + "x").as_bytes());
    let id = "y".repeat(65_530);
    let message = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {id}\r\n\r\n");
    mirror.copy(Protocol::Tcp, here, here, message.as_bytes());
    assert_eq!(mirror.counts(), (1, 2));
}

#[test]
fn a_collector_that_is_dead_is_counted_and_heard_of_again_when_it_is_back() {
    let socket = collector("127.0.0.1:0");
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mirror = mirror(address, "");
    let here: SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while mirror.counts().1 < 3 {
        assert!(Instant::now() < until, "{:?}", mirror.counts());
        mirror.copy(Protocol::Udp, here, here, MESSAGE);
    }
    let socket = collector(&address.to_string());
    mirror.copy(Protocol::Udp, here, here, MESSAGE);
    assert_eq!(chunks(&received(&socket)).last().unwrap().2, MESSAGE);
}
