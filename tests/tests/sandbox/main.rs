//! Hostile flows over real SIP: each is called, its caller gets a defined outcome, the log says in words which limit
//! fired, a second tenant's calls are answered meanwhile, and the process lives on with the memory it had.
//!
//! The flows stand in `examples/hostile`; its README has the table of tricks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod backlog;
mod besieged;
mod books;
mod compiler;
mod compute;
mod floods;
mod inject;
mod memory;
mod quota;
mod reach;
mod traps;
mod wasi;

use std::path::Path;
use std::time::{Duration, Instant};

use callbox_tests::message::Message;
use callbox_tests::phone::Phone;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::{flows, hostile, process};

/// How long a hostile flow may take to be stopped: its whole fuel is about five seconds of CPU, and the machine is shared.
const STOPPED: Duration = Duration::from_secs(60);
/// A call of the other tenant's, from INVITE to the answer to its BYE, on a machine that others use as well. What a hostile flow
/// could hold up would last for seconds.
const OTHERS: Duration = Duration::from_secs(2);
/// What the log of a hostile call must hold within this time of its end.
const TOLD: Duration = Duration::from_secs(5);
/// The memory that one call may take (`limits.plugin.memory_max_bytes`), and some for the host's own bookkeeping.
const MEMORY_KIB: u64 = (64 + 24) << 10;

/// A server with a tenant `house` whose flow `answer` behaves, and a tenant `umbrella` whose flow `hostile` does not.
struct Stage {
    server: Callbox,
    phone: Phone,
    rss_kib: u64,
}

/// How the hostile call ended for its caller.
#[derive(Debug)]
struct Ending {
    /// The final status.
    status: u16,
    /// Everything that came for this call, in order.
    messages: Vec<Message>,
}

impl Ending {
    fn requests(&self, method: &str) -> usize {
        self.messages
            .iter()
            .filter(|message| message.method() == Some(method))
            .count()
    }
}

/// The configuration of a flow that does this trick.
fn trick(name: &str, more: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = [("trick", name)]
        .iter()
        .chain(more)
        .map(|(key, value)| format!("{key} = {value:?}"))
        .collect();
    format!("auto_ring = false\nconfig = {{ {} }}\n", pairs.join(", "))
}

fn setup() -> Setup {
    Setup::new().flow("answer", "hello")
}

impl Stage {
    /// A trick of one of the crates of `examples/hostile`.
    fn trick(crate_name: &str, name: &str) -> Self {
        let file = flows::example(crate_name);
        Self::of(setup().tenant_flow("umbrella", "hostile", &file, &trick(name, &[])))
    }

    /// A flow of `examples/hostile/text`.
    fn text(name: &str) -> Self {
        Self::text_within(name, setup())
    }

    fn text_within(name: &str, setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = hostile::text(name, folder.path());
        Self::file(&file, setup)
    }

    fn file(file: &Path, setup: Setup) -> Self {
        Self::of(setup.tenant_flow("umbrella", "hostile", file, "auto_ring = false\n"))
    }

    fn of(setup: Setup) -> Self {
        let server = setup.start();
        let mut phone = server.phone();
        // The first call pays for what later ones find ready.
        let mut first = phone.connect("answer");
        phone.hang_up(&mut first);
        let rss_kib = process::rss_kib(server.pid());
        Self {
            server,
            phone,
            rss_kib,
        }
    }

    /// Calls the hostile flow and follows the call to its end; meanwhile the other tenant's calls are answered.
    fn call(&mut self) -> Ending {
        self.call_with(|_, _, _| {})
    }

    /// The same with something done to each message of the call.
    fn call_with(
        &mut self,
        mut act: impl FnMut(&mut Phone, &mut callbox_tests::phone::Call, &Message),
    ) -> Ending {
        let mut call = self.phone.invite("hostile");
        let deadline = Instant::now() + STOPPED;
        let mut status = None;
        let mut messages = Vec::new();
        loop {
            self.others_are_answered();
            while let Some(message) = self.phone.receive_of(&call, Duration::from_millis(50)) {
                let over = message.method() == Some("BYE");
                if over {
                    self.phone.respond(&message, "200 OK");
                }
                if message.cseq_method() == "INVITE"
                    && let Some(code) = message.status().filter(|code| *code >= 200)
                {
                    self.phone.ack(&mut call, &message);
                    status = Some(code);
                }
                act(&mut self.phone, &mut call, &message);
                messages.push(message);
                match status {
                    Some(status) if over || status >= 300 => {
                        self.server.assert_alive();
                        return Ending { status, messages };
                    }
                    _ => {}
                }
            }
            assert!(
                Instant::now() < deadline,
                "the call did not end within {STOPPED:?}: {messages:?}"
            );
        }
    }

    /// One call of the tenant that behaves.
    fn others_are_answered(&mut self) {
        let begun = Instant::now();
        let mut other = self.phone.connect("answer");
        self.phone.hang_up(&mut other);
        let took = begun.elapsed();
        assert!(took < OTHERS, "a call of the other tenant took {took:?}");
    }

    /// The log has a line of the tenant's with these words.
    fn told(&self, words: &[&str]) -> String {
        let all: Vec<&str> = ["umbrella"].iter().chain(words).copied().collect();
        self.server.wait_for_log(&all, TOLD)
    }

    /// Nothing is left: the process lives, answers, and has given back what the flow took.
    fn unharmed(&mut self) {
        self.others_are_answered();
        let most = self.rss_kib + MEMORY_KIB;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = process::rss_kib(self.server.pid());
            if now < most {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{} KiB before the hostile call and {now} KiB after it",
                self.rss_kib
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        self.server.assert_alive();
    }

    /// The whole of most tests: the caller gets this status, the log has these words, the books have the call, nothing is left.
    fn ends(mut self, status: u16, words: &[&str]) -> Ending {
        let ending = self.call();
        assert_eq!(ending.status, status, "{ending:?}\n{}", self.server.log());
        self.told(words);
        self.is_booked(words);
        self.unharmed();
        ending
    }
}
