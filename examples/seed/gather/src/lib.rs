//! The page's example of `gatherdigits`, line by line: calls, and gathers digits until one is followed by `#`.
//!
//! A job. Configuration: `dest`.

use callbox_sdk::seed::{GatherDigits, MakeCall, SipCall, code};
use callbox_sdk::{Body, Result, info, session};

callbox_sdk::job!(gather);

fn gather(_args: Body) -> Result {
    let dest = session::config("dest").unwrap_or_default();

    let caller = SipCall::new();

    let localoffer = "v=0
o=ivrworx 123456 654321 IN IP4 10.0.0.1
s=A conversation
c=IN IP4 10.0.0.1
t=0 0
m=audio 6000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000/1
a=rtpmap:8 PCMA/8000/1
a=rtpmap:101 telephone-event/8000/1
a=fmtp:101 0-11

";

    caller.makecall(MakeCall::dest(dest).timeout(15).sdp(localoffer))?;
    let (res, dtmf) = caller.gatherdigits(GatherDigits::pattern("%d#").timeout(15));
    info!("{}=ressignal={dtmf}", code(&res));
    Ok(())
}
