//! Parameters of the verbs: plain values here, resources of the contract only while the verb runs.

use std::time::Duration;

use crate::wit::callbox::flow::sipcall as raw;
use crate::words::millis;
use crate::{Body, Header, Registration};

/// Who to authenticate as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Credentials {
    /// Known to the flow.
    Given {
        username: String,
        password: String,
        realm: Option<String>,
    },
    /// Known to the operator under this name.
    Named(String),
}

/// The builder of a header.
macro_rules! header {
    () => {
        /// Adds a header field; may be called many times.
        pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.headers.push($crate::Header::new(name, value));
            self
        }
    };
}

/// The builders of what goes out of the host anew: who to be, and which way.
macro_rules! login_and_trunk {
    () => {
        /// Credentials for any realm. The last word on credentials counts.
        pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
            self.credentials = Some($crate::options::Credentials::Given {
                username: username.into(),
                password: password.into(),
                realm: None,
            });
            self
        }

        /// Credentials for one realm.
        pub fn credentials_for(
            mut self,
            realm: impl Into<String>,
            username: impl Into<String>,
            password: impl Into<String>,
        ) -> Self {
            self.credentials = Some($crate::options::Credentials::Given {
                username: username.into(),
                password: password.into(),
                realm: Some(realm.into()),
            });
            self
        }

        /// Credentials that the operator configured under this name; the secret never enters the flow.
        pub fn credential_name(mut self, name: impl Into<String>) -> Self {
            self.credentials = Some($crate::options::Credentials::Named(name.into()));
            self
        }

        /// Through this trunk of the tenant's configuration.
        pub fn trunk(mut self, name: impl Into<String>) -> Self {
            self.trunk = Some(name.into());
            self
        }
    };
}

/// Hands the headers over to a resource of the contract.
macro_rules! lower_headers {
    ($self:ident, $options:ident) => {
        for header in &$self.headers {
            $options.header(header);
        }
    };
}

/// Hands over what [`login_and_trunk`] took.
macro_rules! lower_login_and_trunk {
    ($self:ident, $options:ident) => {
        match &$self.credentials {
            Some($crate::options::Credentials::Given {
                username,
                password,
                realm,
            }) => $options.credentials(username, password, realm.as_deref()),
            Some($crate::options::Credentials::Named(name)) => $options.credential_name(name),
            None => {}
        }
        if let Some(name) = &$self.trunk {
            $options.trunk(name);
        }
    };
}

pub(crate) use {header, login_and_trunk, lower_headers, lower_login_and_trunk};

/// How to place a call: `MakeCall::to("sip:bob@example.com").offer(sdp)`.
///
/// Without an offer the INVITE is empty; the peer's offer is then [`Call::remote_offer`](crate::Call::remote_offer) and
/// [`Call::answer`](crate::Call::answer) sends the ACK with our answer.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct MakeCall {
    pub(crate) dest: String,
    timeout: Option<Duration>,
    offer: Option<Body>,
    headers: Vec<Header>,
    credentials: Option<Credentials>,
    caller_id: Option<(String, Option<String>)>,
    trunk: Option<String>,
    registration: Option<u32>,
    max_duration: Option<Duration>,
    follow_redirects: bool,
}

impl MakeCall {
    /// To this SIP or tel URI.
    pub fn to(dest: impl Into<String>) -> Self {
        Self {
            dest: dest.into(),
            timeout: None,
            offer: None,
            headers: Vec::new(),
            credentials: None,
            caller_id: None,
            trunk: None,
            registration: None,
            max_duration: None,
            follow_redirects: false,
        }
    }

    /// How long to let it ring. Default 15 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// What to offer. Default: an INVITE without an offer.
    pub fn offer(mut self, body: impl Into<Body>) -> Self {
        self.offer = Some(body.into());
        self
    }

    header!();
    login_and_trunk!();

    /// The user part of From. The tenant must own it.
    pub fn caller_id(mut self, user: impl Into<String>) -> Self {
        let name = self.caller_id.and_then(|(_, name)| name);
        self.caller_id = Some((user.into(), name));
        self
    }

    /// The user part and the display name of From. The tenant must own the user part.
    pub fn caller_id_named(mut self, user: impl Into<String>, name: impl Into<String>) -> Self {
        self.caller_id = Some((user.into(), Some(name.into())));
        self
    }

    /// With the identity and credentials of a registration of this flow.
    pub fn registration(mut self, registration: &Registration) -> Self {
        self.registration = Some(registration.id());
        self
    }

    /// Hang up by itself after this long. Default: the tenant's limit.
    pub fn max_duration(mut self, time: Duration) -> Self {
        self.max_duration = Some(time);
        self
    }

    /// Follow 3xx within the dial rules. Default: they come back as [`Error::Rejected`](crate::Error::Rejected).
    pub fn follow_redirects(mut self) -> Self {
        self.follow_redirects = true;
        self
    }

    pub(crate) fn lower(&self) -> raw::MakeCallOptions {
        let options = raw::MakeCallOptions::new();
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        if let Some(body) = &self.offer {
            options.offer(body);
        }
        lower_headers!(self, options);
        lower_login_and_trunk!(self, options);
        if let Some((user, name)) = &self.caller_id {
            options.caller_id(user, name.as_deref());
        }
        if let Some(id) = self.registration {
            options.registration(id);
        }
        if let Some(time) = self.max_duration {
            options.max_duration(millis(time));
        }
        if self.follow_redirects {
            options.follow_redirects(true);
        }
        options
    }
}

/// An answer: a session description, or a body with headers and a time to wait for the ACK.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Answer {
    pub(crate) body: Body,
    pub(crate) headers: Vec<Header>,
    pub(crate) timeout: Duration,
}

impl Answer {
    /// This body, no further headers, 15 s for the ACK.
    pub fn new(body: impl Into<Body>) -> Self {
        Self {
            body: body.into(),
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
        }
    }

    header!();

    /// How long to wait for the ACK. Zero does not wait.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }
}

impl<B: Into<Body>> From<B> for Answer {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}

/// A final refusal: `486`, or a code with a reason phrase and headers.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Rejection {
    pub(crate) code: u16,
    pub(crate) reason: Option<String>,
    pub(crate) headers: Vec<Header>,
}

impl Rejection {
    /// This code (400–699) with its usual reason phrase.
    pub fn new(code: u16) -> Self {
        Self {
            code,
            reason: None,
            headers: Vec::new(),
        }
    }

    /// Another reason phrase.
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    header!();
}

impl From<u16> for Rejection {
    fn from(code: u16) -> Self {
        Self::new(code)
    }
}

/// A new offer within the call.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Reoffer {
    offer: Option<Body>,
    timeout: Option<Duration>,
    headers: Vec<Header>,
    use_update: bool,
}

impl Reoffer {
    /// A re-INVITE with this offer.
    pub fn new(offer: impl Into<Body>) -> Self {
        Self {
            offer: Some(offer.into()),
            ..Self::default()
        }
    }

    /// A re-INVITE without an offer: the peer makes one.
    pub fn empty() -> Self {
        Self::default()
    }

    /// How long to wait for the answer. Default 15 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    header!();

    /// Send UPDATE (RFC 3311) instead of a re-INVITE.
    pub fn update(mut self) -> Self {
        self.use_update = true;
        self
    }

    pub(crate) fn lower(&self) -> raw::ReofferOptions {
        let options = raw::ReofferOptions::new();
        if let Some(body) = &self.offer {
            options.offer(body);
        }
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        lower_headers!(self, options);
        if self.use_update {
            options.use_update(true);
        }
        options
    }
}

/// How to transfer. By default: wait for the 202, then hang up.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Transfer {
    timeout: Option<Duration>,
    headers: Vec<Header>,
    wait_for_outcome: bool,
    keep_leg: bool,
}

impl Transfer {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait for the 202, or for the outcome. Default 60 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    header!();

    /// Wait until the peer says how the transfer went.
    pub fn wait_for_outcome(mut self) -> Self {
        self.wait_for_outcome = true;
        self
    }

    /// Keep the leg after the transfer.
    pub fn keep_leg(mut self) -> Self {
        self.keep_leg = true;
        self
    }

    pub(crate) fn lower(&self) -> raw::TransferOptions {
        let options = raw::TransferOptions::new();
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        lower_headers!(self, options);
        if self.wait_for_outcome {
            options.wait_for_outcome(true);
        }
        if self.keep_leg {
            options.keep_leg(true);
        }
        options
    }
}

/// What a bridge relays. By default everything.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct BridgeOptions {
    no_offers: bool,
    no_info: bool,
    no_hangup: bool,
    watch_digits: Vec<String>,
}

impl BridgeOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Do not relay re-INVITE, UPDATE and hold.
    pub fn without_offers(mut self) -> Self {
        self.no_offers = true;
        self
    }

    /// Do not relay INFO.
    pub fn without_info(mut self) -> Self {
        self.no_info = true;
        self
    }

    /// Keep the other leg when one ends.
    pub fn keep_other_leg(mut self) -> Self {
        self.no_hangup = true;
        self
    }

    /// Report this feature code as an event instead of relaying it; may be called many times.
    pub fn watch_digits(mut self, code: impl Into<String>) -> Self {
        self.watch_digits.push(code.into());
        self
    }

    pub(crate) fn lower(&self) -> raw::BridgeOptions {
        let options = raw::BridgeOptions::new();
        if self.no_offers {
            options.relay_offers(false);
        }
        if self.no_info {
            options.relay_info(false);
        }
        if self.no_hangup {
            options.hangup_other(false);
        }
        for code in &self.watch_digits {
            options.watch_digits(code);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_credentials_counts() {
        let options = MakeCall::to("sip:bob@example.com")
            .credential_name("trunk-a")
            .credentials_for("example.com", "alice", "secret");
        assert_eq!(
            options.credentials,
            Some(Credentials::Given {
                username: "alice".into(),
                password: "secret".into(),
                realm: Some("example.com".into()),
            })
        );
    }

    #[test]
    fn headers_keep_order_and_duplicates() {
        let options = MakeCall::to("tel:1")
            .header("X-A", "1")
            .header("X-B", "2")
            .header("X-A", "3");
        let values: Vec<_> = options.headers.iter().map(|h| h.value.as_str()).collect();
        assert_eq!(values, ["1", "2", "3"]);
    }

    #[test]
    fn a_number_is_a_rejection_and_text_an_answer() {
        assert_eq!(Rejection::from(486), Rejection::new(486));
        let answer = Answer::from("v=0\n");
        assert!(answer.body.is("application/sdp"));
        assert_eq!(answer.timeout, Duration::from_secs(15));
        assert_eq!(Answer::new("v=0").timeout(Duration::ZERO).timeout, Duration::ZERO);
    }
}
