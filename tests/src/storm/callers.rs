//! Those who call all the time, and notice which version answers them and which one ends their call.
//!
//! One thread and one socket. Entry point: [`call`]. A caller sends a request again when nothing comes, as RFC 3261 §17.1 asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::message::Message;
use crate::phone::{Call, Phone};

/// How long calls stay up, in turn: some end at once, some outlive several versions.
const HOLDS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    LONGEST,
];
/// The longest of them.
pub(super) const LONGEST: Duration = Duration::from_secs(3);
/// A request that is not answered is sent again.
const AGAIN: Duration = Duration::from_millis(500);
/// A call that has not come further for so long has failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// What is told of calls that failed.
const TOLD: usize = 10;

/// What became of all calls.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) placed: usize,
    pub(super) failed: Vec<String>,
    pub(super) strayed: Vec<String>,
    pub(super) again: usize,
    pub(super) answered: Vec<Seen>,
}

/// A call that was answered.
pub(super) struct Seen {
    pub(super) flow: &'static str,
    pub(super) mark: u64,
    pub(super) at: SystemTime,
}

struct Live {
    call: Call,
    flow: &'static str,
    hold: Duration,
    stage: Stage,
    since: Instant,
    /// What was sent last and not answered, and when.
    pending: Option<(Instant, String)>,
}

enum Stage {
    Invited,
    /// Answered with this mark.
    Up(String),
    /// The digit that ends it was sent.
    Ending(String),
}

/// Calls the flows in turn, so many times a second, until `done`; returns when all calls are over.
pub(super) fn call(server: SocketAddr, flows: &[&'static str], rate: u32, done: &AtomicBool) -> Calls {
    let mut phone = Phone::udp(server);
    let mut calls = Calls::default();
    let mut live: BTreeMap<String, Live> = BTreeMap::new();
    let every = Duration::from_secs(1) / rate;
    let mut next = Instant::now();
    let mut looked = Instant::now();
    loop {
        let ending = done.load(Ordering::Relaxed);
        if ending && live.is_empty() {
            return calls;
        }
        let now = Instant::now();
        if !ending && now >= next {
            next += every;
            let flow = flows[calls.placed % flows.len()];
            let call = phone.invite(flow);
            let one = Live {
                flow,
                hold: HOLDS[(calls.placed / flows.len()) % HOLDS.len()],
                stage: Stage::Invited,
                since: now,
                pending: Some((now, call.invite.clone())),
                call,
            };
            live.insert(one.call.id.clone(), one);
            calls.placed += 1;
        }
        if now.duration_since(looked) > Duration::from_millis(20) {
            looked = now;
            live.retain(|_, one| one.look(&mut phone, &mut calls));
        }
        let wait = next.saturating_duration_since(Instant::now());
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(20));
        let Some(message) = phone.receive(wait) else {
            continue;
        };
        let id = message.header("Call-ID").to_owned();
        match live
            .get_mut(&id)
            .map(|one| one.take(&message, &mut phone, &mut calls))
        {
            Some(true) => {}
            Some(false) => drop(live.remove(&id)),
            // A BYE that was sent again because our 200 was lost.
            None if message.method() == Some("BYE") => phone.respond(&message, "200 OK"),
            None => {}
        }
    }
}

impl Live {
    fn fail(&self, calls: &mut Calls, what: &str) -> bool {
        if calls.failed.len() < TOLD {
            calls
                .failed
                .push(format!("{} {}: {what}", self.flow, self.call.id));
        } else {
            calls.failed.push(String::new());
        }
        false
    }

    /// What time brings. False when the call is over.
    fn look(&mut self, phone: &mut Phone, calls: &mut Calls) -> bool {
        let age = self.since.elapsed();
        match &self.stage {
            Stage::Up(mark) if age >= self.hold => {
                self.stage = Stage::Ending(mark.clone());
                self.since = Instant::now();
                let digit = "Signal=1\r\nDuration=160\r\n";
                let sent = phone.send_in_dialog(&mut self.call, "INFO", "application/dtmf-relay", digit);
                self.pending = Some((self.since, sent));
            }
            Stage::Up(_) => {}
            Stage::Invited if age > PATIENCE => return self.fail(calls, "no answer"),
            Stage::Ending(_) if age > PATIENCE => return self.fail(calls, "no BYE after the digit"),
            Stage::Invited | Stage::Ending(_) => {}
        }
        if let Some((at, request)) = &mut self.pending
            && at.elapsed() > AGAIN
        {
            *at = Instant::now();
            calls.again += 1;
            phone.send(request.as_bytes());
        }
        true
    }

    /// A message of this call. False when the call is over.
    fn take(&mut self, message: &Message, phone: &mut Phone, calls: &mut Calls) -> bool {
        if message.method() == Some("BYE") {
            phone.respond(message, "200 OK");
            let ended_by = message.header("Reason");
            return match &self.stage {
                Stage::Ending(mark) if ended_by.contains(&format!("\"{mark}\"")) => false,
                Stage::Ending(mark) => {
                    let text = format!("{}: answered by {mark}, ended by {ended_by:?}", self.flow);
                    calls.strayed.push(text);
                    false
                }
                _ => self.fail(calls, &format!("a BYE that nobody asked for: {ended_by:?}")),
            };
        }
        let Some(status) = message.status() else {
            return true;
        };
        self.pending = None;
        match message.cseq_method() {
            "INVITE" if status >= 300 => {
                let response = message.clone();
                phone.ack(&mut self.call, &response);
                self.fail(calls, message.start_line())
            }
            "INVITE" if status >= 200 => {
                phone.ack(&mut self.call, message);
                if !matches!(self.stage, Stage::Invited) {
                    return true;
                }
                let mark = message.header("X-Mark").to_owned();
                let Ok(number) = mark.parse() else {
                    return self.fail(calls, &format!("a 200 without a mark: {mark:?}"));
                };
                calls.answered.push(Seen {
                    flow: self.flow,
                    mark: number,
                    at: SystemTime::now(),
                });
                self.stage = Stage::Up(mark);
                self.since = Instant::now();
                true
            }
            "INFO" if status >= 300 => self.fail(calls, message.start_line()),
            _ => true,
        }
    }
}
