//! What is said of the legs of a session: to who looks at it while it lives, and to the record of it when it is over.
//!
//! It reads and changes nothing. A leg notes the moments of its life ([`Moments`], three clock readings a call); its words
//! (Call-ID, numbers, how it ended) are put together once, when it is over ([`LegShared::remember`]), because by then its
//! flow may have dropped it. A leg that hunts through several destinations is one summary for each. Entry points:
//! [`Session::legs_summary`], [`SessionAddress::legs_summary`]. Invariants: each call of a leg is remembered once;
//! a session remembers at most `limits.call.legs_max` of them, the first always and of the rest the latest, and counts what
//! it forgot.

use std::time::Instant;

use super::error::{HangupInfo, Party};
use super::leg::{CallState, Direction, LegInner, LegShared, Phase};
use super::session::{Session, SessionShared};
use super::siblings::SessionAddress;
use crate::unix_time::now_ms;

/// The code of a call that was answered. Which 2xx it was makes no difference to anybody.
const ANSWERED: u16 = 200;

/// One call of a leg, from its INVITE on. Times are milliseconds since 1970 by the host's clock at the session's start;
/// the time between two of them is right whatever has been done to the clock since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSummary {
    /// Number of the leg within its session.
    pub leg: u32,
    /// Who called whom.
    pub direction: Direction,
    /// Its state; `Terminated` for what is over, also where the leg itself is idle again.
    pub state: CallState,
    /// Call-ID; empty while our INVITE has not been sent.
    pub call_id: String,
    /// User part of From.
    pub ani: String,
    /// User part of To.
    pub dnis: String,
    /// Request-URI of the INVITE; after a redirection that was followed, of the last one.
    pub destination: String,
    /// The INVITE came, or the flow asked for it.
    pub started_ms: u64,
    /// The first 18x was sent or came.
    pub rang_ms: Option<u64>,
    /// The 2xx was sent or came.
    pub answered_ms: Option<u64>,
    /// It was over.
    pub ended_ms: Option<u64>,
    /// The final response to its INVITE: 200 when it was answered. None while there is none, and where none was awaited:
    /// a call of ours that was given up or timed out.
    pub code: Option<u16>,
    /// Who ended it. `Local` is the flow, also by its return.
    pub ended_by: Option<Party>,
    /// Q.850 cause of the Reason header that ended it (RFC 3326).
    pub q850: Option<u8>,
    /// Text of that header, or the host's own words.
    pub text: Option<String>,
}

/// The legs of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegsSummary {
    /// In the order in which they ended, those that live last.
    pub legs: Vec<LegSummary>,
    /// Ended ones that the session does not remember any more.
    pub forgotten: u32,
}

/// When what happened to a leg.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    started: Instant,
    rang: Option<Instant>,
    answered: Option<Instant>,
}

impl Moments {
    /// A call begins.
    pub(super) fn begin() -> Self {
        Self::since(Instant::now())
    }

    /// A call that came in before the leg had it.
    pub(super) fn since(started: Instant) -> Self {
        Self {
            started,
            rang: None,
            answered: None,
        }
    }

    /// When the call began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// A provisional response; the first 18x counts.
    pub(super) fn provisional(&mut self, code: u16) {
        if code >= 180 && self.rang.is_none() {
            self.rang = Some(Instant::now());
        }
    }

    pub(super) fn answered(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// The answer could not be sent.
    pub(super) fn not_answered(&mut self) {
        self.answered = None;
    }
}

/// When a session began, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    at: Instant,
    wall_ms: u64,
}

impl Beginning {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            wall_ms: now_ms(),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn wall_ms(self) -> u64 {
        self.wall_ms
    }

    fn ms_at(self, moment: Instant) -> u64 {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(after) => self.wall_ms.saturating_add(ms(after)),
            // A call that waited for the session.
            None => self.wall_ms.saturating_sub(ms(self.at.duration_since(moment))),
        }
    }
}

/// The ended legs of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    legs: Vec<LegSummary>,
    forgotten: u32,
}

impl Past {
    fn keep(&mut self, summary: LegSummary, most: usize) {
        if self.legs.len() >= most.max(1) {
            // The first is the call that the session is about.
            self.legs.remove(usize::from(self.legs.len() > 1));
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.legs.push(summary);
    }

    fn with(self, live: Vec<LegSummary>) -> LegsSummary {
        let Self { mut legs, forgotten } = self;
        for leg in live {
            let same = |past: &LegSummary| past.leg == leg.leg && past.started_ms == leg.started_ms;
            if !legs.iter().any(same) {
                legs.push(leg);
            }
        }
        LegsSummary { legs, forgotten }
    }
}

impl Session {
    /// The legs that it has and had.
    #[must_use]
    pub fn legs_summary(&self) -> LegsSummary {
        self.shared.legs_summary()
    }

    /// The same of a session that is over: who asks again gets those only that ended since.
    #[must_use]
    pub fn take_legs_summary(&self) -> LegsSummary {
        let live = self.shared.live_summaries();
        let past = std::mem::take(&mut self.shared.lock().past);
        past.with(live)
    }

    /// When it began, in milliseconds since 1970.
    #[must_use]
    pub fn began_ms(&self) -> u64 {
        self.shared.beginning.wall_ms
    }
}

impl SessionAddress {
    /// The legs that the session has and had; none when it is over.
    #[must_use]
    pub fn legs_summary(&self) -> Option<LegsSummary> {
        Some(self.upgrade()?.legs_summary())
    }

    /// When the session began, in milliseconds since 1970; none when it is over.
    #[must_use]
    pub fn began_ms(&self) -> Option<u64> {
        Some(self.upgrade()?.beginning.wall_ms)
    }
}

impl SessionShared {
    pub(super) fn legs_summary(&self) -> LegsSummary {
        // Looked at before the past is: a leg that ends in between is seen twice rather than not at all, and taken once.
        let live = self.live_summaries();
        let past = self.lock().past.clone();
        past.with(live)
    }

    fn live_summaries(&self) -> Vec<LegSummary> {
        self.legs().iter().filter_map(|leg| leg.summary()).collect()
    }
}

impl LegShared {
    /// The leg's call is over: puts down how. To be called once for each call, with the facts still in place.
    pub(super) fn remember(&self, inner: &LegInner, end: &HangupInfo) {
        let summary = self.describe(inner, Some(end));
        let most = self.session.context.limits.legs_max;
        self.session.lock().past.keep(summary, most);
    }

    /// The call that it has now, if it has one.
    fn summary(&self) -> Option<LegSummary> {
        let inner = self.lock();
        let over = matches!(inner.phase, Phase::Idle | Phase::Surplus | Phase::Terminated);
        (!over).then(|| self.describe(&inner, None))
    }

    fn describe(&self, inner: &LegInner, end: Option<&HangupInfo>) -> LegSummary {
        let beginning = self.session.beginning;
        let ms = |moment| beginning.ms_at(moment);
        let moments = inner.moments;
        let refused = || end.and_then(|end| end.status.as_ref()).map(|status| status.code);
        LegSummary {
            leg: self.id,
            direction: inner.direction,
            state: end.map_or_else(|| inner.state(), |_| CallState::Terminated),
            call_id: inner.facts.summary_call_id(),
            ani: inner.facts.ani(),
            dnis: inner.facts.dnis(),
            destination: inner.facts.request_uri(),
            started_ms: ms(moments.started),
            rang_ms: moments.rang.map(ms),
            answered_ms: moments.answered.map(ms),
            ended_ms: end.map(|_| ms(Instant::now())),
            code: moments.answered.map_or_else(refused, |_| Some(ANSWERED)),
            ended_by: end.map(|end| end.by),
            q850: end.and_then(|end| end.q850),
            text: end.and_then(|end| end.text.clone()),
        }
    }
}
