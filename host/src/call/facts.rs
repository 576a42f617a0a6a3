//! What a leg knows of its call, and the one place where this layer reads and writes SIP values.
//!
//! Facts are read from the peer's message when a flow asks, not before: most flows ask for two of them.

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint as sip;
use callbox_sip::message::{HeaderName, Message, NameAddr, Uri};

use super::error::{CallError, Status};
use super::options::Login;
use super::text::{Body, Header, ReceivedHeader, SHORT_TEXT_MAX, quoted};

/// Where a leg's facts come from.
pub(super) enum Facts {
    /// An idle leg has none.
    None,
    /// The peer's INVITE.
    Received(Message),
    /// What we dialled, and the peer's latest response.
    Dialled {
        from_user: String,
        /// To.
        dest: String,
        /// The Request-URI: `dest`, until a redirection is followed.
        uri: String,
        /// Call-ID of the INVITE that was sent last; empty before.
        sent_as: Box<[u8]>,
        response: Option<Message>,
    },
}

impl Facts {
    pub(super) fn dialled(from_user: String, dest: String) -> Self {
        Facts::Dialled {
            from_user,
            uri: dest.clone(),
            dest,
            sent_as: Box::default(),
            response: None,
        }
    }

    /// The INVITE has been sent with this Call-ID.
    pub(super) fn sent(&mut self, call_id: &[u8]) {
        if let Facts::Dialled { sent_as, .. } = self {
            *sent_as = call_id.into();
        }
    }

    /// A redirection leads there.
    pub(super) fn redirected(&mut self, to: String) {
        if let Facts::Dialled { uri, .. } = self {
            *uri = to;
        }
    }

    pub(super) fn heard(&mut self, message: &Message) {
        if let Facts::Dialled { response, .. } = self {
            *response = Some(message.clone());
        }
    }

    fn message(&self) -> Option<&Message> {
        match self {
            Facts::None => None,
            Facts::Received(message) => Some(message),
            Facts::Dialled { response, .. } => response.as_ref(),
        }
    }

    pub(super) fn ani(&self) -> String {
        match self {
            Facts::Dialled { from_user, .. } => from_user.clone(),
            _ => self
                .message()
                .and_then(|message| message.from().ok())
                .map(|from| user_of(from.uri_raw))
                .unwrap_or_default(),
        }
    }

    pub(super) fn dnis(&self) -> String {
        match self {
            Facts::Dialled { dest, .. } => user_of(dest.as_bytes()),
            _ => self
                .message()
                .and_then(|message| message.to().ok())
                .map(|to| user_of(to.uri_raw))
                .unwrap_or_default(),
        }
    }

    pub(super) fn request_uri(&self) -> String {
        match self {
            Facts::Dialled { uri, .. } => uri.clone(),
            _ => self
                .message()
                .and_then(Message::request)
                .map(|line| lossy(line.uri))
                .unwrap_or_default(),
        }
    }

    pub(super) fn caller_uri(&self) -> String {
        self.address(|message| message.from().ok())
    }

    pub(super) fn callee_uri(&self) -> String {
        match self {
            Facts::Dialled {
                dest, response: None, ..
            } => dest.clone(),
            _ => self.address(|message| message.to().ok()),
        }
    }

    fn address<'a>(&'a self, pick: impl Fn(&'a Message) -> Option<NameAddr<'a>>) -> String {
        self.message()
            .and_then(pick)
            .map(|address| lossy(address.uri_raw))
            .unwrap_or_default()
    }

    pub(super) fn call_id(&self) -> String {
        self.message()
            .and_then(Message::call_id)
            .map(lossy)
            .unwrap_or_default()
    }

    /// As [`Self::call_id`], from the moment on that our INVITE is sent.
    pub(super) fn summary_call_id(&self) -> String {
        match self {
            Facts::Dialled { sent_as, .. } if !sent_as.is_empty() => lossy(sent_as),
            _ => self.call_id(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Vec<String> {
        self.message()
            .map(|message| message.headers_named(name).map(unfolded).collect())
            .unwrap_or_default()
    }
}

/// The user part of a URI, escapes kept as sent; of a `tel:` URI the number.
pub(super) fn user_of(uri: &[u8]) -> String {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => uri.user.map(lossy).unwrap_or_default(),
        Ok(Uri::Tel(uri)) => lossy(uri.number),
        _ => String::new(),
    }
}

/// What routes ask of a call to this URI: its user part, and its host in lower case without port. None for what is no URI
/// of SIP or of a telephone.
#[must_use]
pub fn called(uri: &str) -> Option<(String, String)> {
    let host = match Uri::parse(uri.as_bytes()).ok()? {
        Uri::Sip(uri) => uri.host.to_string().to_ascii_lowercase(),
        Uri::Tel(_) => String::new(),
        _ => return None,
    };
    Some((user_of(uri.as_bytes()), host))
}

/// The user part and the domain that a call to this URI, or to this user part at this domain, asks for.
///
/// # Errors
/// What is wrong with `to`, and what to write.
pub fn dialled(to: &str, domain: &str) -> Result<(String, String), String> {
    match to.contains(':') {
        true => called(to).ok_or_else(|| format!("{to:?} is no SIP URI; write sip:USER@HOST or USER")),
        false if to.contains('@') => Err(format!("{to:?}: write sip:USER@HOST, or USER and a domain")),
        false => Ok((to.to_owned(), domain.to_ascii_lowercase())),
    }
}

pub(super) fn status(message: &Message) -> Status {
    message.status().map_or(
        Status {
            code: 0,
            reason: String::new(),
        },
        |line| Status {
            code: line.code,
            reason: lossy(line.reason),
        },
    )
}

/// The body, if there is one.
pub(super) fn body(message: &Message) -> Option<Body> {
    let data = message.body_bytes();
    if data.is_empty() {
        return None;
    }
    let content_type = message
        .header(HeaderName::ContentType)
        .unwrap_or(b"application/octet-stream");
    Some(Body::received(content_type, data))
}

pub(super) fn headers(message: &Message) -> Vec<ReceivedHeader> {
    message
        .all_headers()
        .map(|(name, value)| ReceivedHeader {
            name: lossy(name),
            value: unfolded(value),
        })
        .collect()
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A header value on one line: folding is one space (RFC 3261 §7.3.1).
fn unfolded(value: &[u8]) -> String {
    let text = lossy(value);
    if text.contains(['\r', '\n']) {
        text.split(['\r', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        text
    }
}

pub(super) fn to_sip_header(header: &Header) -> sip::Header {
    sip::Header {
        name: header.name().into(),
        value: header.value().into(),
    }
}

pub(super) fn to_sip_body(body: &Body) -> sip::Body {
    sip::Body {
        content_type: body.content_type().into(),
        data: body.data().clone(),
    }
}

pub(super) fn received_body(body: &sip::Body) -> Body {
    Body::received(body.content_type.as_bytes(), body.data.clone())
}

pub(super) fn contact_header(uri: &str) -> sip::Header {
    sip::Header {
        name: "Contact".into(),
        value: format!("<{uri}>").into(),
    }
}

/// Reason of a flow's own words (RFC 3326). The text has been checked to be one line.
pub(super) fn reason(text: &str) -> sip::Reason {
    reason_with(None, text)
}

/// The same with a SIP status as the cause (RFC 3326 §2).
pub(super) fn reason_with(cause: Option<u16>, text: &str) -> sip::Reason {
    sip::Reason {
        protocol: "SIP".into(),
        cause,
        text: Some(text.into()),
    }
}

/// The same as a header of a response (RFC 6432). The text is one of the host's own and needs no escapes.
pub(super) fn reason_header(reason: &sip::Reason) -> sip::Header {
    let mut value = reason.protocol.to_string();
    if let Some(cause) = reason.cause {
        value.push_str(&format!(";cause={cause}"));
    }
    if let Some(text) = &reason.text {
        value.push_str(&format!(";text=\"{text}\""));
    }
    sip::Header {
        name: "Reason".into(),
        value: value.into(),
    }
}

/// From, as a grant says.
pub(super) fn from_of(user: &str, display: Option<String>, host: Option<String>) -> sip::PartyAddress {
    sip::PartyAddress {
        user: Some(user.into()),
        display: display.map(Into::into),
        host: host.map(Into::into),
    }
}

pub(super) fn to_sip_credentials(login: &Login) -> Credentials {
    Credentials {
        username: login.username.clone(),
        password: login.password.clone(),
        realm: login.realm.clone(),
    }
}

/// Caller id of a flow: a user part without anything that ends it, and a display name on one line.
pub(super) fn check_caller_id(user: &str, name: Option<&str>) -> Result<(), CallError> {
    let user_ok = !user.is_empty()
        && user.len() <= SHORT_TEXT_MAX
        && user
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&byte));
    if !user_ok {
        return Err(CallError::invalid(format!(
            "caller id {} is not a user part (RFC 3261 §25.1)",
            quoted(user)
        )));
    }
    if let Some(name) = name {
        super::text::reason_text(name)
            .map_err(|_| CallError::invalid("display name is not one short line"))?;
    }
    Ok(())
}
