//! The other end of the admin API: what the subcommands of `callbox` speak with a running host through.
//!
//! One connection a request. Entry type: [`Client`]. Invariant: every answer is bounded in size, and every wait in time but
//! that for the next line of a stream.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use super::door;
use super::problem::Problem;

/// The largest answer that is read: the sessions of a full host.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for what is uploaded, compiled and tried before it is answered.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(300);

/// Speaks with one host.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
}

#[derive(Clone)]
enum Target {
    Socket(PathBuf),
    Tcp { authority: String, token: String },
}

/// No answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no callbox answers at {target}: {error}. Is it running, and with this configuration?")]
    Unreachable {
        /// Where.
        target: String,
        /// What the system said.
        error: io::Error,
    },
    /// The address of the host is none.
    #[error("{0:?} is no address of an admin API; write http://ADDRESS:PORT")]
    Address(String),
    /// The host says no.
    #[error(transparent)]
    Problem(Problem),
    /// What answers speaks something else.
    #[error("what answers at {target} is not the admin API of this callbox: {what}")]
    Strange {
        /// Where.
        target: String,
        /// What it did.
        what: String,
    },
    /// No answer in time.
    #[error("no answer from {target} within {seconds} s")]
    TooSlow {
        /// Where.
        target: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// A stream of JSON values, one a line.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    target: String,
}

impl Client {
    /// The host with this socket.
    #[must_use]
    pub fn socket(path: PathBuf) -> Self {
        Self {
            target: Target::Socket(path),
        }
    }

    /// The host at `http://ADDRESS:PORT`, whose token this is.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn url(url: &str, token: String) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(url.to_owned());
        let authority = url
            .strip_prefix("http://")
            .ok_or_else(wrong)?
            .trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() || !authority.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self {
            target: Target::Tcp {
                authority: authority.to_owned(),
                token,
            },
        })
    }

    /// What stands there. `path` as [`path`] makes it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::GET, path, None, PATIENCE).await
    }

    /// Has something done, with a JSON value.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error.to_string()))?;
        let body = Some(("application/json", Bytes::from(body)));
        self.exchange(Method::POST, path, body, PATIENCE).await
    }

    /// Tells the host to do something that takes as long as compiling flows does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let patience = Duration::from_secs(600);
        self.exchange(Method::POST, path, None, patience).await
    }

    /// Takes something away.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::DELETE, path, None, PATIENCE).await
    }

    /// Hands over a file, and waits for what becomes of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, file: Vec<u8>) -> Result<T, ClientError> {
        let body = Some(("application/octet-stream", Bytes::from(file)));
        self.exchange(Method::POST, path, body, UPLOAD_PATIENCE).await
    }

    /// Text that is not JSON, as it stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.answer(Method::GET, path, None, PATIENCE).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// A stream of JSON values, one a line, for as long as the host goes on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let response = self.in_time(self.send(Method::GET, path, None), PATIENCE).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = self.in_time(self.body(response), PATIENCE).await?;
            return Err(self.problem(status, &body));
        }
        Ok(Lines {
            body: response.into_body(),
            buffer: Vec::new(),
            target: self.to_string(),
        })
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let answer = self.answer(method, path, body, patience).await?;
        // An answer without a body is null.
        let answer = if answer.is_empty() {
            Bytes::from_static(b"null")
        } else {
            answer
        };
        serde_json::from_slice(&answer).map_err(|error| self.strange(error.to_string()))
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
        patience: Duration,
    ) -> Result<Bytes, ClientError> {
        let whole = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = self.body(response).await?;
            match status.is_success() {
                true => Ok(body),
                false => Err(self.problem(status, &body)),
            }
        };
        self.in_time(whole, patience).await
    }

    async fn in_time<T>(
        &self,
        what: impl Future<Output = Result<T, ClientError>>,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let too_slow = || ClientError::TooSlow {
            target: self.to_string(),
            seconds: patience.as_secs(),
        };
        tokio::time::timeout(patience, what)
            .await
            .map_err(|_| too_slow())?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<hyper::Response<Incoming>, ClientError> {
        let unreachable = |error| ClientError::Unreachable {
            target: self.to_string(),
            error,
        };
        let strange = |error: &dyn std::error::Error| self.strange(error.to_string());
        let mut request = Request::builder().method(method).uri(path);
        let (kind, body) = body.unzip();
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let mut sender = match &self.target {
            Target::Socket(path) => {
                request = request.header(header::HOST, "callbox");
                let (short, _folder) = door::reachable(path).map_err(unreachable)?;
                handshake(UnixStream::connect(short).await.map_err(unreachable)?).await
            }
            Target::Tcp { authority, token } => {
                request = request
                    .header(header::HOST, authority)
                    .header(header::AUTHORIZATION, format!("Bearer {token}"));
                handshake(TcpStream::connect(authority).await.map_err(unreachable)?).await
            }
        }
        .map_err(|error| strange(&error))?;
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| strange(&error))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| strange(&error))
    }

    async fn body(&self, response: hyper::Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(self.strange(error.to_string())),
        }
    }

    fn problem(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice(body) {
            Ok(problem) => ClientError::Problem(problem),
            Err(_) => self.strange(format!("it answered {status}")),
        }
    }

    fn strange(&self, what: String) -> ClientError {
        ClientError::Strange {
            target: self.to_string(),
            what,
        }
    }
}

impl Lines {
    /// The next value; none when the host has ended the stream.
    ///
    /// # Errors
    /// [`ClientError::Strange`]: the connection broke, or what came is no such value.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return match serde_json::from_slice(&line) {
                    Ok(value) => Ok(Some(value)),
                    Err(error) => Err(self.strange(error.to_string())),
                };
            }
            if self.buffer.len() > ANSWER_MAX_BYTES {
                return Err(self.strange("a line without an end".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(self.strange(error.to_string())),
            }
        }
    }

    fn strange(&self, what: String) -> ClientError {
        ClientError::Strange {
            target: self.target.clone(),
            what,
        }
    }
}

/// Speaks HTTP on a stream; what drives the connection is a task of its own, which ends with it.
async fn handshake<S>(stream: S) -> hyper::Result<http1::SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Whoever waits for the answer hears of it.
        let _ = connection.await;
    });
    Ok(sender)
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Target::Socket(path) => write!(f, "{}", path.display()),
            Target::Tcp { authority, .. } => write!(f, "http://{authority}"),
        }
    }
}

impl std::fmt::Debug for Target {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => f.debug_tuple("Socket").field(path).finish(),
            Self::Tcp { authority, .. } => f
                .debug_struct("Tcp")
                .field("authority", authority)
                .finish_non_exhaustive(),
        }
    }
}

/// A path of the API from its parts, and the parameters that are given: escaped, so that a name with a slash stays one.
#[must_use]
pub fn path(parts: &[&str], parameters: &[(&str, Option<&str>)]) -> String {
    let mut path = String::new();
    for part in parts {
        path.push('/');
        push_escaped(&mut path, part);
    }
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    for (position, (name, value)) in given.enumerate() {
        path.push(if position == 0 { '?' } else { '&' });
        push_escaped(&mut path, name);
        path.push('=');
        push_escaped(&mut path, value);
    }
    path
}

fn push_escaped(path: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => path.push(byte.into()),
            // Writing to a string does not fail.
            byte => drop(write!(path, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_is_what_its_parts_are_whatever_is_in_them() {
        assert_eq!(path(&["v1", "status"], &[]), "/v1/status");
        assert_eq!(
            path(
                &["v1", "sessions", "a/b?c"],
                &[("tenant", None), ("call", Some("x@y&z"))]
            ),
            "/v1/sessions/a%2Fb%3Fc?call=x%40y%26z"
        );
    }

    #[test]
    fn an_address_is_checked_and_a_token_never_shown() {
        for wrong in [
            "127.0.0.1:1",
            "https://a:1",
            "http://",
            "http://:1",
            "http://a",
            "http://a:b",
            "http://a:1/x y",
        ] {
            assert!(Client::url(wrong, String::new()).is_err(), "{wrong}");
        }
        let client = Client::url("http://[::1]:8080/", "secret".to_owned()).unwrap();
        assert_eq!(client.to_string(), "http://[::1]:8080");
        assert!(!format!("{client:?}").contains("secret"));
    }
}
