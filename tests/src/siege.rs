//! Tenants that take all they may have, all of it at once: for what other tenants notice of them.
//!
//! `umbrella` is at the bounds of what flows do, `pinkerton` at those of its calls, its CPU and the calls it places: a tenant
//! that had all of them could not come near some for the others. Entry types: [`Siege`], the tenants with the phones that call them
//! and are called by them; [`Bounds`], how often each bound was hit.
//!
//! Deliberately not here: what the others notice.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::message::Message;
use crate::phone::{Call, Phone};
use crate::server::Setup;
use crate::{callee, flows};

/// Between two calls to a tenant: 50 a second.
const EVERY: Duration = Duration::from_millis(20);
/// Calls of which the caller presses keys: nobody reads them.
const PRESSED: usize = 8;

/// `umbrella`'s flows: crate and trick.
pub const FLOWS: [(&str, &str); 26] = [
    ("loop", ""),
    ("compute", "host-calls"),
    ("compute", "answers"),
    ("compute", "drip"),
    ("compute", "bulk"),
    ("pattern", "regex-again"),
    ("pattern", "lua"),
    ("memory-bomb", ""),
    ("deep-recursion", ""),
    ("huge-string", ""),
    ("lists", "again"),
    ("handles", ""),
    ("log-flood", ""),
    ("panic", ""),
    ("flood", "timers"),
    ("flood", "events"),
    ("flood", "rings"),
    ("flood", "infos"),
    ("flood", "posts"),
    ("flood", "spawns"),
    ("flood", "legs"),
    ("flood", "dials"),
    ("flood", "registers"),
    ("flood", "subscribes"),
    ("wait-for-ever", "sleep"),
    ("inject", "crlf"),
];
/// `pinkerton`'s.
const SPENDERS: [(&str, &str); 4] = [
    ("loop", ""),
    ("wait-for-ever", "sleep"),
    ("busy", ""),
    ("flood", "dials"),
];

/// The job that `umbrella`'s flows start: it starts itself.
const JOB: &str = "bomb";
/// What `umbrella` may have: little enough to be hit by what its flows do in a second or two.
const OF_UMBRELLA: [(&str, u64); 14] = [
    ("memory_max_bytes", MEMORY),
    ("legs_max", 60),
    ("sends_rate", 500),
    ("registrations_max", 4),
    ("subscriptions_max", 4),
    ("timers_max", 64),
    ("events_max", 32),
    ("posts_rate", 100),
    ("spawned_max", 8),
    ("spawns_rate", 10),
    ("spawns_burst", 10),
    ("delayed_jobs_max", 8),
    ("log_rate", 16 << 10),
    ("log_burst_bytes", 64 << 10),
];
/// What `pinkerton` may have.
const OF_PINKERTON: [(&str, u64); 7] = [
    ("calls_max", 8),
    ("calls_rate", 10),
    ("calls_burst", 10),
    ("cpu_rate", 50),
    ("cpu_burst_ms", 50),
    ("dials_rate", 2),
    ("dials_burst", 2),
];
/// Bytes of memory that all flows of `umbrella` have together.
pub const MEMORY: u64 = 128 << 20;
/// What the host itself may need for the calls of both, a good half a minute's of which it remembers (RFC 3261 §17).
pub const BOOKKEEPING: u64 = 24 << 20;

/// Two hostile tenants, with a server to be.
pub struct Siege {
    callee: Phone,
}

impl Siege {
    /// Adds them to a server.
    pub fn lay(mut setup: Setup) -> (Self, Setup) {
        let callee = Phone::udp(setup.address());
        let to = format!("sip:victim@{}", callee.address());
        let host = callee.address().ip().to_string();
        setup = setup.dial("umbrella", &[&host]).dial("pinkerton", &[&host]).job(
            "umbrella",
            JOB,
            &flows::example("spawn-bomb"),
            "",
        );
        for (number, (name, trick)) in FLOWS.iter().enumerate() {
            let to = if *trick == "spawns" { JOB } else { &to };
            setup = flow(setup, "umbrella", number, name, trick, to);
        }
        for (number, (name, trick)) in SPENDERS.iter().enumerate() {
            setup = flow(setup, "pinkerton", number, name, trick, &to);
        }
        setup = limited(setup, "umbrella", &OF_UMBRELLA);
        setup = limited(setup, "pinkerton", &OF_PINKERTON);
        (Self { callee }, setup)
    }

    /// Calls each of them 50 times a second until `done`, their flows in turn. How many calls that were.
    pub fn run(mut self, server: SocketAddr, done: &AtomicBool) -> usize {
        std::thread::scope(|scope| {
            let umbrella = scope.spawn(|| call(server, "umbrella", FLOWS.len(), done));
            let pinkerton = scope.spawn(|| call(server, "pinkerton", SPENDERS.len(), done));
            be_called(&mut self.callee, done);
            umbrella.join().expect("a caller") + pinkerton.join().expect("a caller")
        })
    }
}

/// The user part of a flow that is called.
pub fn number(tenant: &str, flow: usize) -> String {
    format!("{tenant}{flow}")
}

fn flow(setup: Setup, tenant: &str, at: usize, name: &str, trick: &str, to: &str) -> Setup {
    let more =
        format!("auto_ring = false\nconfig = {{ trick = {trick:?}, to = {to:?}, wait_ms = \"50\" }}\n");
    setup.tenant_flow(tenant, &number(tenant, at), &flows::example(name), &more)
}

fn limited(setup: Setup, tenant: &str, limits: &[(&str, u64)]) -> Setup {
    limits.iter().fold(setup, |setup, (key, value)| {
        setup.tenant_limit(tenant, key, *value)
    })
}

/// Calls the flows of a tenant and does what a caller does: acknowledges, presses keys, answers BYE.
fn call(server: SocketAddr, tenant: &str, flows: usize, done: &AtomicBool) -> usize {
    let mut phone = Phone::udp(server);
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    let mut up: VecDeque<String> = VecDeque::new();
    let mut placed = 0;
    let mut next = Instant::now();
    while !done.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            next += EVERY;
            let call = phone.invite(&number(tenant, placed % flows));
            calls.insert(call.id.clone(), call);
            placed += 1;
            press_a_key(&mut phone, &mut calls, &mut up);
        }
        let wait = next
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let Some(message) = phone.receive(wait) else {
            continue;
        };
        if message.method().is_some_and(|method| method != "ACK") {
            phone.respond(&message, "200 OK");
        }
        if message.method() == Some("BYE") {
            calls.remove(message.header("Call-ID"));
        }
        let Some(status) = message.status().filter(|code| *code >= 200) else {
            continue;
        };
        if message.cseq_method() == "INVITE"
            && let Some(mut call) = calls.remove(message.header("Call-ID"))
        {
            phone.ack(&mut call, &message);
            if status < 300 {
                up.push_back(call.id.clone());
                calls.insert(call.id.clone(), call);
            }
        }
    }
    placed
}

/// One of the calls that are up, in turn, so that each has several.
fn press_a_key(phone: &mut Phone, calls: &mut BTreeMap<String, Call>, up: &mut VecDeque<String>) {
    let Some(id) = up.pop_front() else { return };
    if let Some(call) = calls.get_mut(&id) {
        phone.send_in_dialog(
            call,
            "INFO",
            "application/dtmf-relay",
            "Signal=5\r\nDuration=160\r\n",
        );
        up.push_back(id);
        up.truncate(PRESSED);
    }
}

/// Rings for whoever calls until that one gives up; takes registrations and subscriptions, and says nothing to who ends one.
fn be_called(phone: &mut Phone, done: &AtomicBool) {
    let mut ringing: BTreeMap<String, Message> = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        let Some(message) = phone.receive(Duration::from_millis(50)) else {
            continue;
        };
        let id = message.header("Call-ID").to_owned();
        match message.method() {
            Some("INVITE") => {
                phone.respond_with(&message, "180 Ringing", "");
                ringing.insert(id, message);
            }
            Some("CANCEL") => {
                phone.respond_with(&message, "200 OK", "");
                if let Some(invite) = ringing.remove(&id) {
                    phone.respond_with(&invite, "487 Request Terminated", "");
                }
            }
            Some("SUBSCRIBE") if !callee::is_removal(&message) => {
                callee::subscribed(phone, &message, 3_600);
                callee::send_notify(phone, &message, 1, "active;expires=3600", "");
            }
            Some("REGISTER") if !callee::is_removal(&message) => {
                callee::accept_register(phone, &message, 3_600)
            }
            Some("REGISTER" | "SUBSCRIBE" | "ACK") | None => {}
            Some(_) => phone.respond(&message, "200 OK"),
        }
    }
}

/// How often each bound of tenants was hit so far, all tenants together.
#[derive(Debug, Clone, Default)]
pub struct Bounds(BTreeMap<String, u64>);

impl Bounds {
    /// Of the server whose folder this is.
    pub fn of(folder: &Path) -> Self {
        let answer = Admin::of(folder).get("/v1/tenants");
        assert_eq!(answer.status(), 200, "{answer:#?}");
        let list: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let mut hits = BTreeMap::new();
        for tenant in list["tenants"].as_array().expect("tenants") {
            for quota in tenant["quotas"].as_array().expect("their bounds") {
                let limit = quota["limit"].as_str().expect("the row");
                *hits.entry(limit.to_owned()).or_default() += quota["hits"].as_u64().expect("a number");
            }
        }
        Self(hits)
    }

    /// Those that were hit since `before`, and those that were not.
    pub fn since(&self, before: &Self) -> (Vec<&str>, Vec<&str>) {
        let names = |wanted: bool| {
            let is_more = |limit: &String, hits: &u64| before.0.get(limit).is_none_or(|old| old < hits);
            let rows = self
                .0
                .iter()
                .filter(move |(limit, hits)| is_more(limit, hits) == wanted);
            rows.map(|(limit, _)| limit.as_str()).collect()
        };
        (names(true), names(false))
    }
}
