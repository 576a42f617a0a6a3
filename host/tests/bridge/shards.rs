//! Both sides of a bridge at work at once, on threads of their own: no deadlock, no leg left, nothing out of step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callbox::call::{BridgeOptions, CallState, Leg, Session};
use tokio::time::timeout;

use crate::scene::{A_WHILE, Line, sdp, session};
use crate::support::peer::{Message, Peer};
use crate::support::{Host, SOON, eventually};

/// Longer than anything here takes, on a busy machine: whoever is not done by then hangs.
const STUCK: Duration = Duration::from_secs(60);
const PAIRS: usize = 12;
const REQUESTS: u32 = 40;

/// A peer that answers whatever comes and sends as fast as it can: offers, digits, all mixed. Gives how many offers of
/// its own were accepted. It goes on answering until both peers are done.
async fn busy(mut line: Line, port: u16, done: Arc<AtomicU32>) -> (Line, u32) {
    let mut accepted = 0;
    for number in 0..REQUESTS {
        let offer = session(port, if number % 2 == 0 { "sendonly" } else { "sendrecv" });
        let sent = match number % 4 {
            0 | 1 => line.send("INVITE", sdp(&offer)).await,
            2 => line.send("UPDATE", sdp(&offer)).await,
            _ => line.send("INFO", Some(("application/dtmf", "5"))).await,
        };
        let cseq = sent.header("CSeq").to_owned();
        loop {
            let message = line.next(STUCK).await.expect("a response");
            if message.status().is_none_or(|code| code < 200) || message.header("CSeq") != cseq {
                // Now and then as strict as RFC 3261 §14.2 wants it.
                answer(&line, &message, port, number % 8 == 0).await;
                continue;
            }
            let ok = message.status() == Some(200);
            accepted += u32::from(ok && message.cseq_method() != "INFO");
            if message.cseq_method() == "INVITE" {
                match ok {
                    true => line.ack(&message, None).await,
                    false => line.in_transaction(&sent, "ACK", Some(&message)).await,
                }
            }
            break;
        }
    }
    done.fetch_add(1, Ordering::AcqRel);
    while done.load(Ordering::Acquire) < 2 {
        if let Some(message) = line.next(Duration::from_millis(20)).await {
            answer(&line, &message, port, false).await;
        }
    }
    while let Some(message) = line.next(A_WHILE).await {
        answer(&line, &message, port, false).await;
    }
    (line, accepted)
}

/// Answers a request of the host's.
async fn answer(line: &Line, message: &Message, port: u16, busy: bool) {
    let text = session(port, "sendrecv");
    match message.method() {
        Some("INVITE" | "UPDATE") if busy => line.answer(message, "491 Request Pending", None).await,
        Some("INVITE" | "UPDATE") => line.answer(message, "200 OK", sdp(&text)).await,
        Some("INFO" | "BYE" | "CANCEL") => line.answer(message, "200 OK", None).await,
        _ => {}
    }
}

/// A call from a peer, answered.
async fn talking(host: &mut Host, port: u16) -> (Session, Leg, Line) {
    let mut peer = Peer::new(host.addr()).await;
    let text = session(port, "sendrecv");
    let dialog = peer.invite("open", sdp(&text)).await;
    let (session, leg) = host.next_call().await;
    let mut line = Line::new(peer, dialog);
    let body = session.body("application/sdp", text.into_bytes()).unwrap();
    let invite = line.dialog.invite.clone();
    let (answered, ()) = tokio::join!(leg.answer(body, Vec::new(), SOON), async {
        let response = line.response(&invite).await;
        line.ack(&response, None).await;
    });
    answered.unwrap();
    (session, leg, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_peers_may_offer_and_type_at_once_on_legs_of_different_shards() {
    let mut host = Host::start();
    let mut tasks = Vec::new();
    for _ in 0..PAIRS {
        // Two calls from outside: each lives on the shard that its Call-ID leads to.
        let (flow, a, mut alice) = talking(&mut host, 4_000).await;
        let (other, b, mut bob) = talking(&mut host, 5_000).await;
        tasks.push(tokio::spawn(async move {
            let options = BridgeOptions {
                watch_digits: vec!["55#".to_owned()],
                ..BridgeOptions::default()
            };
            let (joined, (), ()) = tokio::join!(
                flow.bridge(&a, &b, &options),
                async {
                    alice.accept_reinvite(sdp(&session(4_000, "sendrecv"))).await;
                },
                async {
                    bob.accept_reinvite(sdp(&session(5_000, "sendrecv"))).await;
                }
            );
            joined.unwrap();
            let done = Arc::new(AtomicU32::new(0));
            let alices = tokio::spawn(busy(alice, 4_000, Arc::clone(&done)));
            let bobs = tokio::spawn(busy(bob, 5_000, done));
            let (mut alice, first) = alices.await.unwrap();
            let (mut bob, second) = bobs.await.unwrap();
            assert!(
                first > 0 && second > 0,
                "offers of both got through: {first}, {second}"
            );
            let both = || [&a, &b].iter().all(|leg| leg.state() == CallState::Connected);
            eventually(both).await;
            alice.ask("BYE", None).await;
            bob.expect_bye().await;
            eventually(|| b.state() == CallState::Terminated).await;
            drop((flow, other));
        }));
    }
    for task in tasks {
        timeout(STUCK, task).await.expect("stuck").unwrap();
    }
    eventually(|| host.wire.legs() == 0).await;
}
