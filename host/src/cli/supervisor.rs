//! What the supervisor that started the host is told: that it serves, and that it ends (`sd_notify(3)`, systemd's protocol).
//!
//! One datagram of text a word to the socket that `NOTIFY_SOCKET` names: a path, or `@` and an abstract name. Knows nothing of
//! the host. Entry type: [`Supervisor`]. Invariant: without a supervisor, or with one that does not read, nothing is different.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whoever wants to know.
#[derive(Debug, Default)]
pub(super) struct Supervisor(Option<(UnixDatagram, SocketAddr)>);

impl Supervisor {
    /// The one that the environment names, or nobody.
    pub(super) fn of_this_process() -> Self {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        Self::at(socket.as_bytes()).unwrap_or_else(|error| {
            tracing::warn!("NOTIFY_SOCKET cannot be used, nobody is told that callbox serves: {error}");
            Self::default()
        })
    }

    fn at(name: &[u8]) -> io::Result<Self> {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        // Nothing here may wait for a supervisor.
        socket.set_nonblocking(true)?;
        Ok(Self(Some((socket, address))))
    }

    /// Calls are taken.
    pub(super) fn serves(&self) {
        self.say("READY=1\nSTATUS=serving");
    }

    /// No more calls are taken, and the process ends when those that are up have.
    pub(super) fn ends(&self) {
        self.say("STOPPING=1\nSTATUS=draining");
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(words.as_bytes(), address)
        {
            tracing::warn!("the supervisor (NOTIFY_SOCKET) was not told {words:?}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..length).unwrap()).into_owned()
    }

    #[test]
    fn a_supervisor_is_told_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("callbox-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in [
            (by_path, path.as_os_str().as_bytes().to_vec()),
            (by_name, format!("@{name}").into_bytes()),
        ] {
            let supervisor = Supervisor::at(&name).unwrap();
            supervisor.serves();
            supervisor.ends();
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
            assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=draining");
        }
    }

    #[test]
    fn nobody_and_one_who_is_gone_change_nothing() {
        Supervisor::default().serves();
        Supervisor::at(b"/nowhere/at/all").unwrap().serves();
        assert!(Supervisor::at(&[b'x'; 200]).is_err());
    }
}
