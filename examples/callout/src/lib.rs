//! Calls a number and takes the call through what one can do with it: hold, resume, an INFO, digits, and the end.
//!
//! Configuration: `dest`; `username` and `password` where the way there asks for them; `stay`, the milliseconds before the end
//! (0), in which the called party may hang up. The call that starts it is left alone.

use std::time::Duration;

use callbox_sdk::{Body, Call, MakeCall, Result, info, sdp, session};

callbox_sdk::flow!(callout);

const SOON: Duration = Duration::from_secs(10);

fn callout(_caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();
    let call = Call::new();
    let mut how = MakeCall::to(conf("dest")).offer(sdp::offer()).timeout(SOON);
    if let Some(username) = session::config("username") {
        how = how.credentials(username, conf("password"));
    }
    match call.make_call(how) {
        Ok(answer) => info!("answered with {}", answer.status.code),
        Err(error) => {
            info!("not answered: {error}");
            return Ok(());
        }
    }
    info!("hold: {:?}", call.hold());
    info!("resume: {:?}", call.resume());
    match call.send_info(&Body::new("text/plain", "how are you"), SOON)? {
        Some(response) => info!("info: {}", response.status.code),
        None => info!("info: sent"),
    }
    info!(
        "digits: {:?}",
        call.send_dtmf("1#", Duration::from_millis(100), Duration::from_millis(100))
    );

    let stay = Duration::from_millis(conf("stay").parse().unwrap_or(0));
    match call.wait_for_hang_up_within(stay) {
        Ok(end) => info!("they ended it: {end}"),
        Err(_) => info!("we end it: {:?}", call.hang_up()),
    }
    Ok(())
}
