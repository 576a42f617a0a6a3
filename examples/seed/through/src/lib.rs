//! The page's B2B proxy for a call that comes in: calls somebody else with the caller's offer and answers with theirs. Not
//! an example of the page itself, but what its scripts were for.
//!
//! Configuration: `dest`.

use callbox_sdk::seed::{Answer, MakeCall, SipCall};
use callbox_sdk::{Call, Result, session};

callbox_sdk::flow!(through);

fn through(caller: Call) -> Result {
    let dest = session::config("dest").unwrap_or_default();

    let leg1 = SipCall::from(caller);
    let leg2 = SipCall::new();
    leg2.makecall(MakeCall::dest(dest).sdp(leg1.remoteoffer()).timeout(15))?;
    leg1.answer(Answer::sdp(leg2.remoteoffer()))?;

    // The end of the script ends both.
    leg1.waitforhangup()?;
    Ok(())
}
