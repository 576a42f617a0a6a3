//! The latest messages of a shard in outline, so that an operator can see what was said on a call.
//!
//! Kept: the time, the direction, the peer, the start line, the Call-ID and the CSeq; no other header and no body. Entry types:
//! [`Ladder`], one a shard, and [`Rung`]. Invariants: it never holds more than `limits.wire.ladder_bytes`; the shard never
//! waits for who reads, a message is rather left out; nothing is allocated for a message once the bound is reached.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use callbox_sip::endpoint::{Destination, Protocol};
use callbox_sip::message::peek_outline;

/// Bytes kept of a start line, of a Call-ID, of a CSeq, and of a name that was not resolved yet.
const MOST: [usize; 4] = [160, 128, 40, 64];
/// What a message costs beside its text.
const COST: usize = size_of::<Note>();

/// One message of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// By the clock.
    pub at: SystemTime,
    /// We sent it.
    pub sent: bool,
    /// By which transport.
    pub protocol: Protocol,
    /// Where from or where to: an address, or the name that was sent to.
    pub peer: String,
    /// The start line, unescaped; a long one is cut.
    pub line: String,
    /// `1 INVITE`, unescaped.
    pub cseq: String,
}

/// Where a message came from or goes.
pub(super) enum Peer<'a> {
    Addr(SocketAddr),
    Name(&'a str),
}

pub(super) struct Ladder {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    notes: VecDeque<Note>,
    /// The texts of all notes, one after the other.
    texts: VecDeque<u8>,
}

struct Note {
    at: Instant,
    sent: bool,
    protocol: Protocol,
    peer: Option<SocketAddr>,
    /// Of the start line, the Call-ID, the CSeq, the name.
    lengths: [u8; 4],
}

impl Ladder {
    /// Holds `most` bytes; 0 keeps nothing.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    /// Notes a message that came or goes.
    pub(super) fn note(&self, at: Instant, sent: bool, protocol: Protocol, peer: &Peer<'_>, message: &[u8]) {
        if self.most == 0 {
            return;
        }
        let Some(outline) = peek_outline(message) else {
            return;
        };
        // Somebody reads at this moment.
        let Ok(mut kept) = self.kept.try_lock() else {
            return;
        };
        let (peer, name) = match peer {
            Peer::Addr(address) => (Some(*address), ""),
            Peer::Name(name) => (None, *name),
        };
        let texts = [outline.start_line, outline.call_id, outline.cseq, name.as_bytes()];
        let mut lengths = [0; 4];
        let mut cost = COST;
        for ((length, text), most) in lengths.iter_mut().zip(texts).zip(MOST) {
            *length = u8::try_from(text.len().min(most)).unwrap_or(u8::MAX);
            cost += usize::from(*length);
        }
        while kept.bytes() + cost > self.most && kept.forget() {}
        for (text, length) in texts.iter().zip(lengths) {
            kept.texts
                .extend(text.get(..usize::from(length)).unwrap_or_default());
        }
        kept.notes.push_back(Note {
            at,
            sent,
            protocol,
            peer,
            lengths,
        });
    }

    /// What is still known of a call, oldest first.
    pub(super) fn of(&self, call_id: &str) -> Vec<Rung> {
        // As it was noted.
        let wanted = call_id.as_bytes();
        let wanted = wanted.get(..MOST[1]).unwrap_or(wanted);
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { notes, texts } = &mut *kept;
        let mut rest: &[u8] = texts.make_contiguous();
        let mut rungs = Vec::new();
        for note in notes {
            let [line, id, cseq, name] = note.lengths.map(|length| {
                let (text, after) = rest.split_at_checked(length.into()).unwrap_or((rest, &[]));
                rest = after;
                text
            });
            if id == wanted {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                rungs.push(Rung {
                    at: wall.checked_sub(now.duration_since(note.at)).unwrap_or(wall),
                    sent: note.sent,
                    protocol: note.protocol,
                    peer: note.peer.map_or_else(|| text(name), |peer| peer.to_string()),
                    line: text(line),
                    cseq: text(cseq),
                });
            }
        }
        rungs
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.texts.len() + self.notes.len() * COST
    }

    /// Forgets the oldest; false when there is none.
    fn forget(&mut self) -> bool {
        let Some(oldest) = self.notes.pop_front() else {
            return false;
        };
        let length: usize = oldest.lengths.iter().copied().map(usize::from).sum();
        self.texts.drain(..length.min(self.texts.len()));
        true
    }
}

impl<'a> Peer<'a> {
    pub(super) fn of(destination: &'a Destination) -> (Protocol, Self) {
        match destination {
            Destination::Path(path) => (path.protocol, Self::Addr(path.remote)),
            Destination::Addr { protocol, addr, .. } => (*protocol, Self::Addr(*addr)),
            Destination::Name { protocol, host, .. } => (*protocol, Self::Name(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(line: &str, call: &str) -> Vec<u8> {
        format!("{line}\r\nVia: x\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\nSubject: secret\r\n\r\nbody")
            .into_bytes()
    }

    #[test]
    fn a_call_is_told_in_order_and_the_oldest_is_forgotten_first() {
        let ladder = Ladder::new(4_000);
        let now = Instant::now();
        let peer = Peer::Addr("192.0.2.1:5060".parse().unwrap());
        for number in 0..100 {
            let (line, call) = (
                format!("INVITE sip:{number}@b SIP/2.0"),
                format!("c{}", number % 2),
            );
            ladder.note(now, number % 3 == 0, Protocol::Udp, &peer, &message(&line, &call));
            let kept = ladder.kept.lock().unwrap();
            assert!(kept.bytes() <= 4_000, "{}", kept.bytes());
        }
        let rungs = ladder.of("c1");
        assert!((5..50).contains(&rungs.len()), "{}", rungs.len());
        assert_eq!(rungs.last().unwrap().line, "INVITE sip:99@b SIP/2.0");
        assert!(rungs.last().unwrap().sent && rungs.last().unwrap().peer == "192.0.2.1:5060");
        assert!(rungs.iter().all(|rung| rung.cseq == "1 INVITE"));
        assert!(ladder.of("c2").is_empty());
    }

    #[test]
    fn who_reads_holds_nobody_up_and_what_is_long_is_cut() {
        let ladder = Ladder::new(4_000);
        let long = "x".repeat(5_000);
        let line = format!("INVITE sip:{long} SIP/2.0");
        let reads = ladder.kept.lock().unwrap();
        ladder.note(
            Instant::now(),
            true,
            Protocol::Tcp,
            &Peer::Name("a.example"),
            &message(&line, &long),
        );
        drop(reads);
        assert!(ladder.of(&long).is_empty(), "left out");
        ladder.note(
            Instant::now(),
            true,
            Protocol::Tcp,
            &Peer::Name("a.example"),
            &message(&line, &long),
        );
        let rungs = ladder.of(&long);
        assert_eq!(rungs.len(), 1);
        let rung = rungs.first().unwrap();
        assert_eq!((rung.peer.as_str(), rung.line.len()), ("a.example", MOST[0]));
        let off = Ladder::new(0);
        off.note(
            Instant::now(),
            true,
            Protocol::Udp,
            &Peer::Name("a"),
            &message("BYE sip:a SIP/2.0", "c"),
        );
        assert!(off.of("c").is_empty());
    }
}
