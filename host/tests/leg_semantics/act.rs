//! Calls one method of the table on the leg of a scene, and what the wire must show of it.

use std::time::Duration;

use callbox::call::{
    BridgeOptions, CallError, DigitPattern, GatherOptions, GatherOutcome, Leg, MakeCallOptions,
    ReofferOptions, Session, TransferOptions,
};

use crate::scene::Way;
use crate::support::{SERVICE, SOON, sdp};

/// What the method is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing to complain of.
    Good,
    /// Something that is `invalid` where the state allows the method.
    Bad,
}

/// Methods that have an argument that can be bad.
pub fn has_bad_arguments(method: &str) -> bool {
    matches!(
        method,
        "make-call"
            | "dial"
            | "cancel"
            | "accept"
            | "progress with a body"
            | "progress without a body"
            | "answer"
            | "reject"
            | "redirect"
            | "gather-digits"
            | "send-dtmf"
            | "blind-transfer"
    )
}

/// Methods that wait and are called with a time-out of 0 here, so that `timeout` is what they do.
pub fn times_out(method: &str) -> bool {
    matches!(method, "wait-for-dtmf" | "wait-for-info" | "wait-for-hangup")
}

/// Calls the method. `other` is an established leg of the same session for the one that needs it. What a method returns
/// beside its failure is not the table's business, but how a gathering ended is.
pub async fn call(
    method: &str,
    leg: &Leg,
    session: &Session,
    other: Option<&Leg>,
    dest: &str,
    arguments: Arguments,
) -> Result<Option<GatherOutcome>, CallError> {
    let good = arguments == Arguments::Good;
    let line = if good { "a line" } else { "two\r\nlines" };
    let dest = if good { dest } else { "sip:a b@h" };
    let outbound = MakeCallOptions {
        offer: Some(sdp(session)),
        ..MakeCallOptions::default()
    };
    let transfer = TransferOptions::default();
    let text = || session.body("text/plain", b"text".to_vec()).unwrap();
    let empty = || session.body("text/plain", Vec::new()).unwrap();
    let none = Duration::ZERO;
    let tone = Duration::from_millis(20);
    match method {
        "facts (rule 4)" => facts(leg),
        "make-call" => leg.make_call(dest, &outbound).await.map(drop)?,
        "dial" => leg.dial(dest, &outbound)?,
        "cancel" => leg.cancel(Some(line))?,
        "accept" => leg.accept(if good { SERVICE } else { "" }, SOON).await?,
        "ring" => leg.ring(Vec::new())?,
        "progress with a body" => {
            leg.progress(if good { 183 } else { 200 }, Some(sdp(session)), Vec::new())?
        }
        "progress without a body" => leg.progress(if good { 183 } else { 100 }, None, Vec::new())?,
        "answer" => {
            leg.answer(if good { sdp(session) } else { empty() }, Vec::new(), SOON)
                .await?
        }
        "reject" => leg.reject(if good { 486 } else { 399 }, None, Vec::new())?,
        "redirect" => leg.redirect(&[dest.to_owned()])?,
        "wait-for-dtmf" => leg.wait_for_dtmf(none).await.map(drop)?,
        "gather-digits" => {
            let options = GatherOptions {
                inter_digit: none,
                ..GatherOptions::default()
            };
            let length = if good { 4 } else { 0 };
            let gathered = leg.gather_digits(&DigitPattern::Length(length), &options).await?;
            return Ok(Some(gathered.outcome));
        }
        "dtmf-buffer" => drop(leg.dtmf_buffer()),
        "clean-dtmf-buffer" => leg.clean_dtmf_buffer(),
        "send-dtmf" => leg.send_dtmf(if good { "5" } else { "x" }, tone, tone).await?,
        "send-info" => leg.send_info(text(), Vec::new(), Some(SOON)).await.map(drop)?,
        "wait-for-info" => leg.wait_for_info(none).await.map(drop)?,
        "clean-info-buffer" => leg.clean_info_buffer(),
        "send-message" => leg.send_message(text(), SOON).await.map(drop)?,
        "reoffer" => {
            let options = ReofferOptions {
                offer: Some(sdp(session)),
                ..ReofferOptions::default()
            };
            leg.reoffer(&options).await.map(drop)?;
        }
        "hold" => leg.hold().await?,
        "resume" => leg.resume().await?,
        "blind-transfer" => leg.blind_transfer(dest, &transfer).await.map(drop)?,
        "attended-transfer" => {
            leg.attended_transfer(other.expect("a second leg"), &transfer)
                .await
                .map(drop)?;
        }
        "bridge" => {
            let other = other.expect("a second leg");
            session.bridge(leg, other, &BridgeOptions::default()).await?;
        }
        "bridge as the second" => {
            let other = other.expect("a second leg");
            session.bridge(other, leg, &BridgeOptions::default()).await?;
        }
        "unbridge" => session.unbridge(leg)?,
        "hangup" => leg.hangup(None)?,
        "wait-for-hangup" => leg.wait_for_hangup(Some(none)).await.map(drop)?,
        other => panic!("the table has a method that this test cannot call: {other}"),
    }
    Ok(None)
}

/// Rule 4: they never fail and never wait.
fn facts(leg: &Leg) {
    let known = leg.id() > 0
        && [
            leg.ani(),
            leg.dnis(),
            leg.request_uri(),
            leg.from_uri(),
            leg.to_uri(),
            leg.sip_call_id(),
        ]
        .iter()
        .all(|fact| !fact.is_empty());
    let used =
        leg.remote_offer().is_some() || leg.local_offer().is_some() || !leg.header("Call-ID").is_empty();
    assert_eq!(known, used, "either all of them are known or none");
    assert!(leg.header("X-Unknown").is_empty());
    let _ = (leg.state(), leg.direction());
}

/// What the peer sees when the method does its work in this state.
pub fn on_the_wire(method: &str, state: &str, way: Way) -> &'static [&'static str] {
    match (method, state) {
        // The end of a call answers the offer that nobody decided.
        ("hangup" | "drop (rule 6)", "reof") if way == Way::Undecided => &["487", "BYE"],
        ("make-call" | "dial" | "reoffer", _) => &["INVITE"],
        ("hold", "conn") | ("resume", "held") => &["INVITE"],
        ("cancel", _) => &["CANCEL"],
        ("ring", _) => &["180"],
        ("progress with a body" | "progress without a body", _) => &["183"],
        ("answer", "off") => &["ACK"],
        ("answer", _) => &["200"],
        ("reject", _) => &["486"],
        ("redirect", _) => &["302"],
        ("send-dtmf" | "send-info", _) => &["INFO"],
        ("send-message", _) => &["MESSAGE"],
        ("blind-transfer" | "attended-transfer", _) => &["REFER", "BYE"],
        ("hangup" | "drop (rule 6)", "r-out" | "e-out") => &["CANCEL"],
        ("hangup" | "drop (rule 6)", "r-in" | "e-in") => &["480"],
        ("hangup" | "drop (rule 6)", "off") => &["ACK", "BYE"],
        ("hangup" | "drop (rule 6)", "conn" | "held" | "reof") => &["BYE"],
        _ => &[],
    }
}
