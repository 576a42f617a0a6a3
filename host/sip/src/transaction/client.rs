//! Non-INVITE client transaction: RFC 3261 figure 6.
//!
//! Entry type: [`Client`]. The user hears of one final response only; copies are absorbed until timer K.

use std::time::Duration;

use super::ResponseClass;
use super::action::{Action, Actions, Failure};
use super::timing::{Timer, Timing};

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// The request is repeated with growing intervals.
    Trying,
    /// A provisional response came; the request is repeated every T2.
    Proceeding,
    /// A final response came; copies are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// The user starts it.
    Start,
    /// A response that matches.
    Response(ResponseClass),
    /// A timer fired.
    Timer(Timer),
    /// The request could not be sent.
    TransportError,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    state: ClientState,
    /// The current interval of timer E.
    interval: Duration,
    reliable: bool,
}

impl Client {
    /// A machine that was not started.
    #[must_use]
    pub fn new(reliable: bool) -> Self {
        Self {
            state: ClientState::Trying,
            interval: Duration::ZERO,
            reliable,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// One step.
    pub fn on(&mut self, input: ClientInput, timing: &Timing) -> Actions {
        use ClientInput as I;
        use ClientState as S;
        match (self.state, input) {
            (S::Trying, I::Start) => {
                self.interval = timing.initial(Timer::E, self.reliable);
                let f = Action::Start(Timer::F, timing.initial(Timer::F, self.reliable));
                if self.reliable {
                    Actions::of([Action::Send, f])
                } else {
                    Actions::of([Action::Send, Action::Start(Timer::E, self.interval), f])
                }
            }
            (S::Trying, I::Timer(Timer::E)) => {
                self.interval = timing.doubled_to_t2(self.interval);
                Actions::of([Action::Send, Action::Start(Timer::E, self.interval)])
            }
            (S::Proceeding, I::Timer(Timer::E)) => {
                self.interval = timing.t2;
                Actions::of([Action::Send, Action::Start(Timer::E, timing.t2)])
            }
            (S::Trying | S::Proceeding, I::Timer(Timer::F)) => self.end([
                Action::Stop(Timer::E),
                Action::Fail(Failure::Timeout),
                Action::Terminated,
            ]),
            (S::Trying | S::Proceeding, I::TransportError) => {
                self.end([Action::Fail(Failure::Transport), Action::Terminated])
            }
            (S::Trying | S::Proceeding, I::Response(ResponseClass::Provisional)) => {
                self.state = S::Proceeding;
                Actions::of([Action::Deliver])
            }
            (S::Trying | S::Proceeding, I::Response(_)) => {
                let stop_e = Action::Stop(Timer::E);
                let stop_f = Action::Stop(Timer::F);
                let k = timing.initial(Timer::K, self.reliable);
                if k.is_zero() {
                    return self.end([stop_e, stop_f, Action::Deliver, Action::Terminated]);
                }
                self.state = S::Completed;
                Actions::of([stop_e, stop_f, Action::Start(Timer::K, k), Action::Deliver])
            }
            (S::Completed, I::Timer(Timer::K)) => self.end([Action::Terminated]),
            _ => Actions::none(),
        }
    }

    fn end<const N: usize>(&mut self, actions: [Action; N]) -> Actions {
        self.state = ClientState::Terminated;
        Actions::of(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientInput as I;
    use ClientState as S;
    use ResponseClass::{Failure as Fail, Provisional as Prov, Success as Succ};

    #[test]
    fn every_transition_over_udp() {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let last = vec![
            Action::Stop(Timer::E),
            Action::Stop(Timer::F),
            Action::Start(Timer::K, s(5)),
            Action::Deliver,
        ];
        let timed_out = vec![
            Action::Stop(Timer::E),
            Action::Fail(Failure::Timeout),
            Action::Terminated,
        ];
        let broken = vec![Action::Fail(Failure::Transport), Action::Terminated];
        let table: Vec<(S, I, S, Vec<Action>)> = vec![
            (
                S::Trying,
                I::Start,
                S::Trying,
                vec![
                    Action::Send,
                    Action::Start(Timer::E, ms(500)),
                    Action::Start(Timer::F, s(32)),
                ],
            ),
            (
                S::Trying,
                I::Timer(Timer::E),
                S::Trying,
                vec![Action::Send, Action::Start(Timer::E, s(1))],
            ),
            (S::Trying, I::Timer(Timer::F), S::Terminated, timed_out.clone()),
            (S::Trying, I::TransportError, S::Terminated, broken.clone()),
            (S::Trying, I::Response(Prov), S::Proceeding, vec![Action::Deliver]),
            (S::Trying, I::Response(Succ), S::Completed, last.clone()),
            (S::Trying, I::Response(Fail), S::Completed, last.clone()),
            (
                S::Proceeding,
                I::Timer(Timer::E),
                S::Proceeding,
                vec![Action::Send, Action::Start(Timer::E, s(4))],
            ),
            (S::Proceeding, I::Timer(Timer::F), S::Terminated, timed_out),
            (S::Proceeding, I::TransportError, S::Terminated, broken),
            (
                S::Proceeding,
                I::Response(Prov),
                S::Proceeding,
                vec![Action::Deliver],
            ),
            (S::Proceeding, I::Response(Succ), S::Completed, last.clone()),
            (S::Proceeding, I::Response(Fail), S::Completed, last),
            (
                S::Completed,
                I::Timer(Timer::K),
                S::Terminated,
                vec![Action::Terminated],
            ),
        ];
        let mut inputs = vec![
            I::Start,
            I::Response(Prov),
            I::Response(Succ),
            I::Response(Fail),
            I::TransportError,
        ];
        inputs.extend([Timer::E, Timer::F, Timer::K].map(I::Timer));
        for state in [S::Trying, S::Proceeding, S::Completed, S::Terminated] {
            for input in &inputs {
                let mut machine = Client {
                    state,
                    interval: ms(500),
                    reliable: false,
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
    fn timer_e_doubles_up_to_t2() {
        let timing = Timing::default();
        let mut machine = Client::new(false);
        machine.on(I::Start, &timing);
        for ms in [1_000, 2_000, 4_000, 4_000, 4_000] {
            let want = Action::Start(Timer::E, Duration::from_millis(ms));
            assert!(
                machine.on(I::Timer(Timer::E), &timing).iter().any(|a| a == want),
                "{ms}"
            );
        }
    }

    #[test]
    fn over_tcp_nothing_is_repeated_and_a_final_response_ends_at_once() {
        let timing = Timing::default();
        let mut machine = Client::new(true);
        let started: Vec<_> = machine.on(I::Start, &timing).into_iter().collect();
        assert_eq!(
            started,
            [Action::Send, Action::Start(Timer::F, Duration::from_secs(32))]
        );
        let ended: Vec<_> = machine.on(I::Response(Succ), &timing).into_iter().collect();
        assert_eq!(ended[2..], [Action::Deliver, Action::Terminated]);
    }
}
