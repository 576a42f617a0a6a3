//! The named parameters of the page, one type a method. Times are whole seconds.

use super::{LONG, SHORT, secs};
use crate::{Body, Registration};

/// `sdp`, or `offer` and `type`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Session {
    offer: String,
    mime: Option<String>,
}

impl Session {
    pub(super) fn lower(self) -> Body {
        match self.mime {
            Some(mime) => Body::new(&mime, self.offer),
            None => Body::sdp(self.offer),
        }
    }
}

/// The setters that several methods have in common, with the words of the page.
macro_rules! setters {
    (timeout) => {
        /// `timeout`, in seconds.
        pub fn timeout(mut self, seconds: u32) -> Self {
            self.timeout = seconds;
            self
        }
    };
    (session) => {
        /// `sdp`: a session description; instead of `offer` and `type`.
        pub fn sdp(mut self, text: impl Into<String>) -> Self {
            self.body.offer = text.into();
            self.body.mime = None;
            self
        }

        /// `offer`: a body of any type.
        pub fn offer(mut self, text: impl Into<String>) -> Self {
            self.body.offer = text.into();
            self
        }

        /// `type`: the MIME type of `offer`. Default `application/sdp`.
        pub fn mime(mut self, content_type: impl Into<String>) -> Self {
            self.body.mime = Some(content_type.into());
            self
        }
    };
    (headers) => {
        /// `H_XXX`: adds header XXX; may be called many times.
        pub fn h(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.headers.push((name.into(), value.into()));
            self
        }
    };
    (credentials) => {
        /// `username`
        pub fn username(mut self, name: impl Into<String>) -> Self {
            self.login.username = Some(name.into());
            self
        }

        /// `password`
        pub fn password(mut self, secret: impl Into<String>) -> Self {
            self.login.password = secret.into();
            self
        }

        /// `realm`. Without it the credentials answer any realm.
        pub fn realm(mut self, realm: impl Into<String>) -> Self {
            self.login.realm = Some(realm.into());
            self
        }
    };
}

/// `username`, `password`, `realm`.
#[derive(Debug, Clone, Default, PartialEq)]
struct Login {
    username: Option<String>,
    password: String,
    realm: Option<String>,
}

/// Credentials are set only when there is a user name; the builders of the SDK have two ways to say it.
macro_rules! log_in {
    ($builder:expr, $login:expr) => {
        match ($login.username, $login.realm) {
            (Some(username), Some(realm)) => $builder.credentials_for(realm, username, $login.password),
            (Some(username), None) => $builder.credentials(username, $login.password),
            (None, _) => $builder,
        }
    };
}

/// Parameters of `makecall`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct MakeCall {
    dest: String,
    timeout: u32,
    body: Session,
    headers: Vec<(String, String)>,
    login: Login,
}

impl MakeCall {
    /// `dest`
    pub fn dest(uri: impl Into<String>) -> Self {
        Self {
            dest: uri.into(),
            timeout: LONG,
            body: Session::default(),
            headers: Vec::new(),
            login: Login::default(),
        }
    }

    setters!(timeout);
    setters!(session);
    setters!(headers);
    setters!(credentials);

    pub(super) fn lower(self, registration: Option<&Registration>) -> crate::MakeCall {
        let mut call = crate::MakeCall::to(self.dest).timeout(secs(self.timeout));
        if !self.body.offer.is_empty() {
            call = call.offer(self.body.lower());
        }
        for (name, value) in self.headers {
            call = call.header(name, value);
        }
        if let Some(registration) = registration {
            call = call.registration(registration);
        }
        log_in!(call, self.login)
    }
}

/// Parameters of `answer`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Answer {
    pub(super) body: Session,
    pub(super) timeout: u32,
}

impl Answer {
    fn new() -> Self {
        Self {
            body: Session::default(),
            timeout: LONG,
        }
    }

    /// `sdp`
    pub fn sdp(text: impl Into<String>) -> Self {
        let mut answer = Self::new();
        answer.body.offer = text.into();
        answer
    }

    /// `offer`, with `type` set by [`mime`](Self::mime).
    pub fn offer(text: impl Into<String>) -> Self {
        Self::sdp(text)
    }

    /// `type`: the MIME type of `offer`. Default `application/sdp`.
    pub fn mime(mut self, content_type: impl Into<String>) -> Self {
        self.body.mime = Some(content_type.into());
        self
    }

    setters!(timeout);
}

/// Parameters of `accept`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Accept {
    pub(super) service: String,
    pub(super) timeout: u32,
}

impl Accept {
    /// `service`
    pub fn service(name: impl Into<String>) -> Self {
        Self {
            service: name.into(),
            timeout: LONG,
        }
    }

    setters!(timeout);
}

/// Parameters of `waitfordtmf`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct WaitForDtmf {
    pub(super) timeout: u32,
}

impl Default for WaitForDtmf {
    fn default() -> Self {
        Self { timeout: SHORT }
    }
}

impl WaitForDtmf {
    /// `timeout`, in seconds.
    pub fn timeout(seconds: u32) -> Self {
        Self { timeout: seconds }
    }
}

/// Parameters of `gatherdigits`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct GatherDigits {
    pub(super) pattern: String,
    pub(super) timeout: u32,
}

impl GatherDigits {
    /// `pattern`: a Lua pattern that is looked for in all digits.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            timeout: SHORT,
        }
    }

    setters!(timeout);
}

/// Parameters of `blindxfer`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct BlindXfer {
    pub(super) dest: String,
}

impl BlindXfer {
    /// `dest`
    pub fn dest(uri: impl Into<String>) -> Self {
        Self { dest: uri.into() }
    }
}

/// Parameters of `sendinfo`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct SendInfo {
    pub(super) body: Session,
    pub(super) wait: bool,
}

impl SendInfo {
    /// `offer` and `type`: the body of the INFO.
    pub fn offer(text: impl Into<String>, content_type: impl Into<String>) -> Self {
        Self {
            body: Session {
                offer: text.into(),
                mime: Some(content_type.into()),
            },
            wait: false,
        }
    }

    /// `async`, with the meaning that the page gives it: wait for the response and return it.
    pub fn r#async(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }
}

/// Parameters of `reoffer`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Reoffer {
    pub(super) body: Session,
    pub(super) timeout: u32,
    pub(super) headers: Vec<(String, String)>,
}

impl Reoffer {
    /// `sdp`
    pub fn sdp(text: impl Into<String>) -> Self {
        Self {
            body: Session {
                offer: text.into(),
                mime: None,
            },
            timeout: LONG,
            headers: Vec::new(),
        }
    }

    /// `offer`, with `type` set by [`mime`](Self::mime).
    pub fn offer(text: impl Into<String>) -> Self {
        Self::sdp(text)
    }

    /// `type`: the MIME type of `offer`. Default `application/sdp`.
    pub fn mime(mut self, content_type: impl Into<String>) -> Self {
        self.body.mime = Some(content_type.into());
        self
    }

    setters!(timeout);
    setters!(headers);
}

/// Parameters of `startregister`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct StartRegister {
    registrar: String,
    timeout: u32,
    login: Login,
}

impl StartRegister {
    /// `registrar`
    pub fn registrar(uri: impl Into<String>) -> Self {
        Self {
            registrar: uri.into(),
            timeout: LONG,
            login: Login::default(),
        }
    }

    setters!(timeout);
    setters!(credentials);

    pub(super) fn lower(self) -> crate::Register {
        let register = crate::Register::at(self.registrar).timeout(secs(self.timeout));
        log_in!(register, self.login)
    }
}

/// Parameters of `subscribe`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Subscribe {
    server: String,
    package: String,
    interval: Option<u32>,
    refresh: Option<u32>,
    timeout: u32,
    login: Login,
}

impl Subscribe {
    /// `server`
    pub fn server(uri: impl Into<String>) -> Self {
        Self {
            server: uri.into(),
            package: "presence".into(),
            interval: None,
            refresh: None,
            timeout: LONG,
            login: Login::default(),
        }
    }

    /// `package`. Default `presence`.
    pub fn package(mut self, name: impl Into<String>) -> Self {
        self.package = name.into();
        self
    }

    /// `interval`, in seconds: what to ask for in Expires.
    pub fn interval(mut self, seconds: u32) -> Self {
        self.interval = Some(seconds);
        self
    }

    /// `refresh`, in seconds: when to subscribe again.
    pub fn refresh(mut self, seconds: u32) -> Self {
        self.refresh = Some(seconds);
        self
    }

    /// `user`, which the page's example has for `username`.
    pub fn user(self, name: impl Into<String>) -> Self {
        self.username(name)
    }

    setters!(timeout);
    setters!(credentials);

    pub(super) fn lower(self) -> crate::Subscribe {
        let mut subscribe = crate::Subscribe::to(self.server, self.package).timeout(secs(self.timeout));
        if let Some(seconds) = self.interval {
            subscribe = subscribe.interval(secs(seconds));
        }
        if let Some(seconds) = self.refresh {
            subscribe = subscribe.refresh(secs(seconds));
        }
        log_in!(subscribe, self.login)
    }
}

/// Parameters of `waitfornotify`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct WaitForNotify {
    pub(super) timeout: u32,
}

impl Default for WaitForNotify {
    fn default() -> Self {
        Self { timeout: LONG }
    }
}

impl WaitForNotify {
    /// `timeout`, in seconds.
    pub fn timeout(seconds: u32) -> Self {
        Self { timeout: seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn makecall_means_what_the_page_means() {
        let bare = MakeCall::dest("sip:a@example.com").lower(None);
        assert_eq!(
            bare,
            crate::MakeCall::to("sip:a@example.com").timeout(Duration::from_secs(15)),
            "no body: an INVITE without an offer"
        );
        let full = MakeCall::dest("sip:a@example.com")
            .timeout(7)
            .sdp("v=0\n")
            .h("X-Key", "1")
            .username("u")
            .password("p")
            .realm("r");
        assert_eq!(
            full.lower(None),
            crate::MakeCall::to("sip:a@example.com")
                .timeout(Duration::from_secs(7))
                .offer("v=0\n")
                .header("X-Key", "1")
                .credentials_for("r", "u", "p")
        );
    }

    #[test]
    fn offer_and_type_are_the_long_form_of_sdp() {
        let session = Answer::offer("hello").mime("text/plain").body.lower();
        assert_eq!(session, Body::new("text/plain", "hello"));
        assert_eq!(Answer::offer("v=0").body.lower(), Answer::sdp("v=0").body.lower());
    }

    #[test]
    fn a_registration_without_a_realm_answers_any() {
        let register = StartRegister::registrar("sip:1000@example.com")
            .username("1000")
            .password("1234");
        assert_eq!(
            register.lower(),
            crate::Register::at("sip:1000@example.com")
                .timeout(Duration::from_secs(15))
                .credentials("1000", "1234")
        );
    }

    #[test]
    fn subscribe_knows_the_two_names_of_the_user() {
        let by = |s: Subscribe| s.password("p").lower();
        assert_eq!(
            by(Subscribe::server("sip:x@example.com").user("u")),
            by(Subscribe::server("sip:x@example.com").username("u"))
        );
    }
}
