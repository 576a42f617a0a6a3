//! `GET /v1/log`: the host's log as it is written, of one tenant, flow, session or call if one is named.
//!
//! A stream of JSON objects, one a line. Entry type: [`LogLines`], which the log's own thread fills. Invariants: the log waits
//! for no reader; a reader that is slow loses the oldest lines and is told how many; what a flow writes cannot make its line
//! pass for that of another tenant, because only the fields of the host's own span are looked at.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::Routes;
use super::input::Query;
use super::node::Node;
use super::problem::Problem;

/// Lines on their way to one reader, beside those that wait in the log's own queue.
const ON_THE_WAY: usize = 64;

/// One element of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tailed {
    /// A line of the log, as it is written there, without its end.
    Line(String),
    /// So many lines were lost to this reader, who was too slow.
    Lost(u64),
}

/// Where those who follow the log get its lines from.
#[derive(Debug, Clone)]
pub struct LogLines(broadcast::Sender<Arc<str>>);

impl LogLines {
    /// Keeps so many lines for readers that are behind.
    #[must_use]
    pub fn new(lines: usize) -> Self {
        Self(broadcast::Sender::new(lines.max(1)))
    }

    /// Gives a line to all readers. Costs next to nothing when there are none, and never waits.
    pub fn put(&self, line: &[u8]) {
        if self.0.receiver_count() > 0 {
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            // Fails only when the last reader has just gone.
            let _ = self.0.send(line.into());
        }
    }
}

/// Whose lines.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filter {
    tenant: Option<String>,
    flow: Option<String>,
    session: Option<String>,
    /// A Call-ID.
    call: Option<String>,
}

pub(super) fn routes() -> Routes {
    Router::new().route("/v1/log", get(follow))
}

async fn follow(State(node): State<Arc<Node>>, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let place = Arc::clone(&node.streams).try_acquire_owned();
    let place =
        place.map_err(|_| Problem::limit("limits.admin.streams_max").hit("limits.admin.streams_max"))?;
    let mut lines = node.log.0.subscribe();
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    tokio::spawn(async move {
        let _place = place;
        loop {
            let next = tokio::select! {
                next = lines.recv() => next,
                () = sender.closed() => return,
            };
            let element = match next {
                Ok(line) if filter.takes(&line) => Tailed::Line(line.to_string()),
                Ok(_) => continue,
                Err(RecvError::Lagged(lost)) => Tailed::Lost(lost),
                Err(RecvError::Closed) => return,
            };
            let Ok(mut text) = serde_json::to_vec(&element) else {
                continue;
            };
            text.push(b'\n');
            if sender.send(text.into()).await.is_err() {
                return;
            }
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::new(Stream(receiver))).into_response())
}

/// A body that is what comes through a channel.
struct Stream(mpsc::Receiver<Bytes>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Filter {
    fn takes(&self, line: &str) -> bool {
        let wanted = [
            ("tenant", &self.tenant),
            ("flow", &self.flow),
            ("session", &self.session),
            ("call", &self.call),
        ];
        let mut wanted = wanted
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
            .peekable();
        if wanted.peek().is_none() {
            return true;
        }
        let fields = fields(line);
        wanted.all(|(key, value)| fields.iter().any(|(own, is)| own == key && is == value))
    }
}

/// The fields of the host's own span that a line was written in, in either format of the log.
fn fields(line: &str) -> Vec<(String, String)> {
    if line.starts_with('{') {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            return Vec::new();
        };
        let Some(Value::Object(span)) = line.get("span") else {
            return Vec::new();
        };
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        return span.iter().filter_map(text).collect();
    }
    // `TIME LEVEL call{call="…" session="…" tenant="…" …}: target: message`
    let mut words = line.split_ascii_whitespace();
    let span = words
        .nth(2)
        .filter(|word| word.starts_with("call{") || word.starts_with("job{"));
    let Some((_, mut rest)) = span.and_then(|_| line.split_once('{')) else {
        return Vec::new();
    };
    let mut fields = Vec::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, after)) = unquote(after) else {
            break;
        };
        fields.push((key.trim_start().to_owned(), value));
        rest = after;
        if rest.starts_with('}') {
            break;
        }
    }
    fields
}

/// The text up to the quote that ends it, as Rust writes strings, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            // A Call-ID holds neither line ends nor anything else that is written in a longer form.
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str) -> Filter {
        Filter {
            tenant: Some(tenant.to_owned()),
            ..Filter::default()
        }
    }

    #[test]
    fn a_line_is_the_tenants_whose_span_it_stands_in() {
        let text = r#"2026-11-23T18:37:21.5Z  INFO call{call="a\"b@h" session="1-2" tenant="acme" flow="ivr" version="d3"}: flow: tenant="other" x"#;
        let json = r#"{"timestamp":"t","level":"INFO","message":"tenant=\"other\"","target":"flow","tenant":"other","span":{"call":"a\"b@h","session":"1-2","tenant":"acme","name":"call"}}"#;
        for line in [text, json] {
            assert!(of("acme").takes(line), "{line}");
            assert!(!of("other").takes(line), "{line}");
            assert!(Filter::default().takes(line));
            let call = Filter {
                call: Some("a\"b@h".to_owned()),
                session: Some("1-2".to_owned()),
                ..of("acme")
            };
            assert!(call.takes(line), "{line}");
        }
        for line in [
            "",
            "{",
            "x",
            r#"T INFO flow: call{tenant="acme"}: y"#,
            r#"T INFO call{tenant="ac"#,
        ] {
            assert!(!of("acme").takes(line), "{line}");
        }
    }
}
