//! The page's example of `reoffer`, line by line: calls, offers again and hangs up.
//!
//! A job. Configuration: `dest`.

use callbox_sdk::seed::{MakeCall, Reoffer, SipCall};
use callbox_sdk::{Body, Result, info, session};

callbox_sdk::job!(reoffer);

fn reoffer(_args: Body) -> Result {
    let dest = session::config("dest").unwrap_or_default();

    info!("Hello World!");

    let c = SipCall::new();

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

    c.makecall(MakeCall::dest(dest).timeout(15).sdp(localoffer))?;
    c.reoffer(Reoffer::sdp(localoffer).timeout(15))?;
    c.hangup()
}
