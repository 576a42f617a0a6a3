//! What the supervisor that started the host is told: that it serves, reloads, lives and ends (`sd_notify(3)`, systemd's protocol).
//!
//! One datagram of text a word to the socket that `NOTIFY_SOCKET` names: a path, or `@` and an abstract name. Knows nothing of
//! the host. Entry type: [`Supervisor`]. Invariant: without a supervisor, or with one that does not read, nothing is different.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::tenant::ReloadWatch;

/// Whoever wants to know.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// A reload that ends while the host does must not be heard as a host that serves again.
    ending: AtomicBool,
}

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

    pub(super) fn at(name: &[u8]) -> io::Result<Self> {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        // Nothing here may wait for a supervisor.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some((socket, address)),
            ending: AtomicBool::new(false),
        })
    }

    /// Calls are taken.
    pub(super) fn serves(&self) {
        self.say("READY=1\nSTATUS=serving");
    }

    /// No more calls are taken, and the process ends when those that are up have.
    pub(super) fn ends(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.say("STOPPING=1\nSTATUS=draining");
    }

    /// The watchdog need not act.
    pub(super) fn lives(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(words.as_bytes(), address)
        {
            tracing::warn!("the supervisor (NOTIFY_SOCKET) was not told {words:?}: {error}");
        }
    }
}

impl ReloadWatch for Supervisor {
    fn reloading(&self) {
        if self.ending.load(Ordering::Relaxed) {
            return;
        }
        // systemd tells by the time which READY belongs to which reload; its clock is CLOCK_MONOTONIC.
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reading the configuration"
        ));
    }

    fn reloaded(&self) {
        if !self.ending.load(Ordering::Relaxed) {
            self.serves();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 128];
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
            supervisor.reloading();
            supervisor.reloaded();
            supervisor.ends();
            supervisor.reloaded();
            supervisor.lives();
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
            let reloading = heard(&socket);
            let usec = reloading
                .lines()
                .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
            assert!(usec.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
            assert!(reloading.starts_with("RELOADING=1\n"), "{reloading}");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
            assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=draining");
            assert_eq!(heard(&socket), "WATCHDOG=1", "and no READY before it");
        }
    }

    #[test]
    fn nobody_and_one_who_is_gone_change_nothing() {
        Supervisor::default().serves();
        Supervisor::at(b"/nowhere/at/all").unwrap().serves();
        assert!(Supervisor::at(&[b'x'; 200]).is_err());
    }
}
