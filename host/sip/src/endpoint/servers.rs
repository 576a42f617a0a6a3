//! Server transactions of an endpoint: the table, and the carrying out of what their machines ask.
//!
//! Does not know what a request means. Entry type: [`ServerTransaction`]. Invariants: one final response a transaction,
//! later copies octet-equal; an ACK is never answered.

use std::time::Instant;

use bytes::Bytes;

use super::address::{Destination, Path};
use super::command::Header;
use super::compose::{self, ResponseParts};
use super::event::LegId;
use super::{Endpoint, TimerKey, Transmit};
use crate::timer::Running;
use crate::transaction::{
    Action, Actions, Failure, ResponseClass, Server, ServerInput, ServerInvite, ServerInviteInput,
    ServerInviteState, Timer,
};

/// A server transaction.
#[derive(Debug)]
pub(crate) struct ServerTransaction {
    machine: Machine,
    key: u128,
    /// The key by which copies that came another way are recognised.
    merged: Option<u128>,
    /// Where responses go.
    path: Path,
    /// The lines that each response begins with. Empty once the final response was given.
    head: Bytes,
    /// The last response.
    last: Option<Bytes>,
    /// The leg that an INVITE belongs to.
    pub(crate) leg: Option<LegId>,
    timers: Running<Timer>,
}

#[derive(Debug)]
enum Machine {
    Invite(ServerInvite),
    Other(Server),
}

/// What a new server transaction is made of.
#[derive(Debug)]
pub(crate) struct NewServer {
    pub(crate) key: u128,
    pub(crate) merged: Option<u128>,
    pub(crate) path: Path,
    pub(crate) head: Bytes,
    pub(crate) invite: bool,
    pub(crate) leg: Option<LegId>,
}

/// A copy of a request, or an ACK, that a server transaction took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Dealt with.
    Absorbed,
    /// An ACK for a 2xx: the leg must hear of it.
    AckForLeg,
}

impl Machine {
    fn place(&self) -> Option<usize> {
        match self {
            Self::Invite(machine) => machine.state().place(),
            Self::Other(machine) => machine.state().place(),
        }
    }
}

impl ServerTransaction {
    /// Where responses go.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is an INVITE without a final response.
    pub(crate) fn is_open_invite(&self) -> bool {
        matches!(&self.machine, Machine::Invite(machine) if machine.state() == ServerInviteState::Proceeding)
    }
}

impl Endpoint {
    /// Opens a transaction and starts its machine. The caller goes on with the request.
    pub(crate) fn open_server(&mut self, now: Instant, new: NewServer) -> u32 {
        let reliable = new.path.protocol.is_reliable();
        let machine = if new.invite {
            Machine::Invite(ServerInvite::new(reliable))
        } else {
            Machine::Other(Server::new(reliable))
        };
        let transaction = ServerTransaction {
            machine,
            key: new.key,
            merged: new.merged,
            path: new.path,
            head: new.head,
            last: None,
            leg: new.leg,
            timers: Running::new(),
        };
        self.population.moved(None, transaction.machine.place());
        let slot = self.servers.insert(transaction) as u32;
        self.server_index.insert(new.key, slot);
        if let Some(merged) = new.merged {
            self.merged_index.insert(merged, slot);
        }
        if new.invite {
            self.server_invite_input(now, slot, ServerInviteInput::Start);
        } else {
            self.server_input(now, slot, ServerInput::Start);
        }
        slot
    }

    /// A request whose key is known came again, or its ACK came.
    pub(crate) fn server_repeat(&mut self, now: Instant, slot: u32, is_ack: bool) -> Taken {
        let Some(transaction) = self.servers.get(slot as usize) else {
            return Taken::Absorbed;
        };
        match (&transaction.machine, is_ack) {
            (Machine::Invite(_), true) => {
                if self.server_invite_input(now, slot, ServerInviteInput::Ack) {
                    return Taken::AckForLeg;
                }
            }
            (Machine::Invite(_), false) => {
                self.stats.absorbed += 1;
                self.server_invite_input(now, slot, ServerInviteInput::Retransmission);
            }
            (Machine::Other(_), false) => {
                self.stats.absorbed += 1;
                self.server_input(now, slot, ServerInput::Retransmission);
            }
            (Machine::Other(_), true) => self.stats.strays += 1,
        }
        Taken::Absorbed
    }

    /// Writes a response and hands it to the transaction. Nothing is sent when the final response was given before.
    pub(crate) fn respond(&mut self, now: Instant, slot: u32, parts: ResponseParts<'_>) -> Option<Bytes> {
        let transaction = self.servers.get_mut(slot as usize)?;
        let head = transaction.head.clone();
        if head.is_empty() {
            self.stats.invariant_breaks += 1;
            return None;
        }
        let parts = ResponseParts { head: &head, ..parts };
        let bytes = compose::response(&mut self.scratch, &parts);
        let class = ResponseClass::of(parts.code);
        transaction.last = Some(bytes.clone());
        if class != ResponseClass::Provisional {
            transaction.head = Bytes::new();
        }
        if matches!(transaction.machine, Machine::Invite(_)) {
            self.server_invite_input(now, slot, ServerInviteInput::Respond(class));
            if class == ResponseClass::Success
                && let Some(transaction) = self.servers.get_mut(slot as usize)
            {
                // RFC 6026: copies of the INVITE are absorbed from here on; the leg repeats the 2xx.
                transaction.last = None;
            }
        } else {
            self.server_input(now, slot, ServerInput::Respond(class));
        }
        Some(bytes)
    }

    /// Sends the last response once more, unasked.
    pub(crate) fn server_resend(&mut self, slot: u32) {
        let Some(transaction) = self.servers.get(slot as usize) else {
            return;
        };
        let Some(payload) = transaction.last.clone() else {
            return;
        };
        let to = Destination::Path(transaction.path);
        self.stats.retransmitted += 1;
        self.transmit(Transmit {
            to,
            payload,
            token: None,
        });
    }

    /// A final response without a body, in the host's words.
    pub(crate) fn respond_refusal(
        &mut self,
        now: Instant,
        slot: u32,
        (code, reason): (u16, Option<&str>),
        headers: &[Header],
    ) {
        let lines = self.server_lines();
        let parts = ResponseParts {
            code,
            reason,
            head: &[],
            lines: &lines,
            headers,
            body: None,
        };
        self.respond(now, slot, parts);
    }

    /// A short response with nothing but a code and lines of ours.
    pub(crate) fn respond_plain(&mut self, now: Instant, slot: u32, code: u16, lines: &[u8]) {
        self.respond(
            now,
            slot,
            ResponseParts {
                code,
                reason: None,
                head: &[],
                lines,
                headers: &[],
                body: None,
            },
        );
    }

    pub(crate) fn server_timer(&mut self, now: Instant, slot: u32, timer: Timer) {
        let Some(transaction) = self.servers.get_mut(slot as usize) else {
            return;
        };
        transaction.timers.take(timer);
        match transaction.machine {
            Machine::Invite(_) => {
                self.server_invite_input(now, slot, ServerInviteInput::Timer(timer));
            }
            Machine::Other(_) => self.server_input(now, slot, ServerInput::Timer(timer)),
        }
    }

    /// True when the leg must hear of it (an ACK for a 2xx).
    fn server_invite_input(&mut self, now: Instant, slot: u32, input: ServerInviteInput) -> bool {
        let Some(transaction) = self.servers.get_mut(slot as usize) else {
            return false;
        };
        let Machine::Invite(machine) = &mut transaction.machine else {
            return false;
        };
        let before = machine.state().place();
        let actions = machine.on(input, &self.config.timing);
        self.population.moved(before, machine.state().place());
        let repeats = matches!(
            input,
            ServerInviteInput::Timer(_) | ServerInviteInput::Retransmission
        );
        self.run_server(now, slot, actions, repeats)
    }

    fn server_input(&mut self, now: Instant, slot: u32, input: ServerInput) {
        let Some(transaction) = self.servers.get_mut(slot as usize) else {
            return;
        };
        let Machine::Other(machine) = &mut transaction.machine else {
            return;
        };
        let before = machine.state().place();
        let actions = machine.on(input, &self.config.timing);
        self.population.moved(before, machine.state().place());
        self.run_server(now, slot, actions, matches!(input, ServerInput::Retransmission));
    }

    fn run_server(&mut self, now: Instant, slot: u32, actions: Actions, repeats: bool) -> bool {
        let mut deliver = false;
        for action in actions {
            let Some(transaction) = self.servers.get_mut(slot as usize) else {
                break;
            };
            match action {
                Action::Send => {
                    let Some(payload) = transaction.last.clone() else {
                        continue;
                    };
                    self.stats.retransmitted += u64::from(repeats);
                    let to = Destination::Path(transaction.path);
                    self.transmit(Transmit {
                        to,
                        payload,
                        token: None,
                    });
                }
                Action::SendTrying => {
                    let parts = ResponseParts {
                        code: 100,
                        reason: None,
                        head: &transaction.head,
                        lines: &[],
                        headers: &[],
                        body: None,
                    };
                    let payload = compose::response(&mut self.scratch, &parts);
                    transaction.last = Some(payload.clone());
                    let to = Destination::Path(transaction.path);
                    self.transmit(Transmit {
                        to,
                        payload,
                        token: None,
                    });
                }
                Action::Start(timer, after) => {
                    let key = TimerKey::Server(slot, timer);
                    let id = if timer.only_releases() {
                        self.timers.set_coarse(now, after, key)
                    } else {
                        self.timers.set(now, after, key)
                    };
                    if let Some(old) = transaction.timers.put(timer, id) {
                        self.timers.stop(old);
                    }
                }
                Action::Stop(timer) => {
                    if let Some(id) = transaction.timers.take(timer) {
                        self.timers.stop(id);
                    }
                }
                Action::Deliver => deliver = true,
                // The user of a failed response has ended already; what it sent stays absorbed until the timers end it.
                Action::Fail(Failure::Timeout | Failure::Transport) | Action::SendAck => {}
                Action::Terminated => self.close_server(slot),
            }
        }
        deliver
    }

    fn close_server(&mut self, slot: u32) {
        let Some(mut transaction) = self.servers.try_remove(slot as usize) else {
            return;
        };
        for id in transaction.timers.drain() {
            self.timers.stop(id);
        }
        self.population.moved(transaction.machine.place(), None);
        self.server_index.remove(&transaction.key);
        if let Some(merged) = transaction.merged {
            self.merged_index.remove(&merged);
        }
    }
}
