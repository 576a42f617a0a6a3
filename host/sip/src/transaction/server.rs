//! Non-INVITE server transaction: RFC 3261 figure 8.
//!
//! As for INVITE, a transport error does not end it (RFC 6026 §7.1): copies of the request stay absorbed. Entry type:
//! [`Server`].

use super::ResponseClass;
use super::action::{Action, Actions, Failure};
use super::timing::{Timer, Timing};

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// No response yet; copies of the request are dropped.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent; copies of the request get it again.
    Completed,
    /// Over.
    Terminated,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInput {
    /// The request came.
    Start,
    /// A copy of it came.
    Retransmission,
    /// The user gives a response.
    Respond(ResponseClass),
    /// A timer fired.
    Timer(Timer),
    /// A response could not be sent.
    TransportError,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    state: ServerState,
    reliable: bool,
}

impl Server {
    /// A machine that was not started.
    #[must_use]
    pub fn new(reliable: bool) -> Self {
        Self {
            state: ServerState::Trying,
            reliable,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// One step.
    pub fn on(&mut self, input: ServerInput, timing: &Timing) -> Actions {
        use ServerInput as I;
        use ServerState as S;
        match (self.state, input) {
            (S::Trying, I::Start) => Actions::of([Action::Deliver]),
            (S::Trying | S::Proceeding, I::Respond(ResponseClass::Provisional)) => {
                self.state = S::Proceeding;
                Actions::of([Action::Send])
            }
            (S::Trying | S::Proceeding, I::Respond(_)) => {
                let j = timing.initial(Timer::J, self.reliable);
                if j.is_zero() {
                    self.state = S::Terminated;
                    return Actions::of([Action::Send, Action::Terminated]);
                }
                self.state = S::Completed;
                Actions::of([Action::Send, Action::Start(Timer::J, j)])
            }
            (S::Proceeding | S::Completed, I::Retransmission) => Actions::of([Action::Send]),
            (S::Proceeding | S::Completed, I::TransportError) => {
                Actions::of([Action::Fail(Failure::Transport)])
            }
            (S::Completed, I::Timer(Timer::J)) => {
                self.state = S::Terminated;
                Actions::of([Action::Terminated])
            }
            _ => Actions::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use ResponseClass::{Failure as Fail, Provisional as Prov, Success as Succ};
    use ServerInput as I;
    use ServerState as S;

    #[test]
    fn every_transition_over_udp() {
        let last = vec![Action::Send, Action::Start(Timer::J, Duration::from_secs(32))];
        let lost = vec![Action::Fail(Failure::Transport)];
        let table: Vec<(S, I, S, Vec<Action>)> = vec![
            (S::Trying, I::Start, S::Trying, vec![Action::Deliver]),
            (S::Trying, I::Respond(Prov), S::Proceeding, vec![Action::Send]),
            (S::Trying, I::Respond(Succ), S::Completed, last.clone()),
            (S::Trying, I::Respond(Fail), S::Completed, last.clone()),
            (S::Proceeding, I::Respond(Prov), S::Proceeding, vec![Action::Send]),
            (S::Proceeding, I::Respond(Succ), S::Completed, last.clone()),
            (S::Proceeding, I::Respond(Fail), S::Completed, last),
            (
                S::Proceeding,
                I::Retransmission,
                S::Proceeding,
                vec![Action::Send],
            ),
            (S::Proceeding, I::TransportError, S::Proceeding, lost.clone()),
            (S::Completed, I::Retransmission, S::Completed, vec![Action::Send]),
            (S::Completed, I::TransportError, S::Completed, lost),
            (
                S::Completed,
                I::Timer(Timer::J),
                S::Terminated,
                vec![Action::Terminated],
            ),
        ];
        let mut inputs = vec![I::Start, I::Retransmission, I::TransportError, I::Timer(Timer::J)];
        inputs.extend([Prov, Succ, Fail].map(I::Respond));
        for state in [S::Trying, S::Proceeding, S::Completed, S::Terminated] {
            for input in &inputs {
                let mut machine = Server {
                    state,
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
    fn over_tcp_the_final_response_ends_it() {
        let mut machine = Server::new(true);
        let sent: Vec<_> = machine
            .on(I::Respond(Succ), &Timing::default())
            .into_iter()
            .collect();
        assert_eq!(sent, [Action::Send, Action::Terminated]);
        assert_eq!(machine.state(), S::Terminated);
    }
}
