//! Poison in every string: what the host cannot write as one field it does not write.

use std::time::{Duration, Instant};

use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::Phone;

use crate::{Stage, setup, trick};

/// Lines of the head that the flow would have written.
fn forged(message: &Message) -> Option<&str> {
    let head = message.text().split("\r\n\r\n").next().unwrap_or_default();
    head.split(['\r', '\n', '\0'])
        .find(|line| line.trim_start().starts_with("X-Evil"))
        .or_else(|| {
            let empty_line_in_head =
                message.body().contains("BYE sip:x") && message.header("Content-Length") == "0";
            empty_line_in_head.then_some("a request of the flow's own")
        })
}

#[test]
fn nothing_is_written_into_messages() {
    for name in ["crlf", "lf", "cr", "nul", "fold", "unicode", "quotes"] {
        let setup = setup();
        let mut peer = Phone::udp(setup.address());
        let to = format!("sip:peer@{}", peer.address());
        let host = peer.address().ip().to_string();
        let setup = setup.dial("umbrella", &[&host]).tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("inject"),
            &trick(name, &[("to", &to)]),
        );
        let mut stage = Stage::of(setup);
        let ending = std::thread::scope(|scope| {
            let outgoing = scope.spawn(|| {
                // All that the flow sends to the peer, until nothing comes any more.
                let mut messages = Vec::new();
                let deadline = Instant::now() + Duration::from_secs(60);
                while Instant::now() < deadline
                    && let Some(message) = peer.receive(Duration::from_secs(8))
                {
                    if message.method().is_some_and(|method| method != "ACK") {
                        peer.respond(&message, "486 Busy Here");
                    }
                    messages.push(message);
                }
                messages
            });
            let mut ending = stage.call_with(|phone, _, message| {
                if matches!(message.method(), Some("INFO" | "MESSAGE" | "REFER")) {
                    phone.respond(message, "488 Not Acceptable Here");
                }
            });
            ending.messages.extend(outgoing.join().unwrap());
            ending
        });
        assert!(ending.messages.iter().any(|it| it.method() == Some("BYE")));
        for message in &ending.messages {
            assert_eq!(forged(message), None, "{name}: {message:?}");
        }
        stage.told(&["done"]);
        stage.is_booked(&[]);
        let log = stage.server.log();
        for line in log.lines().filter(|line| line.contains("through ")) {
            println!(
                "{name}: {}",
                line.split_once("through ").map_or("", |(_, rest)| rest)
            );
        }
        assert!(
            !log.lines().any(|line| line.starts_with("X-Evil")),
            "{name}: a line of the log is the flow's"
        );
        stage.unharmed();
    }
}
