//! One leg of a call.

use std::time::Duration;

use crate::wit::callbox::flow::sipcall as raw;
use crate::words::millis;
use crate::{
    Answer, AnswerInfo, Body, BridgeOptions, CallState, Direction, Dtmf, Gather, Gathered, HangupInfo,
    Header, InfoRequest, InfoResponse, MakeCall, Rejection, Reoffer, Result, Status, Transfer,
    TransferResult,
};

/// One leg: one SIP dialog between callbox and a peer. Dropping it hangs it up.
///
/// Every wait ends when the leg does, with [`Error::HangUp`](crate::Error::HangUp).
#[derive(Debug)]
pub struct Call {
    raw: raw::Call,
}

impl From<raw::Call> for Call {
    fn from(raw: raw::Call) -> Self {
        Self { raw }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// A leg without a dialog yet, to be used with [`make_call`](Self::make_call) or [`accept`](Self::accept).
    #[must_use]
    pub fn new() -> Self {
        Self {
            raw: raw::Call::new(),
        }
    }

    /// The same leg in the words of the contract.
    #[must_use]
    pub fn raw(&self) -> &raw::Call {
        &self.raw
    }

    /// The number of this leg in its session, from 1 on; the source of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.raw.id()
    }

    /// Where the leg is in its life.
    #[must_use]
    pub fn state(&self) -> CallState {
        self.raw.state()
    }

    /// Who called whom.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.raw.direction()
    }

    // ---- outbound

    /// Places a call and waits for its final answer. After a failure the leg may try again elsewhere.
    pub fn make_call(&self, call: MakeCall) -> Result<AnswerInfo> {
        Ok(self.raw.make_call(&call.dest, &call.lower())?)
    }

    /// Places a call without waiting: progress, answer and failure come as [events](crate::events).
    pub fn dial(&self, call: MakeCall) -> Result {
        Ok(self.raw.dial(&call.dest, &call.lower())?)
    }

    /// Gives up a call that was not answered yet. The leg may try again.
    pub fn cancel(&self) -> Result {
        Ok(self.raw.cancel(None)?)
    }

    /// Gives up a call that was not answered yet, and tells the peer why.
    pub fn cancel_because(&self, reason: &str) -> Result {
        Ok(self.raw.cancel(Some(reason))?)
    }

    // ---- inbound

    /// Waits for one more incoming call on a service of the tenant.
    pub fn accept(&self, service: &str, timeout: Duration) -> Result {
        Ok(self.raw.accept(service, millis(timeout))?)
    }

    /// 180 Ringing.
    pub fn ring(&self) -> Result {
        self.ring_with(&[])
    }

    /// 180 Ringing with headers.
    pub fn ring_with(&self, headers: &[Header]) -> Result {
        Ok(self.raw.ring(headers)?)
    }

    /// A provisional response (101–199). With a body it is early media.
    pub fn progress(&self, code: u16, body: Option<&Body>, headers: &[Header]) -> Result {
        Ok(self.raw.progress(code, body, headers)?)
    }

    /// Answers: `call.answer(sdp)`. Inbound, 200 and the wait for the ACK; outbound after an empty INVITE, the ACK.
    pub fn answer(&self, answer: impl Into<Answer>) -> Result {
        let answer = answer.into();
        Ok(self
            .raw
            .answer(&answer.body, &answer.headers, millis(answer.timeout))?)
    }

    /// Refuses an incoming call: `call.reject(486)`, or a [`Rejection`] with more to say.
    pub fn reject(&self, rejection: impl Into<Rejection>) -> Result {
        let with = rejection.into();
        Ok(self
            .raw
            .reject(with.code, with.reason.as_deref(), &with.headers)?)
    }

    /// Sends the caller elsewhere: 302 for one contact, 300 for several.
    pub fn redirect(&self, contacts: &[&str]) -> Result {
        let contacts: Vec<String> = contacts.iter().map(|&uri| uri.into()).collect();
        Ok(self.raw.redirect(&contacts)?)
    }

    // ---- facts: empty when not known

    /// The body that the peer sent last.
    #[must_use]
    pub fn remote_offer(&self) -> Option<Body> {
        self.raw.remote_offer()
    }

    /// The body that we sent last.
    #[must_use]
    pub fn local_offer(&self) -> Option<Body> {
        self.raw.local_offer()
    }

    /// Who calls: the user part of From.
    #[must_use]
    pub fn ani(&self) -> String {
        self.raw.ani()
    }

    /// Who is called: the user part of To.
    #[must_use]
    pub fn dnis(&self) -> String {
        self.raw.dnis()
    }

    /// The Request-URI of the INVITE.
    #[must_use]
    pub fn request_uri(&self) -> String {
        self.raw.request_uri()
    }

    /// The URI of From.
    #[must_use]
    pub fn from_uri(&self) -> String {
        self.raw.from_uri()
    }

    /// The URI of To.
    #[must_use]
    pub fn to_uri(&self) -> String {
        self.raw.to_uri()
    }

    /// The Call-ID.
    #[must_use]
    pub fn sip_call_id(&self) -> String {
        self.raw.sip_call_id()
    }

    /// All values of a header: of the INVITE inbound, of the last response to ours outbound.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<String> {
        self.raw.header(name)
    }

    // ---- DTMF

    /// The next digit, typed ahead or still to come.
    pub fn wait_for_dtmf(&self, timeout: Duration) -> Result<Dtmf> {
        Ok(self.raw.wait_for_dtmf(millis(timeout))?.into())
    }

    /// Gathers digits. Time-out and hang-up are outcomes, not errors: the partial digits come with them.
    pub fn gather(&self, gather: Gather) -> Result<Gathered> {
        Ok(self.raw.gather_digits(&gather.pattern, &gather.lower())?.into())
    }

    /// Every digit since the start or the last [`clean_dtmf_buffer`](Self::clean_dtmf_buffer).
    #[must_use]
    pub fn dtmf_buffer(&self) -> String {
        self.raw.dtmf_buffer()
    }

    /// Forgets all digits, type-ahead included.
    pub fn clean_dtmf_buffer(&self) {
        self.raw.clean_dtmf_buffer();
    }

    /// Sends digits, each for `duration` with `gap` between them.
    pub fn send_dtmf(&self, digits: &str, duration: Duration, gap: Duration) -> Result {
        Ok(self.raw.send_dtmf(digits, millis(duration), millis(gap))?)
    }

    // ---- in the dialog

    /// Sends INFO and waits for the response, whatever its status.
    pub fn send_info(&self, body: &Body, timeout: Duration) -> Result<Option<InfoResponse>> {
        Ok(self.raw.send_info(body, &[], Some(millis(timeout)))?)
    }

    /// Sends INFO and does not wait.
    pub fn post_info(&self, body: &Body) -> Result {
        self.raw.send_info(body, &[], None)?;
        Ok(())
    }

    /// The next INFO that is not DTMF.
    pub fn wait_for_info(&self, timeout: Duration) -> Result<InfoRequest> {
        Ok(self.raw.wait_for_info(millis(timeout))?)
    }

    /// Forgets INFOs that nobody waited for.
    pub fn clean_info_buffer(&self) {
        self.raw.clean_info_buffer();
    }

    /// Sends MESSAGE within the call.
    pub fn send_message(&self, body: &Body, timeout: Duration) -> Result<Status> {
        Ok(self.raw.send_message(body, millis(timeout))?)
    }

    /// Offers a new session. A rejection leaves the old one in force.
    pub fn reoffer(&self, reoffer: Reoffer) -> Result<AnswerInfo> {
        Ok(self.raw.reoffer(&reoffer.lower())?)
    }

    /// Puts the peer on hold.
    pub fn hold(&self) -> Result {
        Ok(self.raw.hold()?)
    }

    /// Takes the peer back from hold.
    pub fn resume(&self) -> Result {
        Ok(self.raw.resume()?)
    }

    // ---- transfer

    /// Sends the peer elsewhere (REFER) and hangs up.
    pub fn blind_transfer(&self, dest: &str, how: Transfer) -> Result<TransferResult> {
        Ok(self.raw.blind_transfer(dest, &how.lower())?)
    }

    /// Connects the peer with that of another leg (REFER with Replaces) and hangs up.
    pub fn attended_transfer(&self, other: &Call, how: Transfer) -> Result<TransferResult> {
        Ok(self.raw.attended_transfer(&other.raw, &how.lower())?)
    }

    // ---- end

    /// Hangs up, whatever the state. Does nothing on a leg that is over.
    pub fn hang_up(&self) -> Result {
        Ok(self.raw.hangup(None)?)
    }

    /// Hangs up and tells the peer why.
    pub fn hang_up_because(&self, reason: &str) -> Result {
        Ok(self.raw.hangup(Some(reason))?)
    }

    /// Waits until the leg ends.
    pub fn wait_for_hang_up(&self) -> Result<HangupInfo> {
        Ok(self.raw.wait_for_hangup(None)?)
    }

    /// Waits until the leg ends, but not for ever.
    pub fn wait_for_hang_up_within(&self, timeout: Duration) -> Result<HangupInfo> {
        Ok(self.raw.wait_for_hangup(Some(millis(timeout)))?)
    }

    /// Ask to decide the peer's re-INVITEs and UPDATEs, or leave them to the host again.
    pub fn decide_offers(&self, decide: bool) {
        crate::wit::callbox::flow::events::decide_offers(&self.raw, decide);
    }
}

/// Joins two legs in the host, which then relays between them without waking the flow for each message.
pub fn bridge(a: &Call, b: &Call, options: BridgeOptions) -> Result {
    Ok(raw::bridge(&a.raw, &b.raw, &options.lower())?)
}

/// Parts the legs again. Both stay up.
pub fn unbridge(a: &Call) -> Result {
    Ok(raw::unbridge(&a.raw)?)
}
