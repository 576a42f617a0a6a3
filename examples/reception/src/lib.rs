//! Answers, and decides what the caller's phone asks in the call: another session, a call to somebody else, another phone in its
//! place. What to decide stands in its configuration.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind, IncomingOffer, Referral};
use callbox_sdk::{Call, Error, Result, info, sdp, session};

callbox_sdk::flow!(reception);

/// How long an offer is thought about, with `offers = "wait"`.
const THINK: Duration = Duration::from_secs(1);

fn reception(call: Call) -> Result {
    let Some(answer) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.decide_offers(choice("offers") != "host");
    call.answer(answer)?;
    let mut caller = call;
    // Whom the caller had called. A call that is dropped is hung up.
    let mut others = Vec::new();
    let (mut thinking, mut offers) = (None, 0);
    loop {
        let event = events::next()?;
        match event.kind {
            EventKind::Offer(offer) if choice("offers") == "wait" => {
                thinking = Some(offer);
                offers += 1;
                info!("thinking about offer {offers}");
                events::set_timer(1, THINK);
            }
            EventKind::Offer(offer) => info!("offer: {}", told(&decide(offer))),
            EventKind::Timer(_) => {
                if let Some(offer) = thinking.take() {
                    info!("offer: {}", told(&accept(&offer)));
                }
            }
            EventKind::Refer(referral) => match carry_out(&referral) {
                Ok(other) => others.extend(other),
                Err(error) => info!("referral to {}: {error}", referral.target()),
            },
            EventKind::Incoming(phone) if choice("successor") == "reject" => phone.reject(486)?,
            EventKind::Incoming(phone) => match sdp::answer_to(&phone) {
                // The host hangs the other one up.
                Some(answer) => {
                    phone.answer(answer)?;
                    info!("call {} instead of {}", phone.id(), event.source);
                    caller = phone;
                }
                None => phone.reject(488)?,
            },
            EventKind::HungUp(why) => {
                info!("call {} hung up: {why}", event.source);
                if event.source == caller.id() {
                    return Ok(());
                }
            }
            other => info!("event: {other:?}"),
        }
    }
}

fn choice(what: &str) -> String {
    session::config(what).unwrap_or_default()
}

fn told(result: &Result) -> String {
    match result {
        Ok(()) => "decided".into(),
        Err(Error::WrongState(_)) => "withdrawn".into(),
        Err(error) => error.to_string(),
    }
}

fn decide(offer: IncomingOffer) -> Result {
    match choice("offers").as_str() {
        "reject" => offer.reject(406),
        // Dropped, it is refused with 488.
        "drop" => Ok(()),
        _ => accept(&offer),
    }
}

fn accept(offer: &IncomingOffer) -> Result {
    match sdp::answer_to_offer(offer) {
        Some(answer) => offer.answer(answer),
        None => offer.reject(488),
    }
}

/// The call that the caller asked for, if it was answered.
fn carry_out(referral: &Referral) -> Result<Option<Call>> {
    match choice("referrals").as_str() {
        "reject" => referral.reject(486)?,
        // Dropped, it is declined with 603.
        "drop" => {}
        _ => {
            let other = Call::new();
            let answer = referral.follow(&other, referral.make_call().offer(sdp::offer()))?;
            info!("referral to {}: {}", referral.target(), answer.status);
            return Ok(Some(other));
        }
    }
    Ok(None)
}
