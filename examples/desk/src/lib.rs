//! A job: registers where it is told to, and takes calls one after the other.
//!
//! Arguments, or else configuration: `service`, whose calls to take; or `registrar`, `username` and `password`, and then the
//! calls to that registration; `calls`, how many (1), and `wait`, for how many seconds each (60). Reports how many came.

use std::time::Duration;

use callbox_sdk::{Args, Body, Call, Register, Result, info, sdp, session};

callbox_sdk::job!(desk);

fn desk(args: Body) -> Result<String> {
    let args = Args::of(&args)?;
    let told = |key: &str| args.get(key).map(str::to_owned).or_else(|| session::config(key));
    let number = |key: &str, default| told(key).and_then(|text| text.parse().ok()).unwrap_or(default);

    let registration = match told("registrar") {
        Some(registrar) => {
            let register = Register::at(registrar).credentials(
                told("username").unwrap_or_default(),
                told("password").unwrap_or_default(),
            );
            Some(register.start()?)
        }
        None => None,
    };
    let service = told("service").or_else(|| told("registrar")).unwrap_or_default();

    let mut taken = 0;
    while taken < number("calls", 1) {
        let call = Call::new();
        match call.accept(&service, Duration::from_secs(number("wait", 60))) {
            Ok(()) => taken += 1,
            Err(error) if error.is_timeout() => break,
            Err(error) => return Err(error),
        }
        info!(
            "call {taken} on leg {}: {} calls {}",
            call.id(),
            call.ani(),
            call.dnis()
        );
        let ended = match sdp::answer_to(&call) {
            Some(answer) => call
                .answer(answer)
                .and_then(|()| call.wait_for_hang_up())
                .map(drop),
            None => call.reject(488),
        };
        // A caller who gives up is no reason to leave the desk.
        if let Err(error) = ended {
            info!("call {taken}: {error}");
        }
    }
    if let Some(registration) = registration {
        registration.unregister(Duration::from_secs(5))?;
    }
    Ok(format!("calls: {taken}"))
}
