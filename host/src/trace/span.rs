//! What is said of one session. Entry types: [`Trace`] and [`Span`]. Invariant: an attribute's text is at most [`TEXT_MAX`] bytes.

use std::borrow::Cow;

/// Bytes of a text; peers choose the length of some.
const TEXT_MAX: usize = 256;

/// A session that is over. The first span is the session's; the others are its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Name of the session.
    pub session: String,
    /// Never empty.
    pub spans: Vec<Span>,
}

/// Something that took time. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// One of few.
    pub name: Cow<'static, str>,
    /// Who began it.
    pub kind: SpanKind,
    /// It began.
    pub start_ns: u64,
    /// It was over.
    pub end_ns: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What happened meanwhile, and when.
    pub events: Vec<(&'static str, u64)>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Who began a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// The host or a flow.
    Internal,
    /// A peer asked.
    Server,
    /// A peer was asked.
    Client,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(u64),
}

impl Span {
    /// Adds what is known, a long text cut.
    pub fn text(&mut self, name: &'static str, value: &str) {
        let cut = value
            .get(..value.floor_char_boundary(TEXT_MAX))
            .unwrap_or_default();
        self.attributes
            .push((name, Attribute::Text(Cow::Owned(cut.to_owned()))));
    }

    /// The same for a text that never changes.
    pub fn word(&mut self, name: &'static str, value: &'static str) {
        self.attributes
            .push((name, Attribute::Text(Cow::Borrowed(value))));
    }

    /// The same for a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.attributes.push((name, Attribute::Number(value)));
    }
}
