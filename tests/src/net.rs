//! Loopback addresses and ports that no other test uses.
//!
//! All of 127.0.0.0/8 is this machine, so every server gets an address of its own made from the test's process id and a
//! counter; ports need no luck. IPv6 has only `::1`, so there a free port is found by binding it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// An address of 127.0.0.0/8 that nobody else in this process, and hardly anybody on this machine, uses.
pub fn fresh_ipv4() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(
            number < 60_000,
            "more addresses were asked for than any test needs"
        );
        // 127.0.x.y stays free for people; the last octet avoids .0 and .255.
        let pid_part = (pid % 126 + 1) * 2 + (number / 250) % 2;
        let address = Ipv4Addr::new(
            127,
            pid_part as u8,
            (pid / 126 % 254 + 1) as u8,
            (number % 250 + 2) as u8,
        );
        if UdpSocket::bind((address, 5060)).is_ok() && TcpListener::bind((address, 5060)).is_ok() {
            return address;
        }
    }
}

/// A port of `::1` that was free for UDP and TCP a moment ago, or None where there is no IPv6.
pub fn free_ipv6_port() -> Option<SocketAddr> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        let address = tcp.local_addr().ok()?;
        if UdpSocket::bind(address).is_ok() {
            return Some(address);
        }
    }
    None
}

/// A port for a peer on an address that [`fresh_ipv4`] gave out: 5060 is the server's.
pub fn peer_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // SIPp takes the two ports after its own for media in some versions.
    20_000 + NEXT.fetch_add(4, Ordering::Relaxed) % 20_000
}
