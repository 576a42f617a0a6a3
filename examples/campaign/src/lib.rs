//! A job that calls many people, each in a session of its own.
//!
//! Argument: `people`, SIP URIs between spaces. The sessions that it starts are runs of the same flow with other arguments:
//! `person`, whom to call, and `boss`, whom to tell. Three people are called each second.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Args, Body, Call, Error, MakeCall, Result, info, session};

callbox_sdk::job!(campaign);

fn campaign(args: Body) -> Result<String> {
    let args = Args::of(&args)?;
    match (args.get("person"), args.get("boss")) {
        (Some(person), Some(boss)) => call(person, boss),
        _ => gather(args.get("people").unwrap_or_default()),
    }
}

/// Starts a session for each person and waits for what they say.
fn gather(people: &str) -> Result<String> {
    let boss = session::id();
    let mut expected = 0;
    for (position, person) in people.split_whitespace().enumerate() {
        let args = Args::default().with("person", person).with("boss", &*boss);
        let after = Duration::from_secs(position as u64 / 3);
        let started = session::spawn("campaign", &args.body(), after)?;
        info!("session {started} is for {person}");
        expected += 1;
    }
    let mut results = Vec::new();
    while results.len() < expected {
        if let EventKind::External(result) = events::next_within(Duration::from_secs(120))?.kind {
            results.push(result.text());
        }
    }
    results.sort();
    let report = results.join("\n");
    info!("campaign over: {}", results.join(", "));
    Ok(report)
}

fn call(person: &str, boss: &str) -> Result<String> {
    let call = Call::new();
    let outcome = match call.make_call(MakeCall::to(person).timeout(Duration::from_secs(20))) {
        Ok(_) => "answered".to_owned(),
        Err(Error::Rejected(status)) => format!("{} {}", status.code, status.reason),
        Err(error) => error.to_string(),
    };
    session::set_cdr_field("person", person)?;
    session::set_cdr_field("outcome", &outcome)?;
    session::send(boss, &Body::plain(format!("{person}: {outcome}")))?;
    Ok(outcome)
}
