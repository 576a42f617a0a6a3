//! The page's example of `subscribe` and `waitfornotify`, line by line: registers, subscribes to presence, logs the first
//! NOTIFY.
//!
//! Addresses and secrets come from the flow's configuration: `registrar`, `server`, `username`, `password`, `realm`. The
//! call that starts it is left alone.

use callbox_sdk::seed::{SipCall, StartRegister, Subscribe, WaitForNotify, code};
use callbox_sdk::{Call, Result, info, session};

callbox_sdk::flow!(presence);

fn presence(_caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();

    info!("=== START ===");

    // registration session to receive events upon
    let mut r = SipCall::new();
    r.startregister(
        StartRegister::registrar(conf("registrar"))
            .username(conf("username"))
            .password(conf("password"))
            .realm(conf("realm"))
            .timeout(15),
    )?;

    let mut s = SipCall::new();
    let res = s.subscribe(
        Subscribe::server(conf("server"))
            .package("presence")
            .user(conf("username"))
            .password(conf("password"))
            .realm(conf("realm"))
            .interval(60)
            .refresh(180)
            .timeout(300),
    );
    info!("s:subscribe res = {} {res:?}", code(&res));
    res?;

    let (x, y, z) = s.waitfornotify(WaitForNotify::timeout(15));

    info!("{} {y}", code(&x));
    info!("{z}");

    info!("=== END ===");
    Ok(())
}
