//! `sipcall` under the names of the page it comes from, for scripts that are ported line by line.
//!
//! The page's Lua
//!
//! ```lua
//! caller = sipcall:new()
//! caller:makecall{dest="sip:24001@192.0.2.3", timeout=15, sdp=localoffer}
//! res, dtmf = caller:gatherdigits{pattern="%d#", timeout=15}
//! ```
//!
//! becomes
//!
//! ```no_run
//! # fn port(localoffer: &str) -> callbox_sdk::Result {
//! use callbox_sdk::seed::{GatherDigits, MakeCall, SipCall};
//!
//! let mut caller = SipCall::new();
//! caller.makecall(MakeCall::dest("sip:24001@192.0.2.3").timeout(15).sdp(localoffer))?;
//! let (res, dtmf) = caller.gatherdigits(GatherDigits::pattern("%d#").timeout(15));
//! # res }
//! ```
//!
//! As on the page, **times are whole seconds** ([`sleep`] takes milliseconds) and every named parameter has its name there.
//! What differs: a result is a [`Result`] and not a number ([`code`] gives the number), and the SIP
//! status of a refusal is never hidden.

use std::time::Duration;

use crate::{
    Answer as SdkAnswer, Body, Call, Dtmf, Error, Gather, GatherOutcome, HangupInfo, InfoRequest,
    InfoResponse, Registration, Reoffer as SdkReoffer, Result, Subscription, Transfer, events,
};

mod params;

pub use params::{
    Accept, Answer, BlindXfer, GatherDigits, MakeCall, Reoffer, SendInfo, StartRegister, Subscribe,
    WaitForDtmf, WaitForNotify,
};

/// The default of `makecall`, `answer`, `accept`, `reoffer` and `startregister`.
const LONG: u32 = 15;
/// The default of `waitfordtmf`, `gatherdigits`.
const SHORT: u32 = 3;

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The number that the original gave a result: 0 success, 4 refused by the server, 5 time-out, 6 wrong parameter, 7 wrong
/// state, 8 hang-up, 9 unknown destination, 10 not available, 11 unknown response, 1 any other failure.
pub fn code<T>(result: &Result<T>) -> u32 {
    match result {
        Ok(_) => 0,
        Err(Error::Rejected(_)) => 4,
        Err(Error::Timeout) => 5,
        Err(Error::Invalid(_)) => 6,
        Err(Error::WrongState(_)) => 7,
        Err(Error::HangUp(_)) => 8,
        Err(Error::UnknownDestination(_)) => 9,
        Err(Error::Unsupported(_) | Error::Denied(_)) => 10,
        Err(Error::Protocol(_)) => 11,
        Err(_) => 1,
    }
}

/// Sleeps for so many milliseconds. Page: `iw.sleep`.
pub fn sleep(milliseconds: u32) {
    crate::session::sleep(Duration::from_millis(milliseconds.into()));
}

/// Waits for the first event on any of these calls. Page: `selector:new():select{actors, timeout}`.
pub fn select(actors: &[&SipCall], timeout: u32) -> Result<events::Event> {
    let sources: Vec<u32> = actors.iter().flat_map(|actor| actor.sources()).collect();
    events::next_from_sources(&sources, secs(timeout))
}

/// One object of the page: a leg, and beside it at most one registration and one subscription.
///
/// Dropping it hangs up, unregisters and unsubscribes.
#[derive(Debug, Default)]
pub struct SipCall {
    call: Call,
    registration: Option<Registration>,
    subscription: Option<Subscription>,
}

/// The call that started the flow, as the page's object.
impl From<Call> for SipCall {
    fn from(call: Call) -> Self {
        Self {
            call,
            registration: None,
            subscription: None,
        }
    }
}

impl SipCall {
    /// `sipcall:new()`
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The leg, for what the page does not have.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    fn sources(&self) -> impl Iterator<Item = u32> {
        let registration = self.registration.as_ref().map(Registration::id);
        let subscription = self.subscription.as_ref().map(Subscription::id);
        [Some(self.call.id()), registration, subscription]
            .into_iter()
            .flatten()
    }

    /// `:makecall{dest, timeout, sdp | offer, type, H_XXX, username, password, realm}`. A registration on the same object
    /// lends its identity and credentials.
    pub fn makecall(&self, with: MakeCall) -> Result {
        self.call.make_call(with.lower(self.registration.as_ref()))?;
        Ok(())
    }

    /// `:answer{sdp | offer, type, timeout}`
    pub fn answer(&self, with: Answer) -> Result {
        self.call
            .answer(SdkAnswer::new(with.body.lower()).timeout(secs(with.timeout)))
    }

    /// `:accept{service, timeout}`
    pub fn accept(&self, with: Accept) -> Result {
        self.call.accept(&with.service, secs(with.timeout))
    }

    /// `:remoteoffer()`: the body that the peer sent last, empty if none.
    #[must_use]
    pub fn remoteoffer(&self) -> String {
        self.call
            .remote_offer()
            .map(|body| body.text())
            .unwrap_or_default()
    }

    /// `:localoffer()`: the body that we sent last, empty if none.
    #[must_use]
    pub fn localoffer(&self) -> String {
        self.call
            .local_offer()
            .map(|body| body.text())
            .unwrap_or_default()
    }

    /// `:waitfordtmf{timeout}`
    pub fn waitfordtmf(&self, with: WaitForDtmf) -> Result<Dtmf> {
        self.call.wait_for_dtmf(secs(with.timeout))
    }

    /// `:gatherdigits{pattern, timeout}`: the result, and the digits whatever the result.
    pub fn gatherdigits(&self, with: GatherDigits) -> (Result, String) {
        let gather = Gather::lua(&with.pattern).inter_digit(secs(with.timeout));
        match self.call.gather(gather) {
            Err(error) => (Err(error), String::new()),
            Ok(gathered) => {
                let result = match gathered.outcome {
                    GatherOutcome::Matched => Ok(()),
                    GatherOutcome::TimedOut => Err(Error::Timeout),
                    GatherOutcome::TooManyDigits => Err("too many digits".into()),
                    GatherOutcome::HungUp => Err(self.why_over()),
                };
                (result, gathered.digits)
            }
        }
    }

    /// The end of a leg that is over; not to be asked while it is up.
    fn why_over(&self) -> Error {
        match self.call.wait_for_hang_up_within(Duration::ZERO) {
            Ok(info) => Error::HangUp(info),
            Err(error) => error,
        }
    }

    /// `:dtmfbuffer()`
    #[must_use]
    pub fn dtmfbuffer(&self) -> String {
        self.call.dtmf_buffer()
    }

    /// `:cleandtmfbuffer()`
    pub fn cleandtmfbuffer(&self) {
        self.call.clean_dtmf_buffer();
    }

    /// `:ani()`
    #[must_use]
    pub fn ani(&self) -> String {
        self.call.ani()
    }

    /// `:dnis()`
    #[must_use]
    pub fn dnis(&self) -> String {
        self.call.dnis()
    }

    /// `:hangup()`
    pub fn hangup(&self) -> Result {
        self.call.hang_up()
    }

    /// `:waitforhangup()`
    pub fn waitforhangup(&self) -> Result<HangupInfo> {
        self.call.wait_for_hang_up()
    }

    /// `:blindxfer{dest}`: REFER, and then hangs up.
    pub fn blindxfer(&self, with: BlindXfer) -> Result {
        self.call.blind_transfer(&with.dest, Transfer::new())?;
        Ok(())
    }

    /// `:sendinfo{offer, type, async}`: with `async`, as on the page, it waits and returns the response.
    pub fn sendinfo(&self, with: SendInfo) -> Result<Option<InfoResponse>> {
        let body = with.body.lower();
        if with.wait {
            self.call.send_info(&body, secs(LONG))
        } else {
            self.call.post_info(&body)?;
            Ok(None)
        }
    }

    /// `:waitforinfo{timeout}`
    pub fn waitforinfo(&self, timeout: u32) -> Result<InfoRequest> {
        self.call.wait_for_info(secs(timeout))
    }

    /// `:cleaninfobuffer()`
    pub fn cleaninfobuffer(&self) {
        self.call.clean_info_buffer();
    }

    /// `:reoffer{sdp | offer, type, timeout, H_XXX}`
    pub fn reoffer(&self, with: Reoffer) -> Result {
        let offer = with.body.lower();
        let mut reoffer = SdkReoffer::new(offer).timeout(secs(with.timeout));
        for (name, value) in with.headers {
            reoffer = reoffer.header(name, value);
        }
        self.call.reoffer(reoffer)?;
        Ok(())
    }

    /// `:startregister{registrar, username, password, realm, timeout}`: the host refreshes it for as long as this object
    /// lives.
    pub fn startregister(&mut self, with: StartRegister) -> Result {
        self.registration = Some(with.lower().start()?);
        Ok(())
    }

    /// `:unregister()`
    pub fn unregister(&mut self) -> Result {
        match self.registration.take() {
            Some(registration) => registration.unregister(secs(LONG)),
            None => Err(Error::WrongState("nothing is registered".into())),
        }
    }

    /// `:subscribe{server, package, interval, refresh, timeout, username, password, realm}`
    pub fn subscribe(&mut self, with: Subscribe) -> Result {
        self.subscription = Some(with.lower().start()?);
        Ok(())
    }

    /// `:waitfornotify{timeout}`: the result, the MIME type and the body.
    pub fn waitfornotify(&self, with: WaitForNotify) -> (Result, String, String) {
        let notification = match &self.subscription {
            Some(subscription) => subscription.wait_for_notify(secs(with.timeout)),
            None => Err(Error::WrongState("nothing is subscribed".into())),
        };
        match notification {
            Err(error) => (Err(error), String::new(), String::new()),
            Ok(notification) => {
                let body = notification.body.unwrap_or_else(|| Body::new("", Vec::new()));
                let text = body.text();
                (Ok(()), body.content_type, text)
            }
        }
    }

    /// `:cleannotifybuffer()`
    pub fn cleannotifybuffer(&self) {
        if let Some(subscription) = &self.subscription {
            subscription.clean_notify_buffer();
        }
    }

    /// `:unsubscribe()`
    pub fn unsubscribe(&mut self) -> Result {
        match self.subscription.take() {
            Some(subscription) => subscription.unsubscribe(secs(LONG)),
            None => Err(Error::WrongState("nothing is subscribed".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn results_keep_their_old_numbers() {
        assert_eq!(code(&Ok(())), 0);
        let busy = Status {
            code: 486,
            reason: "Busy Here".into(),
        };
        assert_eq!(code::<()>(&Err(Error::Rejected(busy))), 4);
        assert_eq!(code::<()>(&Err(Error::Timeout)), 5);
        assert_eq!(code::<()>(&Err(Error::Transport("down".into()))), 1);
    }
}
