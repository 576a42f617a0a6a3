//! The page's second example of `makecall`, line by line: calls a first party without an offer, a second one with the first
//! one's offer, and answers the first with what the second said. Then, which the page leaves out, they talk.
//!
//! Addresses come from the flow's configuration: `first` and `second`. The call that starts it is left alone.

use callbox_sdk::seed::{Answer, MakeCall, SipCall, code};
use callbox_sdk::{BridgeOptions, Call, Result, bridge, info, session};

callbox_sdk::flow!(b2b);

fn b2b(_caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();

    let leg1 = SipCall::new();
    let leg2 = SipCall::new();

    let res = leg1.makecall(MakeCall::dest(conf("first")).timeout(15));
    info!("leg1:makecall res = {}", code(&res));
    res?;
    let res = leg2.makecall(MakeCall::dest(conf("second")).sdp(leg1.remoteoffer()).timeout(15));
    info!("leg2:makecall res = {}", code(&res));
    res?;

    leg1.answer(Answer::sdp(leg2.remoteoffer()))?;

    // Each has the other's session already: joining sends nothing, and the end of one is the end of the other.
    bridge(leg1.call(), leg2.call(), BridgeOptions::new())?;
    info!("joined");
    let end = leg1.waitforhangup()?;
    info!("over: {end}");
    Ok(())
}
