//! A peer that does exactly what a test tells it, and nothing by itself: no retransmission, no ACK, no answer. What it sees
//! is what is on the wire.
//!
//! Entry types: [`Peer`], a socket; [`Dialog`], one call's names as the peer sees them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{SOON, unique};

/// The black-box harness's reading of SIP, which shares nothing with the host's.
#[path = "../../../tests/src/message.rs"]
pub mod message;

pub use message::Message;

/// What the peer offers and answers.
pub const PEER_SDP: &str =
    "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4100 RTP/AVP 0\r\n";

/// A body of the peer's: its type and its text.
pub type Sent<'a> = Option<(&'a str, &'a str)>;

/// The session description of [`PEER_SDP`].
pub const SESSION: Sent<'static> = Some(("application/sdp", PEER_SDP));

pub struct Peer {
    socket: UdpSocket,
    /// Where the host is.
    host: SocketAddr,
    kept: VecDeque<(Instant, Message)>,
}

/// A dialog seen from the peer.
#[derive(Debug, Clone)]
pub struct Dialog {
    pub call_id: String,
    /// Our From with its tag.
    pub ours: String,
    /// The host's To, with its tag once there is one.
    pub theirs: String,
    /// Where requests go: the host's Contact.
    pub target: String,
    /// CSeq of our last request.
    pub cseq: u32,
    /// The INVITE: sent by us, or received.
    pub invite: Message,
}

impl Peer {
    /// On the host's address.
    pub async fn new(host: SocketAddr) -> Self {
        Self::on(std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), host)
    }

    /// On an address that nobody else has.
    pub async fn apart(host: SocketAddr) -> Self {
        Self::on(super::socket(), host)
    }

    fn on(socket: std::net::UdpSocket, host: SocketAddr) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self {
            socket: UdpSocket::from_std(socket).unwrap(),
            host,
            kept: VecDeque::new(),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A URI of this peer's.
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.addr())
    }

    pub async fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.host).await.unwrap();
    }

    /// The next message, with the moment it came; none within this time.
    pub async fn next_within(&mut self, longest: Duration) -> Option<(Instant, Message)> {
        if let Some(kept) = self.kept.pop_front() {
            return Some(kept);
        }
        self.read(longest).await
    }

    async fn read(&self, longest: Duration) -> Option<(Instant, Message)> {
        let mut buffer = vec![0; 65_536];
        let size = timeout(longest, self.socket.recv(&mut buffer))
            .await
            .ok()?
            .unwrap();
        Some((Instant::now(), Message::from_bytes(&buffer[..size])))
    }

    /// The next message, whatever it is.
    pub async fn next(&mut self) -> Message {
        self.next_within(SOON).await.expect("nothing came").1
    }

    /// The next message must be this request.
    pub async fn request(&mut self, method: &str) -> Message {
        let message = self.next().await;
        assert_eq!(message.method(), Some(method), "{message:?}");
        message
    }

    /// The next message must be this response.
    pub async fn response(&mut self, status: u16) -> Message {
        let message = self.next().await;
        assert_eq!(message.status(), Some(status), "{message:?}");
        message
    }

    /// The next message that is wanted; others are kept for later.
    pub async fn find(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(|(_, message)| wanted(message)) {
            return self.kept.remove(at).unwrap().1;
        }
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some((at, message)) = self.read(left).await else {
                panic!("no {what} came, only {:?}", self.kept);
            };
            if wanted(&message) {
                return message;
            }
            self.kept.push_back((at, message));
        }
    }

    /// Nothing comes for so long.
    pub async fn quiet(&mut self, time: Duration) {
        if let Some((_, message)) = self.next_within(time).await {
            panic!("unexpected: {message:?}");
        }
    }

    fn branch() -> String {
        format!("z9hG4bK-{}", unique())
    }

    /// Sends a request with names of its own, and returns it.
    async fn compose(
        &mut self,
        method: &str,
        of: &Dialog,
        branch: &str,
        more: &str,
        body: Sent<'_>,
    ) -> Message {
        let me = self.addr();
        let kind = body.map_or(String::new(), |(kind, _)| format!("Content-Type: {kind}\r\n"));
        let body = body.map_or("", |(_, text)| text);
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {me};rport;branch={branch}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:peer@{me}>\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            of.target,
            of.ours,
            of.theirs,
            of.call_id,
            of.cseq,
            body.len()
        );
        self.send(&text).await;
        Message::from_bytes(text.as_bytes())
    }

    /// Calls the host.
    pub async fn invite(&mut self, user: &str, body: Sent<'_>) -> Dialog {
        let target = format!("sip:{user}@{}", self.host);
        self.invite_to(target, "", body).await
    }

    /// The same to any URI, with more header lines.
    pub async fn invite_to(&mut self, target: String, more: &str, body: Sent<'_>) -> Dialog {
        let branch = Self::branch();
        let me = self.addr();
        let mut dialog = Dialog {
            call_id: format!("{branch}@{me}"),
            ours: format!("<sip:peer@{me}>;tag={branch}"),
            theirs: format!("<{target}>"),
            target,
            cseq: 1,
            invite: Message::from_bytes(b""),
        };
        dialog.invite = self.compose("INVITE", &dialog, &branch, more, body).await;
        dialog
    }

    /// The dialog that an INVITE of the host's makes once we answer it.
    pub fn called(&self, invite: &Message) -> Dialog {
        Dialog {
            call_id: invite.header("Call-ID").to_owned(),
            ours: format!("{};tag=peer", invite.header("To")),
            theirs: invite.header("From").to_owned(),
            target: invite.contact_uri().to_owned(),
            cseq: 0,
            invite: invite.clone(),
        }
    }

    /// A request within the dialog, with the next CSeq.
    pub async fn ask(&mut self, dialog: &mut Dialog, method: &str, more: &str, body: Sent<'_>) -> Message {
        dialog.cseq += 1;
        let branch = Self::branch();
        self.compose(method, dialog, &branch, more, body).await
    }

    /// The ACK of a 2xx to our INVITE, and the dialog that it confirms.
    pub async fn ack(&mut self, dialog: &mut Dialog, response: &Message, body: Sent<'_>) {
        dialog.theirs = response.header("To").to_owned();
        dialog.target = response.contact_uri().to_owned();
        let branch = Self::branch();
        let of = Dialog {
            cseq: response.cseq_number(),
            ..dialog.clone()
        };
        self.compose("ACK", &of, &branch, "", body).await;
    }

    /// The ACK of a refusal, or CANCEL: requests in the transaction of the INVITE.
    pub async fn in_transaction(&mut self, dialog: &Dialog, method: &str, to: Option<&Message>) {
        self.in_transaction_with(dialog, method, to, "").await;
    }

    /// The same with further header lines.
    pub async fn in_transaction_with(
        &mut self,
        dialog: &Dialog,
        method: &str,
        to: Option<&Message>,
        more: &str,
    ) {
        let mut of = dialog.clone();
        if let Some(response) = to {
            of.theirs = response.header("To").to_owned();
        }
        of.target = dialog.invite.request_uri().to_owned();
        of.cseq = dialog.invite.cseq_number();
        let via = dialog.invite.header("Via");
        let branch = via.split("branch=").nth(1).unwrap().to_owned();
        self.compose(method, &of, &branch, more, None).await;
    }

    /// Answers a request of the host's, with our To tag.
    pub async fn answer(&self, request: &Message, status: &str, more: &str, body: Sent<'_>) {
        self.answer_as(request, "peer", status, more, body).await;
    }

    fn compose_answer(request: &Message, tag: &str, status: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                let tag = match name == "To" && !value.contains(";tag=") && !status.starts_with("100") {
                    true => format!(";tag={tag}"),
                    false => String::new(),
                };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        text
    }

    /// The same without a Contact of our own.
    pub async fn answer_bare(&self, request: &Message, status: &str, more: &str) {
        let text = Self::compose_answer(request, "peer", status);
        self.send(&format!("{text}{more}Content-Length: 0\r\n\r\n")).await;
    }

    /// The same under another To tag: another fork.
    pub async fn answer_as(&self, request: &Message, tag: &str, status: &str, more: &str, body: Sent<'_>) {
        let mut text = Self::compose_answer(request, tag, status);
        let kind = body.map_or(String::new(), |(kind, _)| format!("Content-Type: {kind}\r\n"));
        let body = body.map_or("", |(_, text)| text);
        let me = self.addr();
        text.push_str(&format!(
            "Contact: <sip:{tag}@{me}>\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.send(&text).await;
    }
}
