//! What the page's examples leave out: every method and every named parameter of the page at least once, in one script.
//!
//! A job. Configuration: `registrar`, `server`, `dest`, `other`, `username`, `password`, `realm`.

use callbox_sdk::seed::{
    GatherDigits, MakeCall, Reoffer, SendInfo, SipCall, StartRegister, Subscribe, WaitForDtmf, WaitForNotify,
    code, select, sleep,
};
use callbox_sdk::{Body, Result, info, session};

callbox_sdk::job!(tour);

const OFFER: &str = "v=0
o=ivrworx 123456 654321 IN IP4 10.0.0.1
s=A conversation
c=IN IP4 10.0.0.1
t=0 0
m=audio 6000 RTP/AVP 0
";

fn tour(_args: Body) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();
    let mut c = SipCall::new();

    // A registration lends its identity and credentials to calls of the same object.
    c.startregister(
        StartRegister::registrar(conf("registrar"))
            .timeout(15)
            .username(conf("username"))
            .password(conf("password"))
            .realm(conf("realm")),
    )?;
    c.makecall(
        MakeCall::dest(conf("dest"))
            .timeout(15)
            .offer(OFFER)
            .mime("application/sdp")
            .h("Subject", "a tour")
            .h("X-Tour", "1"),
    )?;
    info!("ani={} dnis={}", c.ani(), c.dnis());
    info!(
        "localoffer {} remoteoffer {}",
        c.localoffer().len(),
        c.remoteoffer().len()
    );

    // Digits: one by one, with what was typed in a buffer; too late; gathered.
    let first = c.waitfordtmf(WaitForDtmf::timeout(5))?;
    info!("first={} buffer={}", first.digit, c.dtmfbuffer());
    c.cleandtmfbuffer();
    let none = c.waitfordtmf(WaitForDtmf::timeout(0));
    info!("none={} buffer={}", code(&none), c.dtmfbuffer());
    let (res, digits) = c.gatherdigits(GatherDigits::pattern("^%d%d%d$").timeout(5));
    info!("gathered={} {digits}", code(&res));
    let (res, digits) = c.gatherdigits(GatherDigits::pattern("#"));
    info!("partial={} {digits}", code(&res));

    // INFO without and with its response, and the peer's.
    c.sendinfo(SendInfo::offer("no answer wanted", "text/plain"))?;
    let response = c.sendinfo(SendInfo::offer("answer wanted", "text/plain").r#async(true))?;
    let status = response.map(|response| response.status.code);
    info!("sendinfo={status:?}");
    let asked = c.waitforinfo(5)?;
    info!(
        "waitforinfo={}",
        asked.body.map(|body| body.text()).unwrap_or_default()
    );
    c.cleaninfobuffer();

    c.reoffer(
        Reoffer::offer(OFFER.replace("6000", "6002"))
            .mime("application/sdp")
            .timeout(15)
            .h("X-Again", "2"),
    )?;
    info!("reoffered {}", c.localoffer().contains("m=audio 6002"));

    // A second object with credentials of its own.
    let d = SipCall::new();
    d.makecall(
        MakeCall::dest(conf("other"))
            .sdp(OFFER)
            .username(conf("username"))
            .password(conf("password"))
            .realm(conf("realm")),
    )?;
    let event = select(&[&c, &d], 5)?;
    info!("select={}", event.source == c.call().id());

    let mut s = SipCall::new();
    s.subscribe(
        Subscribe::server(conf("server"))
            .package("presence")
            .interval(60)
            .refresh(30)
            .timeout(15)
            .username(conf("username"))
            .password(conf("password"))
            .realm(conf("realm")),
    )?;
    let (res, mime, body) = s.waitfornotify(WaitForNotify::timeout(5));
    info!("notify={} {mime} {body}", code(&res));
    s.cleannotifybuffer();
    let (res, ..) = s.waitfornotify(WaitForNotify::timeout(0));
    info!("no notify={}", code(&res));

    sleep(20);
    d.hangup()?;
    let info = c.waitforhangup()?;
    info!("hung up: {:?}", info.by);
    info!("after the end={}", code(&c.waitfordtmf(WaitForDtmf::timeout(5))));
    s.unsubscribe()?;
    c.unregister()?;
    info!("end of the tour");
    Ok(())
}
