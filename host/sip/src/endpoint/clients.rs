//! Client transactions of an endpoint: the table, and the carrying out of what their machines ask.
//!
//! Does not know what a response means; its user (a leg) does. Entry type: [`ClientTransaction`]. Invariant: a request
//! is composed once, its copies are octet-equal.

use std::time::Instant;

use bytes::Bytes;

use super::address::{ConnectionId, Destination, Path};
use super::compose;
use super::event::{LegId, PeerRequestId, RequestId};
use super::output::{TransmitToken, TransportFailure};
use super::registration::RegistrationId;
use super::subscription::SubscriptionId;
use super::{Endpoint, TimerKey, Transmit};
use crate::message::{HeaderName, Message};
use crate::rng::Token;
use crate::timer::Running;
use crate::transaction::{
    Action, Actions, Client, ClientInput, ClientInvite, ClientInviteInput, ClientInviteState, Failure,
    ResponseClass, Timer,
};

/// Who hears of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientUser {
    /// Nobody any more.
    Nobody,
    /// The INVITE of a leg.
    Invite(LegId),
    /// A PRACK of a leg.
    Prack(LegId),
    /// The BYE of a leg.
    Bye(LegId),
    /// A request of the host on a leg.
    Request(LegId, RequestId),
    /// Our NOTIFY about the peer's REFER on a leg.
    Notify(LegId, PeerRequestId),
    /// Our re-INVITE or UPDATE on a leg.
    Reoffer(LegId, RequestId),
    /// Our refresh of the session of a leg.
    Refresh(LegId),
    /// A registration.
    Register(RegistrationId),
    /// A subscription.
    Subscribe(SubscriptionId),
}

/// Our ACK for a 2xx: sent again for each copy of that 2xx.
#[derive(Debug)]
pub(crate) struct AckSent {
    /// The dialog that the 2xx belongs to.
    pub(crate) dialog: u128,
    pub(crate) bytes: Bytes,
    pub(crate) to: Destination,
}

/// A client transaction.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    machine: Machine,
    key: u128,
    /// Its branch after the cookie; a CANCEL has the same.
    pub(crate) branch: Token,
    serial: u32,
    /// The request. Of an INVITE it is also what CANCEL and ACK derive from.
    pub(crate) request: Bytes,
    pub(crate) to: Destination,
    /// Tried when sending to `to` fails.
    alternate: Option<Destination>,
    pub(crate) user: ClientUser,
    /// The ACK for a failure.
    ack: Option<Bytes>,
    /// The ACKs for 2xx.
    pub(crate) acks: Vec<AckSent>,
    /// The way that its last response came.
    heard: Option<Path>,
    timers: Running<Timer>,
}

#[derive(Debug)]
enum Machine {
    Invite(ClientInvite),
    Other(Client),
}

/// What a new client transaction is made of.
#[derive(Debug)]
pub(crate) struct NewClient {
    /// From [`Keys::client`](crate::transaction::key::Keys::client).
    pub(crate) key: u128,
    pub(crate) branch: Token,
    pub(crate) request: Bytes,
    pub(crate) to: Destination,
    pub(crate) alternate: Option<Destination>,
    pub(crate) user: ClientUser,
    pub(crate) invite: bool,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default)]
struct Ran {
    deliver: bool,
    failed: Option<Failure>,
}

impl Machine {
    fn place(&self) -> Option<usize> {
        match self {
            Self::Invite(machine) => machine.state().place(),
            Self::Other(machine) => machine.state().place(),
        }
    }
}

impl ClientTransaction {
    /// Whether it is an INVITE that a CANCEL may still reach: provisional response seen, no final one.
    pub(crate) fn is_proceeding_invite(&self) -> bool {
        matches!(&self.machine, Machine::Invite(machine) if machine.state() == ClientInviteState::Proceeding)
    }
}

impl Endpoint {
    /// Opens a transaction and sends its request.
    pub(crate) fn open_client(&mut self, now: Instant, new: NewClient) -> u32 {
        let reliable = new.to.protocol().is_reliable();
        let machine = if new.invite {
            Machine::Invite(ClientInvite::new(reliable))
        } else {
            Machine::Other(Client::new(reliable))
        };
        self.client_serial = self.client_serial.wrapping_add(1);
        let transaction = ClientTransaction {
            machine,
            key: new.key,
            branch: new.branch,
            serial: self.client_serial,
            request: new.request,
            to: new.to,
            alternate: new.alternate,
            user: new.user,
            ack: None,
            acks: Vec::new(),
            heard: None,
            timers: Running::new(),
        };
        self.population.moved(None, transaction.machine.place());
        let slot = self.clients.insert(transaction) as u32;
        self.client_index.insert(new.key, slot);
        if new.invite {
            self.client_invite_input(now, slot, ClientInviteInput::Start);
        } else {
            self.client_input(now, slot, ClientInput::Start);
        }
        slot
    }

    /// The way that the last response to a transaction came; none before there was one.
    pub(crate) fn heard_by(&self, client: u32) -> Option<&Path> {
        self.clients.get(client as usize)?.heard.as_ref()
    }

    /// A response came that matches: runs the machine and tells the user.
    pub(crate) fn client_response(&mut self, now: Instant, slot: u32, path: &Path, response: Message) {
        let Some(transaction) = self.clients.get_mut(slot as usize) else {
            return;
        };
        transaction.heard = Some(*path);
        let class = ResponseClass::of(response.code().unwrap_or(0));
        // Over a stream the transaction may be gone by the time its user wants to repeat the request with credentials.
        let sent = transaction.request.clone();
        let user = transaction.user;
        if matches!(transaction.machine, Machine::Invite(_)) {
            if class == ResponseClass::Failure && transaction.ack.is_none() {
                let to = response.header(HeaderName::To);
                transaction.ack = Some(compose::derived(
                    &mut self.scratch,
                    &transaction.request,
                    "ACK",
                    to,
                    b"",
                ));
            }
            let ran = self.client_invite_input(now, slot, ClientInviteInput::Response(class));
            if ran.deliver {
                match user {
                    ClientUser::Invite(leg) => self.invite_response(now, slot, leg, &sent, response),
                    ClientUser::Reoffer(leg, id) => {
                        self.reoffer_response(now, slot, (leg, id), &sent, response);
                    }
                    ClientUser::Refresh(leg) => self.refresh_response(now, slot, leg, &sent, response),
                    _ => self.orphaned_invite_response(now, slot, &response),
                }
            }
            return;
        }
        let ran = self.client_input(now, slot, ClientInput::Response(class));
        if !ran.deliver || class == ResponseClass::Provisional {
            return;
        }
        match user {
            ClientUser::Prack(leg) => self.prack_response(now, leg, &sent, &response),
            ClientUser::Bye(leg) => self.bye_response(now, leg, &sent, &response),
            ClientUser::Request(leg, request) => self.request_response(now, leg, request, &sent, response),
            ClientUser::Reoffer(leg, id) => self.reoffer_response(now, slot, (leg, id), &sent, response),
            ClientUser::Refresh(leg) => self.refresh_response(now, slot, leg, &sent, response),
            ClientUser::Register(id) => self.register_response(now, id, &sent, response),
            ClientUser::Subscribe(id) => self.subscribe_response(now, id, &sent, response),
            ClientUser::Notify(leg, refer) => self.notify_response(leg, refer, response.code()),
            ClientUser::Nobody | ClientUser::Invite(_) => {}
        }
    }

    pub(crate) fn client_timer(&mut self, now: Instant, slot: u32, timer: Timer) {
        let Some(transaction) = self.clients.get_mut(slot as usize) else {
            return;
        };
        transaction.timers.take(timer);
        let user = transaction.user;
        let ran = match transaction.machine {
            Machine::Invite(_) => self.client_invite_input(now, slot, ClientInviteInput::Timer(timer)),
            Machine::Other(_) => self.client_input(now, slot, ClientInput::Timer(timer)),
        };
        if ran.failed.is_some() {
            self.client_failed(now, user, None);
        }
    }

    /// The I/O layer could not send for this transaction: another way, or the end of it.
    pub(crate) fn client_transport_failed(
        &mut self,
        now: Instant,
        token: TransmitToken,
        why: TransportFailure,
    ) {
        let slot = (token.0 >> 32) as u32;
        let Some(transaction) = self.clients.get_mut(slot as usize) else {
            return;
        };
        if transaction.serial != token.0 as u32 {
            return;
        }
        if let Some(to) = transaction.alternate.take() {
            transaction.to = to;
            self.client_send(slot, false);
            return;
        }
        let user = transaction.user;
        let ran = match transaction.machine {
            Machine::Invite(_) => self.client_invite_input(now, slot, ClientInviteInput::TransportError),
            Machine::Other(_) => self.client_input(now, slot, ClientInput::TransportError),
        };
        if ran.failed.is_some() {
            self.client_failed(now, user, Some(why));
        }
    }

    /// A connection closed: requests that wait for a response on it fail now rather than by time-out.
    pub(crate) fn clients_on_connection(&self, connection: ConnectionId) -> Vec<TransmitToken> {
        let on_it = |t: &ClientTransaction| match &t.to {
            Destination::Path(path) => path.connection == Some(connection),
            _ => false,
        };
        self.clients
            .iter()
            .filter(|(_, t)| on_it(t))
            .map(|(slot, t)| token(slot as u32, t.serial))
            .collect()
    }

    fn client_failed(&mut self, now: Instant, user: ClientUser, why: Option<TransportFailure>) {
        match user {
            ClientUser::Nobody | ClientUser::Prack(_) => {}
            ClientUser::Invite(leg) => self.invite_failed(now, leg, why),
            ClientUser::Bye(leg) => self.bye_failed(now, leg),
            ClientUser::Request(leg, request) => self.request_failed(now, leg, request, why),
            ClientUser::Notify(leg, refer) => self.notify_response(leg, refer, None),
            ClientUser::Reoffer(leg, id) => self.reoffer_failed(now, (leg, id), why),
            ClientUser::Refresh(leg) => self.refresh_failed(now, leg, why),
            ClientUser::Register(id) => self.register_unanswered(now, id, why),
            ClientUser::Subscribe(id) => self.subscribe_unanswered(now, id, why),
        }
    }

    fn client_invite_input(&mut self, now: Instant, slot: u32, input: ClientInviteInput) -> Ran {
        let Some(transaction) = self.clients.get_mut(slot as usize) else {
            return Ran::default();
        };
        let Machine::Invite(machine) = &mut transaction.machine else {
            return Ran::default();
        };
        let before = machine.state().place();
        let actions = machine.on(input, &self.config.timing);
        self.population.moved(before, machine.state().place());
        self.run_client(now, slot, actions, matches!(input, ClientInviteInput::Timer(_)))
    }

    fn client_input(&mut self, now: Instant, slot: u32, input: ClientInput) -> Ran {
        let Some(transaction) = self.clients.get_mut(slot as usize) else {
            return Ran::default();
        };
        let Machine::Other(machine) = &mut transaction.machine else {
            return Ran::default();
        };
        let before = machine.state().place();
        let actions = machine.on(input, &self.config.timing);
        self.population.moved(before, machine.state().place());
        self.run_client(now, slot, actions, matches!(input, ClientInput::Timer(_)))
    }

    fn run_client(&mut self, now: Instant, slot: u32, actions: Actions, repeats: bool) -> Ran {
        let mut ran = Ran::default();
        for action in actions {
            match action {
                Action::Send => self.client_send(slot, repeats),
                Action::SendAck => self.client_send_ack(slot),
                Action::Start(timer, after) => {
                    let Some(transaction) = self.clients.get_mut(slot as usize) else {
                        break;
                    };
                    let key = TimerKey::Client(slot, timer);
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
                    let id = self
                        .clients
                        .get_mut(slot as usize)
                        .and_then(|t| t.timers.take(timer));
                    if let Some(id) = id {
                        self.timers.stop(id);
                    }
                }
                Action::Deliver => ran.deliver = true,
                Action::Fail(failure) => ran.failed = Some(failure),
                Action::Terminated => self.close_client(slot),
                Action::SendTrying => {}
            }
        }
        ran
    }

    fn client_send(&mut self, slot: u32, repeats: bool) {
        let Some(transaction) = self.clients.get(slot as usize) else {
            return;
        };
        let transmit = Transmit {
            to: transaction.to.clone(),
            payload: transaction.request.clone(),
            token: Some(token(slot, transaction.serial)),
        };
        self.stats.retransmitted += u64::from(repeats);
        self.transmit(transmit);
    }

    fn client_send_ack(&mut self, slot: u32) {
        let Some(transaction) = self.clients.get(slot as usize) else {
            return;
        };
        let Some(payload) = transaction.ack.clone() else {
            return;
        };
        let transmit = Transmit {
            to: transaction.to.clone(),
            payload,
            token: None,
        };
        self.transmit(transmit);
    }

    /// Forgets a transaction before its time.
    pub(crate) fn close_client(&mut self, slot: u32) {
        let Some(mut transaction) = self.clients.try_remove(slot as usize) else {
            return;
        };
        for id in transaction.timers.drain() {
            self.timers.stop(id);
        }
        self.population.moved(transaction.machine.place(), None);
        self.client_index.remove(&transaction.key);
    }
}

fn token(slot: u32, serial: u32) -> TransmitToken {
    TransmitToken((u64::from(slot) << 32) | u64::from(serial))
}
