//! Alice calls, the flow calls Bob, both are answered with each other's session: what the tests begin with.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use callbox::call::{BridgeOptions, Leg, MakeCallOptions, Session};

use crate::support::peer::{Dialog, Message, Peer, Sent};
use crate::support::{Host, SOON};

/// Long enough for what must not come to come.
pub const A_WHILE: Duration = Duration::from_millis(150);

/// A session description that can be told from others by its port.
pub fn session(port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=peer {port} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na={direction}\r\n"
    )
}

/// The same as a body.
pub fn sdp(text: &str) -> Sent<'_> {
    Some(("application/sdp", text))
}

/// One peer in its call with the host. Copies of what it has seen already are not shown again.
pub struct Line {
    pub peer: Peer,
    pub dialog: Dialog,
    seen: HashSet<String>,
    kept: VecDeque<Message>,
}

impl Line {
    pub fn new(peer: Peer, dialog: Dialog) -> Self {
        Self {
            peer,
            dialog,
            seen: HashSet::new(),
            kept: VecDeque::new(),
        }
    }

    async fn read(&mut self, until: Instant) -> Option<Message> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (_, message) = self.peer.next_within(left).await?;
            if message.status() != Some(100) && self.seen.insert(message.text().to_owned()) {
                return Some(message);
            }
        }
    }

    /// The next message, whatever it is.
    pub async fn next(&mut self, within: Duration) -> Option<Message> {
        match self.kept.pop_front() {
            Some(kept) => Some(kept),
            None => self.read(Instant::now() + within).await,
        }
    }

    /// The next message that is wanted; others are kept.
    pub async fn find(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).unwrap();
        }
        let until = Instant::now() + SOON;
        while let Some(message) = self.read(until).await {
            if wanted(&message) {
                return message;
            }
            self.kept.push_back(message);
        }
        panic!("no {what} came, only {:?}", self.kept);
    }

    pub async fn request(&mut self, method: &str) -> Message {
        self.find(method, |message| message.method() == Some(method))
            .await
    }

    /// The final response to a request of ours.
    pub async fn response(&mut self, to: &Message) -> Message {
        let cseq = to.header("CSeq").to_owned();
        let wanted = |message: &Message| {
            message.status().is_some_and(|code| code >= 200) && message.header("CSeq") == cseq
        };
        self.find(&format!("response to {cseq}"), wanted).await
    }

    /// Sends a request within the dialog.
    pub async fn send(&mut self, method: &str, body: Sent<'_>) -> Message {
        self.peer.ask(&mut self.dialog, method, "", body).await
    }

    /// The same, and waits for its final response.
    pub async fn ask(&mut self, method: &str, body: Sent<'_>) -> Message {
        let sent = self.send(method, body).await;
        self.response(&sent).await
    }

    pub async fn answer(&self, request: &Message, status: &str, body: Sent<'_>) {
        self.peer.answer(request, status, "", body).await;
    }

    pub async fn ack(&mut self, response: &Message, body: Sent<'_>) {
        self.peer.ack(&mut self.dialog, response, body).await;
    }

    /// The ACK of a refusal, in the transaction of the request that was refused; or its CANCEL.
    pub async fn in_transaction(&mut self, request: &Message, method: &str, response: Option<&Message>) {
        let dialog = Dialog {
            invite: request.clone(),
            ..self.dialog.clone()
        };
        self.peer.in_transaction(&dialog, method, response).await;
    }

    /// A re-INVITE of the host's: answers it and takes the ACK.
    pub async fn accept_reinvite(&mut self, answer: Sent<'_>) -> (Message, Message) {
        let invite = self.request("INVITE").await;
        self.answer(&invite, "200 OK", answer).await;
        let ack = self.request("ACK").await;
        (invite, ack)
    }

    /// Offers by re-INVITE and is accepted: the 200.
    pub async fn accepted(&mut self, invite: &Message) -> Message {
        let response = self.response(invite).await;
        assert_eq!(response.status(), Some(200), "{response:?}");
        self.ack(&response, None).await;
        response
    }

    /// Offers by re-INVITE and is refused: the refusal.
    pub async fn refused(&mut self, invite: &Message) -> Message {
        let response = self.response(invite).await;
        assert!(response.status().unwrap() >= 300, "{response:?}");
        self.in_transaction(invite, "ACK", Some(&response)).await;
        response
    }

    /// Waits for BYE and answers it.
    pub async fn expect_bye(&mut self) -> Message {
        let bye = self.request("BYE").await;
        self.answer(&bye, "200 OK", None).await;
        bye
    }

    /// Nothing comes for a while, and nothing has come that no test asked for.
    pub async fn silent(&mut self) {
        let more = self.read(Instant::now() + A_WHILE).await;
        assert!(more.is_none() && self.kept.is_empty(), "{more:?} {:?}", self.kept);
    }
}

/// Alice's leg is `a`, Bob's is `b`; both legs are the session's.
pub struct Scene {
    pub host: Host,
    pub session: Session,
    pub a: Leg,
    pub b: Leg,
    pub alice: Line,
    pub bob: Line,
    pub alices: String,
    pub bobs: String,
}

impl Scene {
    /// Both calls are up, and each peer has what the other sent.
    pub async fn connected() -> Self {
        Self::on(Host::start()).await
    }

    /// The same on a host of the test's own.
    pub async fn on(mut host: Host) -> Self {
        let (alices, bobs) = (session(4_000, "sendrecv"), session(5_000, "sendrecv"));
        let mut alice = Peer::new(host.addr()).await;
        let dialog = alice.invite("open", sdp(&alices)).await;
        let (session, a) = host.next_call().await;
        let mut alice = Line::new(alice, dialog);

        let b = session.new_leg().unwrap();
        let offer = a.remote_offer();
        let bob = call_bob(&host, &b, offer, &bobs).await;

        let invite = alice.dialog.invite.clone();
        let (answered, ()) = tokio::join!(a.answer(b.remote_offer().unwrap(), Vec::new(), SOON), async {
            let response = alice.response(&invite).await;
            assert_eq!(response.body(), bobs);
            alice.ack(&response, None).await;
        });
        answered.unwrap();
        Self {
            host,
            session,
            a,
            b,
            alice,
            bob,
            alices,
            bobs,
        }
    }

    /// The same, bridged.
    pub async fn bridged(options: &BridgeOptions) -> Self {
        let mut scene = Self::connected().await;
        scene.session.bridge(&scene.a, &scene.b, options).await.unwrap();
        scene.silent().await;
        scene
    }

    pub async fn silent(&mut self) {
        tokio::join!(self.alice.silent(), self.bob.silent());
    }

    /// Nothing of the calls is left on the host.
    pub async fn nothing_left(&self) {
        crate::support::eventually(|| self.host.wire.legs() == 0).await;
    }
}

/// Places a call to a peer that answers with this session.
pub async fn call_bob(host: &Host, leg: &Leg, offer: Option<callbox::call::Body>, answer: &str) -> Line {
    let mut bob = Peer::new(host.addr()).await;
    let options = MakeCallOptions {
        offer: offer.clone(),
        ..MakeCallOptions::default()
    };
    let dest = bob.uri("bob");
    let (called, invite) = tokio::join!(leg.make_call(&dest, &options), async {
        let invite = bob.request("INVITE").await;
        bob.answer(&invite, "200 OK", "", sdp(answer)).await;
        if offer.is_some() {
            bob.request("ACK").await;
        }
        invite
    });
    called.unwrap();
    let dialog = bob.called(&invite);
    Line::new(bob, dialog)
}
