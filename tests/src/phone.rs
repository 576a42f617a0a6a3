//! A peer that does exactly what a test tells it, and nothing by itself: no retransmission, no automatic ACK, no
//! automatic answer. For what SIPp hides, such as the copies of a response and the moments they come.
//!
//! Entry types: [`Phone`], a socket; [`Call`], the names of one dialog.

mod within;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::message::Message;
use crate::net;

/// Long enough for anything that should come at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(5);

/// An offer that every flow accepts.
pub const OFFER: &str = "v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                         m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

enum Socket {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, unread: Vec<u8> },
}

/// One socket that speaks SIP with one server.
pub struct Phone {
    socket: Socket,
    server: SocketAddr,
    own: SocketAddr,
    kept: VecDeque<(Instant, Message)>,
}

/// The names of one dialog, seen from the phone.
#[derive(Debug, Clone)]
pub struct Call {
    /// Call-ID.
    pub id: String,
    /// The INVITE as it was sent, for sending it again.
    pub invite: String,
    branch: String,
    uri: String,
    from: String,
    to: String,
    target: String,
    cseq: u32,
}

impl Phone {
    /// A phone on UDP, on the server's address and a port of its own.
    pub fn udp(server: SocketAddr) -> Self {
        let socket = (0..1_000)
            .find_map(|_| UdpSocket::bind((server.ip(), net::peer_port())).ok())
            .expect("a free port for the phone");
        socket.connect(server).expect("loopback is reachable");
        let own = socket.local_addr().unwrap();
        Self {
            socket: Socket::Udp(socket),
            server,
            own,
            kept: VecDeque::new(),
        }
    }

    /// A phone on TCP.
    pub fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the server accepts connections");
        let own = stream.local_addr().unwrap();
        Self {
            socket: Socket::Tcp {
                stream,
                unread: Vec::new(),
            },
            server,
            own,
            kept: VecDeque::new(),
        }
    }

    /// Where this phone is.
    pub fn address(&self) -> SocketAddr {
        self.own
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.socket {
            // A refused datagram means that nobody listens yet; whoever waits for an answer notices.
            Socket::Udp(socket) => drop(socket.send(bytes.as_ref())),
            Socket::Tcp { stream, .. } => stream.write_all(bytes.as_ref()).expect("the connection stands"),
        }
    }

    /// The next message, waiting so long at most.
    pub fn receive(&mut self, longest: Duration) -> Option<Message> {
        self.receive_at(longest).map(|(_, message)| message)
    }

    /// The same with the moment it came.
    pub fn receive_at(&mut self, longest: Duration) -> Option<(Instant, Message)> {
        self.kept
            .pop_front()
            .or_else(|| self.read(Instant::now() + longest))
    }

    /// The next message of one call; others are kept for later.
    pub fn receive_of(&mut self, call: &Call, longest: Duration) -> Option<Message> {
        let deadline = Instant::now() + longest;
        let kept = self
            .kept
            .iter()
            .position(|(_, message)| message.header("Call-ID") == call.id);
        if let Some((_, message)) = kept.and_then(|at| self.kept.remove(at)) {
            return Some(message);
        }
        loop {
            let (at, message) = self.read(deadline)?;
            if message.header("Call-ID") == call.id {
                return Some(message);
            }
            self.kept.push_back((at, message));
        }
    }

    /// The first message of a call for which `wanted` holds; what comes before it is dropped.
    pub fn wait_for(&mut self, call: &Call, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + SOON;
        let mut seen = Vec::new();
        while let Some(message) = self.receive_of(call, deadline.saturating_duration_since(Instant::now())) {
            if wanted(&message) {
                return message;
            }
            seen.push(message.start_line().to_owned());
        }
        panic!("no {what} came within {SOON:?}, only {seen:?}");
    }

    /// The final response to the request of this method.
    pub fn final_response(&mut self, call: &Call, method: &str) -> Message {
        self.wait_for(call, &format!("final response to {method}"), |message| {
            message.cseq_method() == method && message.status().is_some_and(|code| code >= 200)
        })
    }

    /// The next request of this method from the server.
    pub fn request(&mut self, call: &Call, method: &str) -> Message {
        self.wait_for(call, method, |message| message.method() == Some(method))
    }

    /// Asks the server whether it is there.
    pub fn send_options(&mut self) {
        let call = self.new_call("ping");
        let text = self.compose(&call, "OPTIONS", &call.uri, 1, &call.branch, "", "");
        self.send(text);
    }

    /// A call to a user part of this server; nothing is sent yet.
    pub fn new_call(&self, user: &str) -> Call {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", std::process::id(), self.own.port());
        let mut call = Call {
            id: format!("{name}@phone"),
            invite: String::new(),
            branch: format!("z9hG4bK-{name}"),
            uri: format!("sip:{user}@{}", self.server),
            from: format!("\"Phone\" <sip:2001@{}>;tag=f{number}", self.own),
            to: format!("<sip:{user}@{}>", self.server),
            target: String::new(),
            cseq: 1,
        };
        call.invite = self.compose(
            &call,
            "INVITE",
            &call.uri,
            1,
            &call.branch,
            "application/sdp",
            OFFER,
        );
        call
    }

    /// Places a call.
    pub fn invite(&mut self, user: &str) -> Call {
        let call = self.new_call(user);
        self.send(&call.invite);
        call
    }

    /// Places a call, waits for 200 and acknowledges it.
    pub fn connect(&mut self, user: &str) -> Call {
        let mut call = self.invite(user);
        let response = self.final_response(&call, "INVITE");
        assert_eq!(response.status(), Some(200), "{response:?}");
        self.ack(&mut call, &response);
        call
    }

    /// Acknowledges a final response, in its transaction or in a new one as RFC 3261 §13.2.2.4 and §17.1.1.3 say.
    pub fn ack(&mut self, call: &mut Call, response: &Message) {
        call.to = response.header("To").to_owned();
        let text = if response.status().is_some_and(|code| code < 300) {
            call.target = response.contact_uri().to_owned();
            self.compose(
                call,
                "ACK",
                &call.target,
                1,
                &format!("{}-ack", call.branch),
                "",
                "",
            )
        } else {
            self.compose(call, "ACK", &call.uri, 1, &call.branch, "", "")
        };
        self.send(text);
    }

    /// Gives up a call that is not answered.
    pub fn cancel(&mut self, call: &Call) {
        let text = self.compose(call, "CANCEL", &call.uri, 1, &call.branch, "", "");
        self.send(text);
    }

    /// Hangs up. Returns what was sent, for sending it again.
    pub fn bye(&mut self, call: &mut Call) -> String {
        self.send_in_dialog(call, "BYE", "", "")
    }

    /// Sends a request in the dialog, with the next CSeq. Returns what was sent.
    pub fn send_in_dialog(
        &mut self,
        call: &mut Call,
        method: &str,
        content_type: &str,
        body: &str,
    ) -> String {
        call.cseq += 1;
        let branch = format!("{}-{}", call.branch, call.cseq);
        let text = self.compose(call, method, &call.target, call.cseq, &branch, content_type, body);
        self.send(&text);
        text
    }

    /// One key of the keypad, as `application/dtmf-relay`.
    pub fn press(&mut self, call: &mut Call, key: char) {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        self.send_in_dialog(call, "INFO", "application/dtmf-relay", &body);
        let response = self.final_response(call, "INFO");
        assert_eq!(response.status(), Some(200), "{response:?}");
    }

    /// Answers a request of the server.
    pub fn respond(&mut self, request: &Message, status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        self.send(text);
    }

    /// Answers with a To tag and further header lines.
    pub fn respond_with(&mut self, request: &Message, status: &str, more: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            let tag = match name == "To" && request.to_tag().is_none() {
                true => ";tag=peer",
                false => "",
            };
            for value in request.headers(name) {
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        self.send(text + more + "Content-Length: 0\r\n\r\n");
    }

    /// The next request of this method that is wanted, of whatever call; what comes before it is dropped.
    pub fn next_request(&mut self, method: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + SOON;
        let mut seen = Vec::new();
        while let Some(message) = self.receive(deadline.saturating_duration_since(Instant::now())) {
            if message.method() == Some(method) && wanted(&message) {
                return message;
            }
            seen.push(message.start_line().to_owned());
        }
        panic!("no such {method} within {SOON:?}, only {seen:?}");
    }

    /// Waits for the server's BYE, answers it and returns it.
    pub fn expect_bye(&mut self, call: &Call) -> Message {
        let bye = self.request(call, "BYE");
        self.respond(&bye, "200 OK");
        bye
    }

    /// Hangs up and waits for the 200.
    pub fn hang_up(&mut self, call: &mut Call) {
        self.bye(call);
        let response = self.final_response(call, "BYE");
        assert_eq!(response.status(), Some(200), "{response:?}");
    }

    #[allow(clippy::too_many_arguments)]
    fn compose(
        &self,
        call: &Call,
        method: &str,
        uri: &str,
        cseq: u32,
        branch: &str,
        kind: &str,
        body: &str,
    ) -> String {
        let transport = if matches!(self.socket, Socket::Udp(_)) {
            "UDP"
        } else {
            "TCP"
        };
        let kind = if kind.is_empty() {
            String::new()
        } else {
            format!("Content-Type: {kind}\r\n")
        };
        let contact = match transport {
            "UDP" => format!("<sip:2001@{}>", self.own),
            _ => format!("<sip:2001@{};transport=tcp>", self.own),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {};rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: {contact}\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.own,
            call.from,
            call.to,
            call.id,
            body.len()
        )
    }

    fn read(&mut self, deadline: Instant) -> Option<(Instant, Message)> {
        let left = |deadline: Instant| {
            Some(deadline.saturating_duration_since(Instant::now())).filter(|it| !it.is_zero())
        };
        match &mut self.socket {
            Socket::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                loop {
                    socket.set_read_timeout(Some(left(deadline)?)).unwrap();
                    // An error here is a time-out, or a refusal of what was sent before the server was up.
                    if let Ok(size) = socket.recv(&mut buffer) {
                        return Some((Instant::now(), Message::from_bytes(&buffer[..size])));
                    }
                }
            }
            Socket::Tcp { stream, unread } => loop {
                if let Some(size) = complete(unread) {
                    let bytes: Vec<u8> = unread.drain(..size).collect();
                    return Some((Instant::now(), Message::from_bytes(&bytes)));
                }
                stream.set_read_timeout(Some(left(deadline)?)).unwrap();
                let mut buffer = [0; 16_384];
                match stream.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(size) => unread.extend_from_slice(&buffer[..size]),
                    Err(_) => {}
                }
            },
        }
    }

    /// Whether the server closed the connection within this time. TCP only.
    pub fn closed_within(&mut self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let Socket::Tcp { stream, .. } = &mut self.socket else {
            panic!("UDP has no connection")
        };
        let mut buffer = [0; 4_096];
        while Instant::now() < deadline {
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
                _ => {}
            }
        }
        false
    }
}

/// The size of the first whole message in a stream, if there is one.
fn complete(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let length: usize = Message::from_bytes(&bytes[..head])
        .header("Content-Length")
        .parse()
        .unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
