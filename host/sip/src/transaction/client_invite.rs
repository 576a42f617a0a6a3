//! INVITE client transaction: RFC 3261 figure 5 as replaced by RFC 6026 figure 8 (state Accepted, timer M).
//!
//! Does not know who ACKs a 2xx: that is the user's work, so every copy of a 2xx is delivered. Entry type:
//! [`ClientInvite`].

use std::time::Duration;

use super::ResponseClass;
use super::action::{Action, Actions, Failure};
use super::timing::{Timer, Timing};

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInviteState {
    /// The INVITE is repeated until a response comes.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A failure came and was ACKed; copies are ACKed again.
    Completed,
    /// A 2xx came; copies and other 2xx go to the user.
    Accepted,
    /// Over.
    Terminated,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInviteInput {
    /// The user starts it.
    Start,
    /// A response that matches.
    Response(ResponseClass),
    /// A timer fired.
    Timer(Timer),
    /// The request or the ACK could not be sent.
    TransportError,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct ClientInvite {
    state: ClientInviteState,
    /// The current interval of timer A.
    interval: Duration,
    reliable: bool,
}

impl ClientInvite {
    /// A machine that was not started.
    #[must_use]
    pub fn new(reliable: bool) -> Self {
        Self {
            state: ClientInviteState::Calling,
            interval: Duration::ZERO,
            reliable,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> ClientInviteState {
        self.state
    }

    /// One step.
    pub fn on(&mut self, input: ClientInviteInput, timing: &Timing) -> Actions {
        use ClientInviteInput as I;
        use ClientInviteState as S;
        match (self.state, input) {
            (S::Calling, I::Start) => {
                self.interval = timing.initial(Timer::A, self.reliable);
                let b = Action::Start(Timer::B, timing.initial(Timer::B, self.reliable));
                if self.reliable {
                    Actions::of([Action::Send, b])
                } else {
                    Actions::of([Action::Send, Action::Start(Timer::A, self.interval), b])
                }
            }
            (S::Calling, I::Timer(Timer::A)) => {
                self.interval = self.interval.saturating_mul(2);
                Actions::of([Action::Send, Action::Start(Timer::A, self.interval)])
            }
            (S::Calling, I::Timer(Timer::B)) => {
                self.end([Action::Fail(Failure::Timeout), Action::Terminated])
            }
            (S::Calling | S::Completed, I::TransportError) => {
                self.end([Action::Fail(Failure::Transport), Action::Terminated])
            }
            (S::Calling, I::Response(ResponseClass::Provisional)) => {
                self.state = S::Proceeding;
                Actions::of([Action::Stop(Timer::A), Action::Stop(Timer::B), Action::Deliver])
            }
            (S::Proceeding, I::Response(ResponseClass::Provisional)) => Actions::of([Action::Deliver]),
            (S::Calling | S::Proceeding, I::Response(ResponseClass::Success)) => {
                self.state = S::Accepted;
                Actions::of([
                    Action::Stop(Timer::A),
                    Action::Stop(Timer::B),
                    Action::Start(Timer::M, timing.initial(Timer::M, self.reliable)),
                    Action::Deliver,
                ])
            }
            (S::Calling | S::Proceeding, I::Response(ResponseClass::Failure)) => {
                let stop_a = Action::Stop(Timer::A);
                let stop_b = Action::Stop(Timer::B);
                let d = timing.initial(Timer::D, self.reliable);
                if d.is_zero() {
                    return self.end([
                        stop_a,
                        stop_b,
                        Action::SendAck,
                        Action::Deliver,
                        Action::Terminated,
                    ]);
                }
                self.state = S::Completed;
                Actions::of([
                    stop_a,
                    stop_b,
                    Action::SendAck,
                    Action::Start(Timer::D, d),
                    Action::Deliver,
                ])
            }
            (S::Completed, I::Response(ResponseClass::Failure)) => Actions::of([Action::SendAck]),
            (S::Completed, I::Timer(Timer::D)) | (S::Accepted, I::Timer(Timer::M)) => {
                self.end([Action::Terminated])
            }
            (S::Accepted, I::Response(ResponseClass::Success)) => Actions::of([Action::Deliver]),
            _ => Actions::none(),
        }
    }

    fn end<const N: usize>(&mut self, actions: [Action; N]) -> Actions {
        self.state = ClientInviteState::Terminated;
        Actions::of(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientInviteInput as I;
    use ClientInviteState as S;
    use ResponseClass::{Failure as Fail, Provisional as Prov, Success as Succ};

    const EVERY_STATE: [S; 5] = [
        S::Calling,
        S::Proceeding,
        S::Completed,
        S::Accepted,
        S::Terminated,
    ];

    fn at(state: S, reliable: bool) -> ClientInvite {
        ClientInvite {
            state,
            interval: Duration::from_millis(500),
            reliable,
        }
    }

    fn every_input() -> Vec<I> {
        let mut inputs = vec![
            I::Start,
            I::Response(Prov),
            I::Response(Succ),
            I::Response(Fail),
            I::TransportError,
        ];
        inputs.extend([Timer::A, Timer::B, Timer::D, Timer::M].map(I::Timer));
        inputs
    }

    #[test]
    fn every_transition_over_udp() {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let stop = [Action::Stop(Timer::A), Action::Stop(Timer::B)];
        let table: Vec<(S, I, S, Vec<Action>)> = vec![
            (
                S::Calling,
                I::Start,
                S::Calling,
                vec![
                    Action::Send,
                    Action::Start(Timer::A, ms(500)),
                    Action::Start(Timer::B, s(32)),
                ],
            ),
            (
                S::Calling,
                I::Timer(Timer::A),
                S::Calling,
                vec![Action::Send, Action::Start(Timer::A, s(1))],
            ),
            (
                S::Calling,
                I::Timer(Timer::B),
                S::Terminated,
                vec![Action::Fail(Failure::Timeout), Action::Terminated],
            ),
            (
                S::Calling,
                I::TransportError,
                S::Terminated,
                vec![Action::Fail(Failure::Transport), Action::Terminated],
            ),
            (
                S::Calling,
                I::Response(Prov),
                S::Proceeding,
                vec![stop[0], stop[1], Action::Deliver],
            ),
            (
                S::Calling,
                I::Response(Succ),
                S::Accepted,
                vec![stop[0], stop[1], Action::Start(Timer::M, s(32)), Action::Deliver],
            ),
            (
                S::Calling,
                I::Response(Fail),
                S::Completed,
                vec![
                    stop[0],
                    stop[1],
                    Action::SendAck,
                    Action::Start(Timer::D, s(32)),
                    Action::Deliver,
                ],
            ),
            (
                S::Proceeding,
                I::Response(Prov),
                S::Proceeding,
                vec![Action::Deliver],
            ),
            (
                S::Proceeding,
                I::Response(Succ),
                S::Accepted,
                vec![stop[0], stop[1], Action::Start(Timer::M, s(32)), Action::Deliver],
            ),
            (
                S::Proceeding,
                I::Response(Fail),
                S::Completed,
                vec![
                    stop[0],
                    stop[1],
                    Action::SendAck,
                    Action::Start(Timer::D, s(32)),
                    Action::Deliver,
                ],
            ),
            (
                S::Completed,
                I::Response(Fail),
                S::Completed,
                vec![Action::SendAck],
            ),
            (
                S::Completed,
                I::Timer(Timer::D),
                S::Terminated,
                vec![Action::Terminated],
            ),
            (
                S::Completed,
                I::TransportError,
                S::Terminated,
                vec![Action::Fail(Failure::Transport), Action::Terminated],
            ),
            (S::Accepted, I::Response(Succ), S::Accepted, vec![Action::Deliver]),
            (
                S::Accepted,
                I::Timer(Timer::M),
                S::Terminated,
                vec![Action::Terminated],
            ),
        ];
        for state in EVERY_STATE {
            for input in every_input() {
                let mut machine = at(state, false);
                let actions: Vec<_> = machine.on(input, &Timing::default()).into_iter().collect();
                match table.iter().find(|row| row.0 == state && row.1 == input) {
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
    fn over_tcp_nothing_is_repeated_and_a_failure_ends_at_once() {
        let mut machine = ClientInvite::new(true);
        let started: Vec<_> = machine.on(I::Start, &Timing::default()).into_iter().collect();
        assert_eq!(
            started,
            [Action::Send, Action::Start(Timer::B, Duration::from_secs(32))]
        );
        let failed: Vec<_> = machine
            .on(I::Response(Fail), &Timing::default())
            .into_iter()
            .collect();
        assert_eq!(
            failed[2..],
            [Action::SendAck, Action::Deliver, Action::Terminated]
        );
        assert_eq!(machine.state(), S::Terminated);
    }

    #[test]
    fn timer_a_doubles_without_a_ceiling() {
        let timing = Timing::default();
        let mut machine = ClientInvite::new(false);
        machine.on(I::Start, &timing);
        for ms in [1_000, 2_000, 4_000, 8_000, 16_000] {
            let want = Action::Start(Timer::A, Duration::from_millis(ms));
            assert!(
                machine.on(I::Timer(Timer::A), &timing).iter().any(|a| a == want),
                "{ms}"
            );
        }
    }
}
