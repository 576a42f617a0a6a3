//! A peer with one call at a time, which it placed or was called by, and which does only what the test says.

use std::collections::{HashSet, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use callbox_tests::message::Message;
use callbox_tests::net;
use callbox_tests::phone::SOON;

/// A session description that can be told from others.
pub fn sdp(port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=end {port} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na={direction}\r\n"
    )
}

pub struct End {
    socket: UdpSocket,
    server: SocketAddr,
    kept: VecDeque<Message>,
    /// What came already: the server repeats what is not answered at once.
    seen: HashSet<String>,
    sent: u32,
    ours: String,
    theirs: String,
    target: String,
    call_id: String,
    cseq: u32,
}

impl End {
    pub fn new(server: SocketAddr) -> Self {
        let socket = (0..1_000)
            .find_map(|_| UdpSocket::bind((server.ip(), net::peer_port())).ok())
            .expect("a free port");
        Self {
            socket,
            server,
            kept: VecDeque::new(),
            seen: HashSet::new(),
            sent: 0,
            ours: String::new(),
            theirs: String::new(),
            target: String::new(),
            call_id: String::new(),
            cseq: 0,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn read(&mut self, until: Instant) -> Option<Message> {
        let mut buffer = vec![0; 65_536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.socket
                .set_read_timeout(Some(left).filter(|left| !left.is_zero()))
                .ok()?;
            if left.is_zero() {
                return None;
            }
            let Ok(size) = self.socket.recv(&mut buffer) else {
                continue;
            };
            let message = Message::from_bytes(&buffer[..size]);
            if message.status() != Some(100) && self.seen.insert(message.text().to_owned()) {
                return Some(message);
            }
        }
    }

    /// The next message that is wanted; others are kept.
    fn find(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).unwrap();
        }
        let until = Instant::now() + SOON;
        while let Some(message) = self.read(until) {
            if wanted(&message) {
                return message;
            }
            self.kept.push_back(message);
        }
        panic!("no {what} came, only {:?}", self.kept);
    }

    pub fn request(&mut self, method: &str) -> Message {
        self.find(method, |message| message.method() == Some(method))
    }

    pub fn provisional(&mut self, code: u16) -> Message {
        self.find("provisional response", |message| message.status() == Some(code))
    }

    /// Of the newest request of this method. A refusal of an INVITE is acknowledged.
    pub fn final_response(&mut self, method: &str) -> Message {
        let cseq = format!("{} {method}", self.cseq);
        let response = self.find(&format!("response to {cseq}"), |message| {
            message.status().is_some_and(|code| code >= 200) && message.header("CSeq") == cseq
        });
        if method == "INVITE" && response.status().is_some_and(|code| code >= 300) {
            let via = format!("Via: {}\r\n", response.header("Via"));
            let to = response.header("To").to_owned();
            self.write("ACK", self.cseq, &via, &to, "", "");
        }
        response
    }

    /// Of a request of ours, which was the newest.
    pub fn response(&mut self, to: &Message) -> Message {
        self.final_response(to.cseq_method())
    }

    fn write(&mut self, method: &str, cseq: u32, via: &str, to: &str, kind: &str, body: &str) -> Message {
        let me = self.address();
        let kind = match kind {
            "" => String::new(),
            kind => format!("Content-Type: {kind}\r\n"),
        };
        let text = format!(
            "{method} {} SIP/2.0\r\n{via}Max-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:end@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.target,
            self.ours,
            self.call_id,
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
        Message::from_bytes(text.as_bytes())
    }

    fn via(&mut self) -> String {
        self.sent += 1;
        let me = self.address();
        format!(
            "Via: SIP/2.0/UDP {me};rport;branch=z9hG4bK-{}-{}\r\n",
            me.port(),
            self.sent
        )
    }

    /// Calls a number of the server's.
    pub fn call(&mut self, user: &str, offer: &str) -> Message {
        let via = self.via();
        let me = self.address();
        self.target = format!("sip:{user}@{}", self.server);
        self.theirs = format!("<{}>", self.target);
        self.ours = format!("<sip:end@{me}>;tag=e{}", self.sent);
        self.call_id = format!("{}-{}-{}@end", std::process::id(), me.port(), self.sent);
        self.cseq = 1;
        let kind = if offer.is_empty() { "" } else { "application/sdp" };
        self.write("INVITE", 1, &via, &self.theirs.clone(), kind, offer)
    }

    /// Waits for the 200 and acknowledges it.
    pub fn connected(&mut self) -> Message {
        let response = self.final_response("INVITE");
        assert_eq!(response.status(), Some(200), "{response:?}");
        self.ack(&response, "");
        response
    }

    /// Is called.
    pub fn called(&mut self) -> Message {
        let invite = self.request("INVITE");
        self.call_id = invite.header("Call-ID").to_owned();
        self.ours = format!("{};tag=end", invite.header("To"));
        self.theirs = invite.header("From").to_owned();
        self.target = invite.contact_uri().to_owned();
        self.cseq = 0;
        invite
    }

    /// Answers a request of the server's.
    pub fn respond(&mut self, request: &Message, status: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                let tag = if name == "To" && request.to_tag().is_none() {
                    ";tag=end"
                } else {
                    ""
                };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let me = self.address();
        text.push_str(&format!(
            "Contact: <sip:end@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// Sends a request within the dialog.
    pub fn send(&mut self, method: &str, kind: &str, body: &str) -> Message {
        self.cseq += 1;
        let via = self.via();
        self.write(method, self.cseq, &via, &self.theirs.clone(), kind, body)
    }

    /// Acknowledges a 200, which may begin the dialog.
    pub fn ack(&mut self, response: &Message, body: &str) {
        self.theirs = response.header("To").to_owned();
        self.target = response.contact_uri().to_owned();
        let via = self.via();
        let kind = if body.is_empty() { "" } else { "application/sdp" };
        self.write(
            "ACK",
            response.cseq_number(),
            &via,
            &self.theirs.clone(),
            kind,
            body,
        );
    }

    /// Gives up an INVITE.
    pub fn cancel(&mut self, invite: &Message) {
        let via = format!("Via: {}\r\n", invite.header("Via"));
        self.write("CANCEL", invite.cseq_number(), &via, &self.theirs.clone(), "", "");
    }

    pub fn press(&mut self, key: char) {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let sent = self.send("INFO", "application/dtmf-relay", &body);
        assert_eq!(self.response(&sent).status(), Some(200));
    }

    /// The INFO that comes, answered.
    pub fn info(&mut self) -> String {
        let info = self.request("INFO");
        self.respond(&info, "200 OK", "");
        info.body().to_owned()
    }

    pub fn hang_up(&mut self) {
        let bye = self.send("BYE", "", "");
        assert_eq!(self.response(&bye).status(), Some(200));
    }

    pub fn expect_bye(&mut self) {
        let bye = self.request("BYE");
        self.respond(&bye, "200 OK", "");
    }

    /// Nothing comes for a while, and nothing has come that no test asked for, but that it rings.
    pub fn silent(&mut self) {
        self.kept.retain(|message| message.status() != Some(180));
        let more = self.read(Instant::now() + Duration::from_millis(200));
        assert!(more.is_none() && self.kept.is_empty(), "{more:?} {:?}", self.kept);
    }
}
