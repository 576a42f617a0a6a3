//! Access to what is in a message: raw values first, then the typed ones.
//!
//! Accessors of headers that must be there return [`HeaderError::Missing`] when they are not; those of optional ones
//! return `Ok(None)`. Every call scans the index, which is short; nothing is cached.

use bytes::Bytes;

use super::{
    CSeq, Contact, HeaderError, HeaderName, Message, Method, NameAddr, RAck, Reason, Replaces, RequestLine,
    SessionExpires, Start, StatusLine, Value, Via, delta_seconds,
    fields::{self, MAX_SEQ},
    parse,
    scan::{self, Elements},
};

/// The octets as they are in the message, raw.
impl Message {
    /// The start line, when it is a request.
    #[must_use]
    pub fn request(&self) -> Option<RequestLine<'_>> {
        match &self.start {
            Start::Request { method, uri } => Some(RequestLine {
                method,
                uri: uri.get(&self.bytes),
            }),
            Start::Response { .. } => None,
        }
    }

    /// The start line, when it is a response.
    #[must_use]
    pub fn status(&self) -> Option<StatusLine<'_>> {
        match &self.start {
            Start::Response { code, reason } => Some(StatusLine {
                code: *code,
                reason: reason.get(&self.bytes),
            }),
            Start::Request { .. } => None,
        }
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.request().map(|line| line.method)
    }

    /// The status code of a response.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.status().map(|line| line.code)
    }

    /// The first value of a header: trimmed, folds intact.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The value of each field of that name, top down. [`HeaderName::Other`] yields all unknown ones.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |f| f.name == name)
            .map(|f| f.value.get(&self.bytes))
    }

    /// The elements of a comma list over all fields of that name. Quotes and angle brackets are respected, empty
    /// elements left out. Do not use it for headers with commas of their own (dates, challenges, display names in
    /// From and To).
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers(name)
            .flat_map(Elements::new)
            .filter(|e| !e.is_empty())
    }

    /// The value of each field of any name, known or not, in any letter case, compact forms included.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = HeaderName::lookup(name.as_bytes());
        let same = move |f: &&super::Field| {
            f.name == known
                && (known != HeaderName::Other
                    || f.written.get(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
        };
        self.fields.iter().filter(same).map(|f| f.value.get(&self.bytes))
    }

    /// Name as written and value of every field, top down.
    pub fn all_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|f| (f.written.get(&self.bytes), f.value.get(&self.bytes)))
    }

    /// Known name and value of every field, top down.
    pub fn known_headers(&self) -> impl Iterator<Item = (HeaderName, &[u8])> {
        self.fields.iter().map(|f| (f.name, f.value.get(&self.bytes)))
    }

    /// How many fields carry the name.
    #[must_use]
    pub fn count(&self, name: HeaderName) -> usize {
        self.fields.iter().filter(|f| f.name == name).count()
    }

    /// Whether a comma list of tokens (Supported, Require, Allow, …) holds `token`, in any letter case.
    #[must_use]
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.values(name)
            .any(|v| v.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The body; empty when there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.get(&self.bytes)
    }

    /// The body, sharing the message's octets.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.slice(self.body())
    }

    /// Keeps a part of the message that an accessor returned, without copying it. A slice from elsewhere is copied.
    #[must_use]
    pub fn slice(&self, part: &[u8]) -> Bytes {
        let offset = (part.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize);
        match offset {
            Some(from) if from <= self.bytes.len() && part.len() <= self.bytes.len() - from => {
                self.bytes.slice(from..from + part.len())
            }
            _ => Bytes::copy_from_slice(part),
        }
    }

    /// All octets, those before the start line and after the body included.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Typed values.
impl Message {
    fn need(&self, name: HeaderName) -> Result<&[u8], HeaderError> {
        self.header(name).ok_or(HeaderError::Missing(name))
    }

    fn optional<'a, T>(
        &'a self,
        name: HeaderName,
        read: impl FnOnce(&'a [u8]) -> Result<T, &'static str>,
    ) -> Result<Option<T>, HeaderError> {
        self.header(name)
            .map(read)
            .transpose()
            .map_err(|why| HeaderError::malformed(name, why))
    }

    fn address(&self, name: HeaderName) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(self.need(name)?).map_err(|why| HeaderError::malformed(name, why))
    }

    fn addresses(&self, name: HeaderName) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.values(name)
            .map(move |v| NameAddr::parse(v).map_err(|why| HeaderError::malformed(name, why)))
    }

    /// The first element of the first Via.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        parse::first_via(self.need(HeaderName::Via)?)
    }

    /// Every element of every Via, top down.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderError>> {
        self.values(HeaderName::Via).map(Via::parse)
    }

    /// From.
    ///
    /// # Errors
    /// When it is missing or malformed.
    #[allow(clippy::wrong_self_convention, clippy::should_implement_trait)]
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(HeaderName::From)
    }

    /// To.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(HeaderName::To)
    }

    /// Every Contact.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'_>, HeaderError>> {
        let bad = |why| HeaderError::malformed(HeaderName::Contact, why);
        self.values(HeaderName::Contact)
            .map(move |v| Contact::parse(v).map_err(bad))
    }

    /// The first Contact that is an address.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub fn contact(&self) -> Result<NameAddr<'_>, HeaderError> {
        match self.contacts().next() {
            Some(Ok(Contact::Addr(addr))) => Ok(addr),
            Some(Ok(Contact::Star)) => Err(HeaderError::malformed(HeaderName::Contact, "`*` is no address")),
            Some(Err(e)) => Err(e),
            None => Err(HeaderError::Missing(HeaderName::Contact)),
        }
    }

    /// Route elements, top down.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderName::Route)
    }

    /// Record-Route elements, top down.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderName::RecordRoute)
    }

    /// CSeq.
    ///
    /// # Errors
    /// When it is missing or malformed, or the number is not below 2^31.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        CSeq::parse(self.need(HeaderName::CSeq)?).map_err(|why| HeaderError::malformed(HeaderName::CSeq, why))
    }

    /// Call-ID, unless it is missing or empty.
    #[must_use]
    pub fn call_id(&self) -> Option<&[u8]> {
        self.header(HeaderName::CallId).filter(|id| !id.is_empty())
    }

    /// Max-Forwards, 0 to 255 (RFC 3261 §20.22).
    ///
    /// # Errors
    /// When it is no such number.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        let read = |v| {
            scan::digits(v)
                .and_then(|n| u8::try_from(n).ok())
                .ok_or("not a number from 0 to 255")
        };
        self.optional(HeaderName::MaxForwards, read)
    }

    /// Content-Type; `None` when it is missing.
    ///
    /// # Errors
    /// When it is not `type/subtype`.
    pub fn content_type(&self) -> Result<Option<Value<'_>>, HeaderError> {
        self.optional(HeaderName::ContentType, |v| {
            let value = Value::parse(v);
            value.media().map(|_| value).ok_or("not type/subtype")
        })
    }

    /// Content-Disposition.
    #[must_use]
    pub fn content_disposition(&self) -> Option<Value<'_>> {
        self.header(HeaderName::ContentDisposition).map(Value::parse)
    }

    /// Expires, s.
    ///
    /// # Errors
    /// When it is no number of 32 bits.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderName::Expires, delta_seconds)
    }

    /// Min-Expires, s.
    ///
    /// # Errors
    /// When it is no number of 32 bits.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderName::MinExpires, delta_seconds)
    }

    /// Retry-After, s, without its comment and parameters.
    ///
    /// # Errors
    /// When it does not begin with a number of 32 bits.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderName::RetryAfter, fields::retry_after)
    }

    /// Session-Expires (RFC 4028 §4).
    ///
    /// # Errors
    /// When its interval is no number of 32 bits.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.optional(HeaderName::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE, s (RFC 4028 §5).
    ///
    /// # Errors
    /// When it is no number of 32 bits.
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderName::MinSe, |v| delta_seconds(Value::parse(v).value))
    }

    /// RSeq (RFC 3262 §7.1).
    ///
    /// # Errors
    /// When it is no number below 2^31.
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        let read = |v| {
            delta_seconds(v).and_then(|n| {
                if n <= MAX_SEQ {
                    Ok(n)
                } else {
                    Err("number of 2^31 or more")
                }
            })
        };
        self.optional(HeaderName::RSeq, read)
    }

    /// RAck (RFC 3262 §7.2).
    ///
    /// # Errors
    /// When a number or the method cannot be read.
    pub fn rack(&self) -> Result<Option<RAck>, HeaderError> {
        self.optional(HeaderName::RAck, RAck::parse)
    }

    /// The elements of Reason (RFC 3326). Malformed ones are left out: a reason is information, never a condition.
    pub fn reasons(&self) -> impl Iterator<Item = Reason<'_>> {
        self.values(HeaderName::Reason)
            .filter_map(|v| Reason::parse(v).ok())
    }

    /// Refer-To (RFC 3515 §2.1).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn refer_to(&self) -> Result<Option<NameAddr<'_>>, HeaderError> {
        self.optional(HeaderName::ReferTo, NameAddr::parse)
    }

    /// Replaces (RFC 3891 §6.1).
    ///
    /// # Errors
    /// When the Call-ID or a tag is missing.
    pub fn replaces(&self) -> Result<Option<Replaces<'_>>, HeaderError> {
        self.optional(HeaderName::Replaces, Replaces::parse)
    }

    /// Event (RFC 6665 §8.2.1).
    #[must_use]
    pub fn event(&self) -> Option<Value<'_>> {
        self.header(HeaderName::Event).map(Value::parse)
    }

    /// Subscription-State (RFC 6665 §8.2.3).
    #[must_use]
    pub fn subscription_state(&self) -> Option<Value<'_>> {
        self.header(HeaderName::SubscriptionState).map(Value::parse)
    }
}
