//! Makes the host send, store or remember without end, in the way that `trick` names. `to` is where it may call, `wait_ms` how
//! long it waits for a registrar or notifier: with none it lets go of what has not begun, otherwise of what stands.

use std::time::Duration;

use callbox_sdk::{Body, Call, Error, MakeCall, Register, Subscribe, events, info, sdp, session};

callbox_sdk::flow!(flood);

fn flood(call: Call) {
    let trick = session::config("trick").unwrap_or_default();
    let to = session::config("to").unwrap_or_default();
    let wait = session::config("wait_ms").and_then(|ms| ms.parse().ok());
    let wait = Duration::from_millis(wait.unwrap_or_default());
    match trick.as_str() {
        "timers" => timers(),
        "events" => events_to_itself(),
        "rings" => tell("rings", repeat(|| call.ring())),
        "dials" => tell("dials", repeat(|| dial_and_forget(&to))),
        "legs" => legs(&to),
        "registers" => tell("registers", repeat(|| register(&to, wait))),
        "subscribes" => tell("subscribes", repeat(|| subscribe(&to, wait))),
        "posts" => tell("posts", repeat(post_to_itself)),
        // `to` is a flow of its tenant that is a job.
        "spawns" => {
            let mut later = false;
            tell("spawns", repeat(|| spawn(&to, &mut later)));
        }
        "infos" => {
            if let Some(answer) = sdp::answer_to(&call) {
                call.answer(answer).ok();
            }
            tell("infos", repeat(|| call.post_info(&note())));
        }
        other => panic!("no trick {other:?}"),
    }
}

/// Does it again and again, refusals or not, for about a second. The first refusal is kept; that nobody answers is none.
fn repeat(mut act: impl FnMut() -> Result<(), Error>) -> (u32, Option<Error>) {
    let (mut done, mut refused) = (0u32, None);
    let begun = session::remaining().time;
    while begun.saturating_sub(session::remaining().time) < Duration::from_secs(1) && done < 1_000_000 {
        match act() {
            Ok(()) => done = done.saturating_add(1),
            Err(Error::Denied(denial)) => {
                refused.get_or_insert(Error::Denied(denial));
                session::sleep(Duration::from_millis(1));
            }
            Err(_) => {}
        }
    }
    (done, refused)
}

fn tell(what: &str, (done, refused): (u32, Option<Error>)) {
    match refused {
        Some(error) => info!("{what}: {done} done, refused: {error}"),
        None => info!("{what}: {done} done, none refused"),
    }
}

fn dial_and_forget(to: &str) -> Result<(), Error> {
    let leg = Call::new();
    leg.dial(MakeCall::to(to).offer(sdp::offer()))
}

/// More legs than a session may have, all of them alive.
fn legs(to: &str) {
    let mut held = Vec::new();
    loop {
        let leg = Call::new();
        if let Err(error) = leg.dial(MakeCall::to(to)) {
            info!("legs: {} held, refused: {error}", held.len());
            break;
        }
        held.push(leg);
    }
}

fn register(to: &str, wait: Duration) -> Result<(), Error> {
    Register::at(to).timeout(wait).start().map(drop)
}

fn subscribe(to: &str, wait: Duration) -> Result<(), Error> {
    Subscribe::to(to, "presence").timeout(wait).start().map(drop)
}

/// Read at once, so that it is never the mailbox that is full.
fn post_to_itself() -> Result<(), Error> {
    let sent = session::send(&session::id(), &note());
    while events::poll().is_some() {}
    sent
}

/// One for now, the next one for later.
fn spawn(flow: &str, later: &mut bool) -> Result<(), Error> {
    *later = !*later;
    let after = Duration::from_secs(if *later { 3_600 } else { 0 });
    session::spawn(flow, &note(), after).map(drop)
}

fn note() -> Body {
    Body {
        content_type: "text/plain".into(),
        data: vec![b'x'; 1_000],
    }
}

fn timers() {
    for id in 0..10_000 {
        events::set_timer(id, Duration::from_secs(3_600));
    }
    match events::next_within(Duration::ZERO) {
        Ok(event) => info!("timers: {:?}", event.kind),
        Err(error) => info!("timers: {error}"),
    }
}

/// Each event sets the timer of the next one: the flow never computes for long and never ends.
fn events_to_itself() {
    events::set_timer(0, Duration::ZERO);
    loop {
        let _ = events::next();
        for id in 0..64 {
            events::set_timer(id, Duration::ZERO);
        }
    }
}
