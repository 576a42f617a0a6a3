//! The page's first example of `makecall`, line by line: the INVITE is empty, and the offer that the 2xx brings is answered
//! in the ACK.
//!
//! A job. Configuration: `dest`.

use callbox_sdk::seed::{Answer, MakeCall, SipCall};
use callbox_sdk::{Body, Result, session};

callbox_sdk::job!(makecall);

fn makecall(_args: Body) -> Result {
    let dest = session::config("dest").unwrap_or_default();

    let caller = SipCall::new();
    caller.makecall(MakeCall::dest(dest).timeout(15))?;

    let localoffer = "v=0
o=alice 2890844526 2890844526 IN IP4 host.ivrworx.com
s=
c=IN IP4 192.168.150.3
t=0 0
m=audio 49170 RTP/AVP 0
a=rtpmap:0 PCMU/8000

";

    caller.answer(Answer::sdp(localoffer))
}
