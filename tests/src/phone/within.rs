//! What a phone does within a call beyond INFO and BYE, and calls that come to it: re-INVITE, UPDATE, REFER, Replaces.

use super::{Call, OFFER, Phone, SOON};
use crate::message::Message;

/// The tag that this phone gives to calls that come to it.
const TAG: &str = "called";

impl Call {
    /// The server's Contact in this call.
    pub fn contact(&self) -> &str {
        &self.target
    }

    /// The Replaces header that means this call, for the server.
    pub fn replaces(&self) -> String {
        let tag = |address: &str| address.split(";tag=").nth(1).unwrap_or_default().to_owned();
        format!(
            "Replaces: {};to-tag={};from-tag={}\r\n",
            self.id,
            tag(&self.to),
            tag(&self.from)
        )
    }

    fn last_branch(&self) -> String {
        format!("{}-{}", self.branch, self.cseq)
    }
}

impl Phone {
    /// Sends a request in the dialog, with the next CSeq, further header lines and, if there is one, a session description.
    pub fn ask(&mut self, call: &mut Call, method: &str, lines: &str, offer: &str) {
        call.cseq += 1;
        let kind = if offer.is_empty() { "" } else { "application/sdp" };
        let branch = call.last_branch();
        let text = self.compose(call, method, &call.target, call.cseq, &branch, kind, offer);
        self.send(with_lines(&text, lines));
    }

    /// The answer to the last INVITE within the call was this: its ACK, in its transaction or in a new one.
    pub fn ack_again(&mut self, call: &Call, response: &Message) {
        let mut branch = call.last_branch();
        if response.status().is_some_and(|code| code < 300) {
            branch.push_str("-ack");
        }
        let text = self.compose(call, "ACK", &call.target, call.cseq, &branch, "", "");
        self.send(text);
    }

    /// Gives up the last INVITE within the call.
    pub fn cancel_again(&mut self, call: &Call) {
        let text = self.compose(
            call,
            "CANCEL",
            &call.target,
            call.cseq,
            &call.last_branch(),
            "",
            "",
        );
        self.send(text);
    }

    /// Calls any URI of the server's, with further header lines.
    pub fn invite_to(&mut self, uri: &str, lines: &str) -> Call {
        let mut call = self.new_call("nobody");
        call.uri = uri.to_owned();
        call.to = format!("<{uri}>");
        let text = self.compose(&call, "INVITE", uri, 1, &call.branch, "application/sdp", OFFER);
        call.invite = with_lines(&text, lines);
        self.send(&call.invite);
        call
    }

    /// The next call of the server's to this phone: its INVITE, and its dialog once this phone has answered.
    pub fn called(&mut self) -> (Call, Message) {
        let invite = self.receive(SOON).expect("a call comes");
        assert_eq!(invite.method(), Some("INVITE"), "{invite:?}");
        let id = invite.header("Call-ID").to_owned();
        let call = Call {
            branch: format!("z9hG4bK-{id}"),
            id,
            invite: String::new(),
            uri: invite.contact_uri().to_owned(),
            from: format!("{};tag={TAG}", invite.header("To")),
            to: invite.header("From").to_owned(),
            target: invite.contact_uri().to_owned(),
            cseq: 0,
        };
        (call, invite)
    }

    /// Answers a call that came to this phone. A session description comes with 200.
    pub fn answer_call(&mut self, invite: &Message, status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in invite.headers(name) {
                let tag = if name == "To" {
                    format!(";tag={TAG}")
                } else {
                    String::new()
                };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        let body = if status.starts_with("200") { OFFER } else { "" };
        text.push_str(&format!(
            "Contact: <sip:called@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        ));
        self.send(text);
    }
}

fn with_lines(text: &str, lines: &str) -> String {
    text.replacen("Content-Length:", &format!("{lines}Content-Length:"), 1)
}
