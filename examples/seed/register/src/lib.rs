//! The page's example of `startregister`, line by line: registers, and calls in that name.
//!
//! Addresses and secrets come from the flow's configuration: `registrar`, `username`, `password`, `realm`, `dest`, and
//! `stay`, the milliseconds at the end (the page's 10 000 by default). The call that starts it is left alone.

use callbox_sdk::seed::{MakeCall, SipCall, StartRegister, code, sleep};
use callbox_sdk::{Call, Result, info, session};

callbox_sdk::flow!(register);

fn register(_caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();

    let mut c1 = SipCall::new();

    let res = c1.startregister(
        StartRegister::registrar(conf("registrar"))
            .username(conf("username"))
            .password(conf("password"))
            .realm(conf("realm"))
            .timeout(15),
    );

    info!("c1:startregister res = {} {res:?}", code(&res));
    res?;

    let res = c1.makecall(MakeCall::dest(conf("dest")));
    info!("c1:makecall res = {} {res:?}", code(&res));
    res?;

    sleep(conf("stay").parse().unwrap_or(10_000));
    Ok(())
}
