//! Connects the caller with the party under `dest` of its configuration, and sleeps while they talk: what one sends within the
//! call the host gives to the other. `**` from either is for this flow: the other is put on hold; `**` again joins them anew.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{BridgeOptions, Call, Error, MakeCall, Result, info, session, unbridge};

callbox_sdk::flow!(connect);

/// What either party types to be alone, and to be together again.
const CODE: &str = "**";

fn connect(caller: Call) -> Result {
    let Some(dest) = session::config("dest") else {
        return caller.reject(404);
    };
    let callee = Call::new();
    let mut how = MakeCall::to(dest).timeout(Duration::from_secs(30));
    // A caller that makes no offer gets the callee's.
    if let Some(offer) = caller.remote_offer() {
        how = how.offer(offer);
    }
    callee.dial(how)?;
    if !answered(&caller)? {
        return Ok(());
    }
    let Some(theirs) = callee.remote_offer() else {
        return caller.reject(488);
    };
    caller.answer(theirs)?;
    join(&caller, &callee)?;
    talk(&caller, &callee)
}

/// Waits for the callee's answer; false when there will be none, and the caller knows.
fn answered(caller: &Call) -> Result<bool> {
    loop {
        let event = events::next()?;
        match event.kind {
            EventKind::Progress(progress) => {
                caller.progress(progress.status.code, progress.body.as_ref(), &[])?;
            }
            EventKind::Answered(_) => return Ok(true),
            EventKind::Failed(error) => {
                let code = match error {
                    Error::Rejected(status) if status.code >= 400 => status.code,
                    _ => 480,
                };
                caller.reject(code)?;
                return Ok(false);
            }
            // The caller gave up. Dropping the other leg cancels it.
            EventKind::HungUp(_) if event.source == caller.id() => return Ok(false),
            _ => {}
        }
    }
}

fn join(caller: &Call, callee: &Call) -> Result {
    callbox_sdk::bridge(caller, callee, BridgeOptions::new().watch_digits(CODE))?;
    info!("joined");
    Ok(())
}

fn talk(caller: &Call, callee: &Call) -> Result {
    let mut joined = true;
    let mut typed = String::new();
    loop {
        let event = events::next()?;
        match event.kind {
            EventKind::Dtmf(dtmf) => typed.push(dtmf.digit),
            // The host has hung up the other, or it is hung up now that this flow ends.
            EventKind::HungUp(why) => {
                info!("hung up: {why}");
                return Ok(());
            }
            _ => {}
        }
        if !typed.ends_with(CODE) {
            continue;
        }
        typed.clear();
        if joined {
            unbridge(caller)?;
            let other = if event.source == caller.id() {
                callee
            } else {
                caller
            };
            other.hold()?;
            info!("parted by call {}", event.source);
        } else {
            // Joining makes a new session of both, which ends the hold.
            join(caller, callee)?;
        }
        joined = !joined;
    }
}
