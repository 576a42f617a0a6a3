//! Calls one number after the other until somebody answers, and takes that call through what one can do with it: hold, resume,
//! an INFO, digits, and the end.
//!
//! Configuration: `dest`, the numbers with spaces between; `ring`, the seconds for each (10); `late = "yes"` to let the called
//! party make the offer; `redirects = "follow"`; `username` and `password` where the way there asks for them, or
//! `credential`, the operator's name for them; `trunk`, the way there; `stay`, the milliseconds before the end (0), in which the
//! called party may hang up. The call that starts it is left alone.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Answer, Body, Call, Error, MakeCall, Result, info, sdp, session};

callbox_sdk::flow!(callout);

const SOON: Duration = Duration::from_secs(10);

fn callout(_caller: Call) -> Result {
    // One leg for all: an attempt that failed leaves it free for the next.
    let call = Call::new();
    for dest in conf("dest").split_whitespace() {
        match place(&call, dest) {
            Ok(()) => {
                talk(&call)?;
                break;
            }
            Err(error) => info!("not answered: {error}"),
        }
        tell_progress(&call);
    }
    Ok(())
}

fn conf(key: &str) -> String {
    session::config(key).unwrap_or_default()
}

fn is(key: &str, value: &str) -> bool {
    session::config(key).as_deref() == Some(value)
}

fn place(call: &Call, dest: &str) -> Result {
    let mut how = MakeCall::to(dest).timeout(Duration::from_secs(conf("ring").parse().unwrap_or(10)));
    let late = is("late", "yes");
    if !late {
        how = how.offer(sdp::offer());
    }
    if is("redirects", "follow") {
        how = how.follow_redirects();
    }
    if let Some(username) = session::config("username") {
        how = how.credentials(username, conf("password"));
    }
    if let Some(name) = session::config("credential") {
        how = how.credential_name(name);
    }
    if let Some(name) = session::config("trunk") {
        how = how.trunk(name);
    }
    let answer = call.make_call(how)?;
    info!("answered with {}", answer.status.code);
    if late {
        // The offer came with the 200; our answer goes with the ACK.
        let session = sdp::answer_to(call).ok_or(Error::Protocol("no offer to answer".into()))?;
        call.answer(Answer::new(session))?;
        info!("answered their offer");
    }
    tell_progress(call);
    Ok(())
}

/// What came before the answer.
fn tell_progress(call: &Call) {
    while let Ok(event) = events::next_from(&[call], Duration::ZERO) {
        match event.kind {
            EventKind::Progress(progress) => info!(
                "progress: {}{}{}",
                progress.status.code,
                if progress.body.is_some() {
                    " with a session"
                } else {
                    ""
                },
                if progress.reliable { ", reliable" } else { "" },
            ),
            other => info!("event: {other:?}"),
        }
    }
}

fn talk(call: &Call) -> Result {
    info!("hold: {:?}", call.hold());
    info!("resume: {:?}", call.resume());
    match call.send_info(&Body::new("text/plain", "how are you"), SOON)? {
        Some(response) => info!(
            "info: {} {}",
            response.status.code,
            response.body.map(|body| body.text()).unwrap_or_default()
        ),
        None => info!("info: sent"),
    }
    let (length, gap) = (Duration::from_millis(100), Duration::from_millis(100));
    info!("digits: {:?}", call.send_dtmf("1#", length, gap));

    let stay = Duration::from_millis(conf("stay").parse().unwrap_or(0));
    match call.wait_for_hang_up_within(stay) {
        Ok(end) => info!("they ended it: {end}"),
        Err(_) => info!("we end it: {:?}", call.hang_up()),
    }
    Ok(())
}
