//! The page's example of `blindxfer`, line by line: calls, and asks the peer to call somebody else.
//!
//! A job. Configuration: `dest`, and `xfer`, whom the peer shall call.

use callbox_sdk::seed::{BlindXfer, MakeCall, SipCall};
use callbox_sdk::{Body, Result, session};

callbox_sdk::job!(blindxfer);

fn blindxfer(_args: Body) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();

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

    caller.makecall(MakeCall::dest(conf("dest")).timeout(15).sdp(localoffer))?;
    caller.blindxfer(BlindXfer::dest(conf("xfer")))
}
