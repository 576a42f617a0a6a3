//! INVITE server transaction: RFC 3261 figure 7 as replaced by RFC 6026 figure 7 (state Accepted, timer L).
//!
//! Does not repeat a 2xx (the user does, end to end) and never forgets its state for a transport error (RFC 6026 §7.1), so
//! that late copies of the INVITE stay absorbed. Entry type: [`ServerInvite`].

use std::time::Duration;

use super::ResponseClass;
use super::action::{Action, Actions, Failure};
use super::timing::{Timer, Timing};

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInviteState {
    /// No final response yet.
    Proceeding,
    /// A failure was sent; it is repeated until the ACK.
    Completed,
    /// The ACK of the failure came.
    Confirmed,
    /// A 2xx was sent; copies of the INVITE are absorbed, ACKs go to the user.
    Accepted,
    /// Over.
    Terminated,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInviteInput {
    /// The INVITE came.
    Start,
    /// A copy of the INVITE came.
    Retransmission,
    /// The user gives a response.
    Respond(ResponseClass),
    /// An ACK that matches.
    Ack,
    /// A timer fired.
    Timer(Timer),
    /// A response could not be sent.
    TransportError,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct ServerInvite {
    state: ServerInviteState,
    /// The current interval of timer G.
    interval: Duration,
    reliable: bool,
    /// A response was given, so a copy of the INVITE has an answer.
    responded: bool,
}

impl ServerInvite {
    /// A machine that was not started.
    #[must_use]
    pub fn new(reliable: bool) -> Self {
        Self {
            state: ServerInviteState::Proceeding,
            interval: Duration::ZERO,
            reliable,
            responded: false,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> ServerInviteState {
        self.state
    }

    /// One step.
    pub fn on(&mut self, input: ServerInviteInput, timing: &Timing) -> Actions {
        use ServerInviteInput as I;
        use ServerInviteState as S;
        match (self.state, input) {
            (S::Proceeding, I::Start) => Actions::of([
                Action::Start(Timer::Trying, timing.initial(Timer::Trying, self.reliable)),
                Action::Deliver,
            ]),
            // A copy before the 200 ms are over: the peer is in a hurry, tell it at once.
            (S::Proceeding, I::Retransmission) if !self.responded => {
                self.responded = true;
                Actions::of([Action::Stop(Timer::Trying), Action::SendTrying])
            }
            (S::Proceeding, I::Timer(Timer::Trying)) if !self.responded => {
                self.responded = true;
                Actions::of([Action::SendTrying])
            }
            (S::Proceeding | S::Completed, I::Retransmission) => Actions::of([Action::Send]),
            (S::Proceeding, I::Respond(ResponseClass::Provisional)) => {
                self.responded = true;
                Actions::of([Action::Stop(Timer::Trying), Action::Send])
            }
            (S::Proceeding, I::Respond(ResponseClass::Success)) => {
                self.state = S::Accepted;
                Actions::of([
                    Action::Stop(Timer::Trying),
                    Action::Send,
                    Action::Start(Timer::L, timing.initial(Timer::L, self.reliable)),
                ])
            }
            (S::Proceeding, I::Respond(ResponseClass::Failure)) => {
                self.state = S::Completed;
                let h = Action::Start(Timer::H, timing.initial(Timer::H, self.reliable));
                if self.reliable {
                    return Actions::of([Action::Stop(Timer::Trying), Action::Send, h]);
                }
                self.interval = timing.initial(Timer::G, false);
                Actions::of([
                    Action::Stop(Timer::Trying),
                    Action::Send,
                    Action::Start(Timer::G, self.interval),
                    h,
                ])
            }
            (S::Completed, I::Timer(Timer::G)) => {
                self.interval = timing.doubled_to_t2(self.interval);
                Actions::of([Action::Send, Action::Start(Timer::G, self.interval)])
            }
            (S::Completed, I::Timer(Timer::H)) => {
                self.state = S::Terminated;
                Actions::of([
                    Action::Stop(Timer::G),
                    Action::Fail(Failure::Timeout),
                    Action::Terminated,
                ])
            }
            (S::Completed, I::Ack) => {
                let i = timing.initial(Timer::I, self.reliable);
                let stop_g = Action::Stop(Timer::G);
                let stop_h = Action::Stop(Timer::H);
                if i.is_zero() {
                    self.state = S::Terminated;
                    return Actions::of([stop_g, stop_h, Action::Terminated]);
                }
                self.state = S::Confirmed;
                Actions::of([stop_g, stop_h, Action::Start(Timer::I, i)])
            }
            (S::Accepted, I::Respond(ResponseClass::Success)) => Actions::of([Action::Send]),
            (S::Accepted, I::Ack) => Actions::of([Action::Deliver]),
            (S::Confirmed, I::Timer(Timer::I)) | (S::Accepted, I::Timer(Timer::L)) => {
                self.state = S::Terminated;
                Actions::of([Action::Terminated])
            }
            (S::Proceeding | S::Completed | S::Accepted, I::TransportError) => {
                Actions::of([Action::Fail(Failure::Transport)])
            }
            _ => Actions::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResponseClass::{Failure as Fail, Provisional as Prov, Success as Succ};
    use ServerInviteInput as I;
    use ServerInviteState as S;

    #[test]
    fn every_transition_over_udp() {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let no_trying = Action::Stop(Timer::Trying);
        let lost = vec![Action::Fail(Failure::Transport)];
        let table: Vec<(S, I, S, Vec<Action>)> = vec![
            (
                S::Proceeding,
                I::Start,
                S::Proceeding,
                vec![Action::Start(Timer::Trying, ms(200)), Action::Deliver],
            ),
            (
                S::Proceeding,
                I::Retransmission,
                S::Proceeding,
                vec![no_trying, Action::SendTrying],
            ),
            (
                S::Proceeding,
                I::Timer(Timer::Trying),
                S::Proceeding,
                vec![Action::SendTrying],
            ),
            (
                S::Proceeding,
                I::Respond(Prov),
                S::Proceeding,
                vec![no_trying, Action::Send],
            ),
            (
                S::Proceeding,
                I::Respond(Succ),
                S::Accepted,
                vec![no_trying, Action::Send, Action::Start(Timer::L, s(32))],
            ),
            (
                S::Proceeding,
                I::Respond(Fail),
                S::Completed,
                vec![
                    no_trying,
                    Action::Send,
                    Action::Start(Timer::G, ms(500)),
                    Action::Start(Timer::H, s(32)),
                ],
            ),
            (S::Proceeding, I::TransportError, S::Proceeding, lost.clone()),
            (S::Completed, I::Retransmission, S::Completed, vec![Action::Send]),
            (
                S::Completed,
                I::Timer(Timer::G),
                S::Completed,
                vec![Action::Send, Action::Start(Timer::G, s(1))],
            ),
            (
                S::Completed,
                I::Timer(Timer::H),
                S::Terminated,
                vec![
                    Action::Stop(Timer::G),
                    Action::Fail(Failure::Timeout),
                    Action::Terminated,
                ],
            ),
            (
                S::Completed,
                I::Ack,
                S::Confirmed,
                vec![
                    Action::Stop(Timer::G),
                    Action::Stop(Timer::H),
                    Action::Start(Timer::I, s(5)),
                ],
            ),
            (S::Completed, I::TransportError, S::Completed, lost.clone()),
            (
                S::Confirmed,
                I::Timer(Timer::I),
                S::Terminated,
                vec![Action::Terminated],
            ),
            (S::Accepted, I::Respond(Succ), S::Accepted, vec![Action::Send]),
            (S::Accepted, I::Ack, S::Accepted, vec![Action::Deliver]),
            (
                S::Accepted,
                I::Timer(Timer::L),
                S::Terminated,
                vec![Action::Terminated],
            ),
            (S::Accepted, I::TransportError, S::Accepted, lost),
        ];
        let mut inputs = vec![I::Start, I::Retransmission, I::Ack, I::TransportError];
        inputs.extend([Prov, Succ, Fail].map(I::Respond));
        inputs.extend([Timer::G, Timer::H, Timer::I, Timer::L, Timer::Trying].map(I::Timer));
        for state in [
            S::Proceeding,
            S::Completed,
            S::Confirmed,
            S::Accepted,
            S::Terminated,
        ] {
            for input in &inputs {
                let mut machine = ServerInvite {
                    state,
                    interval: ms(500),
                    reliable: false,
                    responded: false,
                };
                let actions: Vec<_> = machine.on(*input, &Timing::default()).into_iter().collect();
                match table.iter().find(|row| row.0 == state && row.1 == *input) {
                    Some((_, _, next, want)) => {
                        assert_eq!((machine.state, &actions), (*next, want), "{state:?} {input:?}");
                    }
                    None => assert_eq!(
                        (machine.state, actions),
                        (state, vec![]),
                        "{state:?} {input:?} does nothing"
                    ),
                }
            }
        }
    }

    #[test]
    fn a_copy_of_the_invite_gets_the_last_response_again() {
        let timing = Timing::default();
        let mut machine = ServerInvite::new(false);
        machine.on(I::Start, &timing);
        machine.on(I::Respond(Prov), &timing);
        assert_eq!(
            machine.on(I::Retransmission, &timing),
            Actions::of([Action::Send])
        );
        assert_eq!(machine.on(I::Timer(Timer::Trying), &timing), Actions::none());
    }

    #[test]
    fn timer_g_doubles_up_to_t2() {
        let timing = Timing::default();
        let mut machine = ServerInvite::new(false);
        machine.on(I::Respond(Fail), &timing);
        for ms in [1_000, 2_000, 4_000, 4_000] {
            let want = Action::Start(Timer::G, Duration::from_millis(ms));
            assert!(
                machine.on(I::Timer(Timer::G), &timing).iter().any(|a| a == want),
                "{ms}"
            );
        }
    }

    #[test]
    fn over_tcp_a_failure_is_not_repeated_but_still_waits_for_its_ack() {
        let timing = Timing::default();
        let mut machine = ServerInvite::new(true);
        let sent: Vec<_> = machine.on(I::Respond(Fail), &timing).into_iter().collect();
        assert_eq!(
            sent,
            [
                Action::Stop(Timer::Trying),
                Action::Send,
                Action::Start(Timer::H, Duration::from_secs(32))
            ]
        );
        machine.on(I::Ack, &timing);
        assert_eq!(machine.state(), S::Terminated);
    }

    #[test]
    fn an_ack_is_never_answered() {
        for state in [
            S::Proceeding,
            S::Completed,
            S::Confirmed,
            S::Accepted,
            S::Terminated,
        ] {
            let mut machine = ServerInvite {
                state,
                interval: Duration::ZERO,
                reliable: false,
                responded: true,
            };
            let sends = |a: Action| matches!(a, Action::Send | Action::SendTrying);
            assert!(
                !machine.on(I::Ack, &Timing::default()).into_iter().any(sends),
                "{state:?}"
            );
        }
    }
}
