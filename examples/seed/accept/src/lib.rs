//! The page's example of `accept`, line by line: waits for a call and answers it.
//!
//! A job: it runs without a call, and a route with `service = "sip,resip"` brings it one. What the page leaves to the
//! script's end, the hang-up, waits here for the caller.

use callbox_sdk::seed::{Accept, Answer, SipCall};
use callbox_sdk::{Body, Result, info};

callbox_sdk::job!(accept);

fn accept(_args: Body) -> Result {
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

    caller.accept(Accept::service("sip,resip").timeout(600))?;
    caller.answer(Answer::sdp(localoffer))?;

    info!("{} is talking to {}", caller.ani(), caller.dnis());
    caller.waitforhangup()?;
    Ok(())
}
