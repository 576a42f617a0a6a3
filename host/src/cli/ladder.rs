//! `callbox ladder`: the messages of a call as a ladder, in text.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use super::table::plain;
use crate::admin::{Ladder as Report, Message, path};

/// Columns from one pole of the ladder to the next.
const WIDTH: usize = 34;
/// Columns of the time before it.
const TIME: usize = 12;

/// Show what was said on a call: its messages, as far as the host still knows them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox ladder 3848276298220188511@atlanta.example --config callbox.toml\n  \
    callbox ladder 6745f1b2-3 --socket .callbox/admin.sock\n\n\
    The host keeps the latest messages of all calls, limits.wire.ladder_bytes of each SIP thread."
)]
pub(super) struct Ladder {
    /// A Call-ID, or a session that is alive.
    #[arg(value_name = "CALL-ID")]
    id: String,
    #[command(flatten)]
    host: Reach,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Ladder {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let place = path(&["v1", "ladder", &self.id], &[]);
        let report: Report = self.host.ask(async |host| host.get(&place).await)?;
        let out = &mut io::stdout().lock();
        match self.json {
            true => super::json(out, &report)?,
            false => out.write_all(draw(&report.messages).as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A pole for the host, one for each peer, and an arrow a message.
fn draw(messages: &[Message]) -> String {
    let mut peers: Vec<String> = Vec::new();
    for message in messages {
        let peer = pole(message);
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let mut text = format!("{:TIME$}callbox", "");
    for peer in &peers {
        // Writing to a string does not fail.
        let _ = write!(text, "{peer:>WIDTH$}");
    }
    text.push('\n');
    let began = messages.first().map_or(0, |message| message.at_us);
    for message in messages {
        let after = message.at_us.saturating_sub(began);
        let _ = write!(text, "{:>9}.{:03} ", after / 1_000_000, after / 1_000 % 1_000);
        let to = peers.iter().position(|peer| *peer == pole(message)).unwrap_or(0) + 1;
        let arrow = arrow(message, to * WIDTH - 1);
        let beyond = "|".to_owned() + &format!("{:>WIDTH$}", "|").repeat(peers.len() - to);
        let _ = writeln!(text, "|{arrow}{beyond}");
    }
    text
}

/// Whose pole a message goes to.
fn pole(message: &Message) -> String {
    plain(&format!("{}:{}", message.protocol, message.peer))
}

/// `--- 200 OK (1 INVITE) -->`, as long as that.
fn arrow(message: &Message, length: usize) -> String {
    let label = format!(" {} ", label(message));
    let label: String = label.chars().take(length.saturating_sub(4)).collect();
    let (before, after) = if message.sent { ("-", ">") } else { ("<", "-") };
    let shown = length.saturating_sub(2);
    format!("{before}{label:-^shown$}{after}")
}

/// A request by its method and a response by its status; both with their CSeq, which says what belongs together.
fn label(message: &Message) -> String {
    let line = plain(&message.line);
    let cseq = plain(&message.cseq);
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => format!("{status} ({cseq})"),
        None => {
            let method = line.split(' ').next().unwrap_or_default();
            let number = cseq.split(' ').next().unwrap_or_default();
            format!("{method} ({number})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_where_messages_went() {
        let message = |at_us, sent, peer: &str, line: &str, cseq: &str| Message {
            at_us,
            sent,
            protocol: "udp".to_owned(),
            peer: peer.to_owned(),
            call_id: String::new(),
            line: line.to_owned(),
            cseq: cseq.to_owned(),
        };
        let drawn = draw(&[
            message(
                1_000_000,
                false,
                "192.0.2.1:5060",
                "INVITE sip:a@b SIP/2.0",
                "1 INVITE",
            ),
            message(1_002_000, true, "192.0.2.1:5060", "SIP/2.0 200 OK", "1 INVITE"),
            message(
                2_500_000,
                true,
                "192.0.2.2:5060",
                "BYE sip:\u{1b}[2J SIP/2.0",
                "2 BYE",
            ),
        ]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(
            lines,
            [
                "            callbox                udp:192.0.2.1:5060                udp:192.0.2.2:5060",
                "        0.000 |<--------- INVITE (1) -----------|                                 |",
                "        0.002 |------- 200 OK (1 INVITE) ------>|                                 |",
                "        1.500 |----------------------------- BYE (2) ---------------------------->|",
            ]
        );
    }
}
