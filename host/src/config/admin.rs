//! `[admin]`: where the running host is looked at and told what to do.
//!
//! Knows no HTTP. A Unix socket in the state folder is always there, and its file's mode is who may use it; a TCP address
//! is opened only with a token, which stands in a file of its own or in the environment.
//!
//! Entry types: [`Admin`], and [`admin_socket`] for programs that only want to reach a host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::credential::{Place, Secret};
use super::error::ConfigError;
use super::reader::{Section, Source};

/// The name of the socket in the state folder.
const SOCKET: &str = "admin.sock";
/// The shortest token: 16 letters of base64 are 96 bits.
const TOKEN_MIN: usize = 16;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `socket`: `admin.sock` in the state folder when nothing is said.
    pub socket: PathBuf,
    /// `listen` with `token_file` or `token_env`: none opens no port.
    pub tcp: Option<AdminTcp>,
    /// `redact`: numbers and addresses of calls are shown as tags.
    pub redact: bool,
}

/// A TCP address of the admin API, and what a client must show there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTcp {
    /// `listen`
    pub listen: SocketAddr,
    /// What `token_file` or `token_env` lead to; at least 16 characters that an HTTP header can hold.
    pub token: Secret,
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>, state_dir: &Path) -> Admin {
    let mut admin = Admin {
        socket: state_dir.join(SOCKET),
        tcp: None,
        redact: false,
    };
    let Some(mut section) = section else { return admin };
    if let Some(socket) = section.string("socket") {
        admin.socket = source.path(&socket.value);
    }
    admin.redact = section.boolean("redact").unwrap_or_default();
    let listen = section.string("listen").and_then(|text| {
        let parsed = text.value.parse::<SocketAddr>().ok();
        if parsed.is_none() {
            let fix = "write ADDRESS:PORT, as in 127.0.0.1:8080";
            source.problem(&text, "is not an address with a port", fix);
        }
        parsed
    });
    let given = [
        section.string("token_file").map(Place::File),
        section.string("token_env").map(Place::Environment),
    ];
    let (at, path) = (section.at(), section.path().to_owned());
    section.finish();
    let mut given = given.into_iter().flatten();
    let wrong = match (listen, given.next(), given.next()) {
        (_, _, Some(_)) => "names its token twice; keep one of token_file, token_env",
        (Some(_), None, None) => {
            "listens without a token, and whoever reaches it could end calls; write token_env = \"VARIABLE\" or \
             token_file = \"PATH\""
        }
        (None, Some(_), None) => {
            "has a token and no listen; the socket needs none, so take the token away or write listen = \
             \"127.0.0.1:8080\""
        }
        (Some(listen), Some(place), None) => {
            let (at, key) = place.at();
            if let Some(token) = place.secret(source) {
                let fits = |byte: u8| byte.is_ascii_graphic();
                if token.expose().len() < TOKEN_MIN || !token.expose().bytes().all(fits) {
                    let text = format!(
                        "the token is shorter than {TOKEN_MIN} characters, or has others than letters, digits and \
                         signs; make one with: openssl rand -hex 32"
                    );
                    source.note(at, key, text);
                }
                admin.tcp = Some(AdminTcp { listen, token });
            }
            return admin;
        }
        (None, None, None) => return admin,
    };
    source.note(at, path, wrong.to_owned());
    admin
}

/// The socket of the host that runs with this file. Nothing else in it is looked at: secrets need not be there, and what
/// is wrong with a tenant must not keep an operator from the host that runs.
///
/// # Errors
/// [`ConfigError`] when the file cannot be read or is no TOML.
pub fn admin_socket(file: &Path) -> Result<PathBuf, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
        file: file.to_owned(),
        error,
    })?;
    let source = Source::new(file, &text);
    let socket = source.root().map(|mut root| {
        let state_dir = root.string("state_dir").map(|path| path.value);
        let named = root.section("admin").and_then(|mut admin| admin.string("socket"));
        match named {
            Some(socket) => source.path(&socket.value),
            None => state_folder(&source, state_dir.as_deref()).join(SOCKET),
        }
    });
    match socket {
        Some(socket) if !source.has_problems() => Ok(socket),
        _ => Err(source.into_error()),
    }
}

/// `state_dir`, or where it is when nothing is said.
pub(super) fn state_folder(source: &Source<'_>, said: Option<&str>) -> PathBuf {
    source.path(said.unwrap_or(".callbox"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Admin, String> {
        let text = format!("listen = \"udp:127.0.0.1:0\"\n{lines}");
        Config::parse(Path::new("etc/callbox.toml"), &text)
            .map(|config| config.admin)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_socket_stands_in_the_state_folder_unless_told_otherwise() {
        let socket = |lines| parse(lines).unwrap().socket;
        assert_eq!(socket(""), Path::new("etc/.callbox/admin.sock"));
        assert_eq!(
            socket("state_dir = \"/var/lib/callbox\""),
            Path::new("/var/lib/callbox/admin.sock")
        );
        assert_eq!(
            socket("[admin]\nsocket = \"/run/callbox.sock\""),
            Path::new("/run/callbox.sock")
        );
    }

    #[test]
    fn a_port_is_opened_only_with_a_good_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let with = |token: &str| {
            std::fs::write(&file, token).unwrap();
            parse(&format!(
                "[admin]\nlisten = \"127.0.0.1:8080\"\ntoken_file = {file:?}"
            ))
        };
        let tcp = with("0123456789abcdef\n").unwrap().tcp.unwrap();
        assert_eq!(tcp.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(tcp.token.expose(), "0123456789abcdef");
        for token in ["short", "0123456789 abcdef", "0123456789abcdeé"] {
            assert!(with(token).unwrap_err().contains("openssl rand"), "{token}");
        }
        for (lines, part) in [
            ("listen = \"127.0.0.1:8080\"", "without a token"),
            ("listen = \"8080\"\ntoken_env = \"PATH\"", "ADDRESS:PORT"),
            ("token_env = \"PATH\"", "no listen"),
            ("token_env = \"PATH\"\ntoken_file = \"x\"", "twice"),
            ("sockt = \"x\"", "did you mean socket"),
        ] {
            let error = parse(&format!("[admin]\n{lines}")).unwrap_err();
            assert!(error.contains(part), "{lines}: {error}");
        }
    }

    #[test]
    fn a_client_finds_the_socket_whatever_else_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callbox.toml");
        std::fs::write(&file, "lisen = 5\nstate_dir = \"state\"\n[[tenant]]\nname = 7").unwrap();
        assert_eq!(
            admin_socket(&file).unwrap(),
            folder.path().join("state/admin.sock")
        );
        std::fs::write(&file, "state_dir = ").unwrap();
        assert!(admin_socket(&file).is_err());
        assert!(admin_socket(&folder.path().join("none")).is_err());
    }
}
