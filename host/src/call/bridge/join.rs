//! What a flow does to bridge two legs: the offers that join their peers (RFC 3725), and the parting.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bridge, Bridged, Order, Side, Stage, watch};
use crate::call::command::Command;
use crate::call::error::CallError;
use crate::call::leg::{Leg, LegInner, Phase};
use crate::call::options::{BridgeOptions, ReofferOptions};
use crate::call::session::Session;
use crate::call::text::Body;
use crate::config::Capability;

/// Until both legs have the ACK of their 200 and their shards ask about offers; 64·T1, after which a leg without ACK is over.
const READY_WITHIN: Duration = Duration::from_secs(35);

impl Session {
    /// Joins two legs: from now on what `options` say is relayed between their peers. No offer is sent when each peer
    /// has what the other sent last; a leg that owes the answer to its peer's offer gets it from the other; else the first
    /// leg's peer is asked for an offer, which the second one's answers.
    ///
    /// # Errors
    /// `WrongState` for one leg twice, a leg that is bridged or does not talk, or two that owe an answer; `Hangup` of the
    /// leg that is over; `Invalid` for a feature code; `Rejected`, `Timeout`, `Transport` and `Protocol` of the offers. After
    /// an error neither leg is bridged, and each has the session that it had, as far as its peer allowed.
    pub async fn bridge(&self, a: &Leg, b: &Leg, options: &BridgeOptions) -> Result<(), CallError> {
        self.shared.require(Capability::Bridge)?;
        if Arc::ptr_eq(&a.shared, &b.shared) {
            return Err(CallError::WrongState("bridge of a leg with itself".to_owned()));
        }
        let owing = a.bridgeable()? == Phase::OfferedByRemote;
        if b.bridgeable()? == Phase::OfferedByRemote && owing {
            return Err(CallError::WrongState(
                "bridge of two legs that both owe an answer".to_owned(),
            ));
        }
        watch::check(&options.watch_digits)?;
        let joining = Joining::begin(a, b, options)?;
        let until = Instant::now() + READY_WITHIN;
        for leg in [a, b] {
            leg.ready_to_join(options.relay_offers, until).await?;
        }
        join(a, b).await?;
        joining.done().map_err(|error| {
            let over = |leg: &Leg| leg.bridgeable().err();
            over(a).or_else(|| over(b)).unwrap_or(error)
        })
    }

    /// Parts a leg from the one that it is bridged with. Both stay up; an offer that is being relayed comes to its end.
    ///
    /// # Errors
    /// `WrongState` on a leg that is not bridged, `Hangup` on one that is over.
    pub fn unbridge(&self, leg: &Leg) -> Result<(), CallError> {
        let bridge = {
            let inner = leg.shared.lock();
            match &inner.bridge {
                Some(bridged) => Arc::clone(&bridged.bridge),
                None => return Err(inner.wrong_state("unbridge")),
            }
        };
        bridge.unbridge()
    }
}

/// A bridge whose legs are being joined. Dropped before it is done, it parts them.
struct Joining(Arc<Bridge>);

impl Joining {
    fn begin(a: &Leg, b: &Leg, options: &BridgeOptions) -> Result<Self, CallError> {
        let joining = Self(Bridge::new(&a.shared, &b.shared, options));
        for (leg, side) in [(a, Side::A), (b, Side::B)] {
            let mut inner = leg.shared.lock();
            inner.bridgeable()?;
            inner.bridge = Some(Box::new(Bridged {
                bridge: Arc::clone(&joining.0),
                side,
                armed: false,
                busy: false,
                sent: None,
            }));
            if options.relay_offers {
                leg.shared.push(&mut inner, Command::Bridge(Order::Arm));
            }
        }
        Ok(joining)
    }

    fn done(self) -> Result<(), CallError> {
        let mut state = self.0.lock();
        if state.stage != Stage::Joining {
            return Err(CallError::WrongState(
                "bridge of a leg that ended meanwhile".to_owned(),
            ));
        }
        state.stage = Stage::Joined;
        self.0.relaying.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.stage == Stage::Joining {
            self.0.part(&mut state);
        }
    }
}

impl LegInner {
    /// The leg's phase, if it may be bridged.
    fn bridgeable(&self) -> Result<Phase, CallError> {
        match self.phase {
            Phase::Answering | Phase::Connected | Phase::OfferedByRemote if self.bridge.is_none() => {
                Ok(self.phase)
            }
            _ => Err(self.wrong_state("bridge")),
        }
    }
}

impl Leg {
    fn bridgeable(&self) -> Result<Phase, CallError> {
        self.shared.lock().bridgeable()
    }

    /// Waits for the ACK that makes requests possible (RFC 3261 §14.1) and for the shard's word that it asks about offers.
    async fn ready_to_join(&self, asks: bool, until: Instant) -> Result<(), CallError> {
        self.wait(Some(until), |inner| match (&inner.bridge, inner.phase) {
            (None, _) => Some(Err(inner.wrong_state("bridge"))),
            (Some(bridged), _) if asks && !bridged.armed => None,
            (Some(_), Phase::Answering) => None,
            (Some(_), Phase::Connected | Phase::OfferedByRemote) => Some(Ok(())),
            (Some(_), _) => Some(Err(inner.wrong_state("bridge"))),
        })
        .await
    }

    fn owes_answer(&self) -> bool {
        self.shared.lock().phase == Phase::OfferedByRemote
    }

    /// Offers a session and gives the answer.
    async fn renegotiate(&self, offer: Option<Body>) -> Result<Body, CallError> {
        let options = ReofferOptions {
            offer,
            ..ReofferOptions::default()
        };
        let answer = self.offer_anew(&options).await?;
        answer
            .body
            .ok_or_else(|| CallError::Protocol("the 2xx has no session description".to_owned()))
    }

    /// The session that the leg has now is another peer's, and not the one that this flow put on hold.
    fn off_hold(&self) {
        self.shared.lock().held = false;
    }

    async fn answer_in_ack(&self, body: Body) -> Result<(), CallError> {
        self.answer(body, Vec::new(), Duration::ZERO).await
    }
}

async fn join(a: &Leg, b: &Leg) -> Result<(), CallError> {
    if a.owes_answer() {
        return join_owing(a, b).await;
    }
    if b.owes_answer() {
        return join_owing(b, a).await;
    }
    if was_sent(a, b) && was_sent(b, a) {
        return Ok(());
    }
    let kept = a.local_offer();
    let offer = a.renegotiate(None).await?;
    match b.renegotiate(Some(offer)).await {
        Ok(answer) => {
            a.answer_in_ack(answer).await?;
            for leg in [a, b] {
                leg.off_hold();
            }
            Ok(())
        }
        Err(error) => {
            // The session that it had is an answer to whatever its peer offers from it.
            if let Some(kept) = kept {
                a.answer_in_ack(kept).await?;
            }
            Err(error)
        }
    }
}

/// `owing` has its peer's offer: the other one's peer answers it.
async fn join_owing(owing: &Leg, other: &Leg) -> Result<(), CallError> {
    let answer = match other.remote_offer() {
        // Called with it, and answered already: the page's second example, short of its last line.
        Some(answer) if was_sent(owing, other) => answer,
        _ => {
            let answer = other.renegotiate(owing.remote_offer()).await?;
            other.off_hold();
            answer
        }
    };
    owing.answer_in_ack(answer).await
}

/// The peer of `to` has been sent what the peer of `from` sent last.
fn was_sent(from: &Leg, to: &Leg) -> bool {
    match (from.remote_offer(), to.local_offer()) {
        (Some(from), Some(to)) => from.data() == to.data(),
        _ => false,
    }
}
