//! The admin API of a running server, as any program would use it: HTTP/1.1 over its Unix socket or a TCP port.
//!
//! One connection a request, closed by the server. Entry type: [`Admin`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is.
#[derive(Debug, Clone)]
pub enum Admin {
    /// The server's socket.
    Socket(PathBuf),
    /// Its port.
    Tcp(SocketAddr),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status line and the headers.
    pub head: String,
    /// What follows them.
    pub body: String,
}

impl Admin {
    /// The socket of the server whose folder this is.
    pub fn of(folder: &Path) -> Self {
        Self::Socket(folder.join(".callbox/admin.sock"))
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    /// POST of a JSON text.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, "Content-Type: application/json\r\n", body)
    }

    /// Any request; each header ends with a line end.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.send(method, path, headers, body.as_bytes())
    }

    /// POST of a file.
    pub fn upload(&self, path: &str, file: &[u8]) -> Answer {
        self.send("POST", path, "Content-Type: application/wasm\r\n", file)
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: callbox\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        text.extend(body);
        let raw = match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)
                    .unwrap_or_else(|error| panic!("no admin API at {}: {error}", path.display()));
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                exchange(stream, &text)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)
                    .unwrap_or_else(|error| panic!("no admin API at {address}: {error}"));
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                exchange(stream, &text)
            }
        };
        let (head, body) = raw
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer to {method} {path}: {raw:?}"));
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Answer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Asserts that it is a problem of this kind: the last word of its type.
    pub fn assert_problem(&self, status: u16, word: &str) {
        assert_eq!(self.status(), status, "{self:#?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:#?}"
        );
        let kind = format!("\"type\":\"urn:callbox:problem:{word}\"");
        assert!(self.body.contains(&kind), "no {word} in {self:#?}");
        assert!(self.body.contains(&format!("\"status\":{status}")), "{self:#?}");
    }
}

/// Sends, and reads until the server closes. A server that closes before it has read all is no failure: it may answer a body
/// that is too large without reading it.
fn exchange(mut stream: impl Read + Write, text: &[u8]) -> String {
    let _ = stream.write_all(text);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
