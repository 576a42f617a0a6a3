//! A menu. Asks for a digit, three times at most, and goes where it leads.

use std::time::Duration;

use callbox_sdk::{Body, Call, Gather, GatherOutcome, Result, info, sdp, session};

callbox_sdk::flow!(menu);

const TRIES: u32 = 3;

fn menu(call: Call) -> Result {
    let Some(answer) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.ring()?;
    call.answer(answer)?;

    for attempt in 1..=TRIES {
        let choice = call.gather(
            Gather::length(1)
                .first_digit(Duration::from_secs(10))
                .total(Duration::from_secs(10)),
        )?;
        if choice.outcome == GatherOutcome::HungUp {
            return Ok(());
        }
        match choice.digits.as_str() {
            "1" => return opening_hours(&call),
            "2" => return account(&call),
            "0" => return operator(&call),
            "" => info!("try {attempt} of {TRIES}: nothing pressed"),
            // What callers type does not belong into a log: it may be a number, a code, a PIN.
            _ => info!("try {attempt} of {TRIES}: no such choice"),
        }
    }
    call.hang_up_because("no choice made")
}

/// Nothing to ask: the text comes from the flow's configuration.
fn opening_hours(call: &Call) -> Result {
    let hours = session::config("opening-hours").unwrap_or_else(|| "unknown".into());
    info!("opening hours: {hours}");
    call.post_info(&Body::new("text/plain", hours))?;
    call.hang_up()
}

/// A number of up to ten digits, ended with `#`.
fn account(call: &Call) -> Result {
    let number = call.gather(
        Gather::until("#")
            .first_digit(Duration::from_secs(10))
            .inter_digit(Duration::from_secs(5))
            .max_digits(10),
    )?;
    match number.matched() {
        Some("") | None => call.hang_up_because("no account number"),
        Some(digits) => {
            info!("account number of {} digits", digits.len());
            session::set_cdr_field("account", digits).ok();
            call.hang_up()
        }
    }
}

/// Nobody is there to take over, so the caller is told and decides when to go.
fn operator(call: &Call) -> Result {
    info!("waits for the operator");
    call.wait_for_hang_up_within(Duration::from_secs(60)).ok();
    call.hang_up()
}
