//! Where the admin API is reached: a Unix socket that only its owner may use, and a TCP address with a token.
//!
//! Entry points: [`Ports::bind`], [`open`] and [`Door::serve`]. Invariants: the socket is never reachable by others, not even for a moment; a
//! socket that somebody listens at is never taken away; there are never more connections than
//! `limits.admin.connections_max`, and each must send its requests within `limits.admin.request_ms` and take something of an
//! answer within `limits.admin.write_ms`.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::auth::{self, Token};
use super::metrics::Plain;
use super::node::Node;
use super::patience::Patient;
use crate::config::limits::AdminLimits;
use crate::config::{Admin, AdminTcp, Metrics};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 64;
/// The longest path that a Unix socket's address holds, without the zero at its end.
const ADDRESS_MAX: usize = 107;
/// Bytes of the head of a request; hyper's least.
const HEAD_MAX_BYTES: usize = 16_384;

/// The admin API cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Another process listens there.
    #[error("somebody listens at {path} already: end that one, or name another with [admin] socket", path = path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("{path} is in the way and is no socket: move it, or name another with [admin] socket", path = path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The system refused the socket.
    #[error("cannot open the socket {path} of the admin API: {error}; name another with [admin] socket", path = path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused the port.
    #[error("cannot listen on {address} for the admin API: {error}; write another [admin] listen")]
    Port {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused the port of the metrics.
    #[error("cannot listen on {address} for metrics: {error}; write another [metrics] listen")]
    MetricsPort {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// TCP ports, which may be such that only root can bind them. Nobody is answered yet.
pub struct Ports {
    tcp: Option<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
}

impl Ports {
    /// Binds those that the configuration names.
    ///
    /// # Errors
    /// [`DoorError`]; nothing is left bound.
    pub fn bind(admin: &Admin, metrics: &Metrics) -> Result<Self, DoorError> {
        let tcp = admin.tcp.as_ref().map(|tcp| {
            let address = tcp.listen;
            bind(address).map_err(|error| DoorError::Port { address, error })
        });
        let metrics = metrics
            .listen
            .map(|address| bind(address).map_err(|error| DoorError::MetricsPort { address, error }));
        Ok(Self {
            tcp: tcp.transpose()?,
            metrics: metrics.transpose()?,
        })
    }
}

/// How long a connection may take over what is its part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Over the head of a request.
    request: Duration,
    /// Over reading anything of an answer.
    write: Duration,
}

impl Patience {
    pub(super) fn of(limits: &AdminLimits) -> Self {
        Self {
            request: Duration::from_millis(limits.request_ms),
            write: Duration::from_millis(limits.write_ms),
        }
    }
}

/// What is open, and not served yet.
pub struct Door {
    unix: UnixListener,
    path: PathBuf,
    tcp: Option<(TcpListener, Token)>,
    metrics: Option<Plain>,
}

/// While it lives the API is served. Dropping it takes the socket's file away; requests that are being done end with the
/// runtime.
pub struct Open {
    path: PathBuf,
}

/// Opens the socket, and takes the ports if there are any. To be called within the runtime that serves.
///
/// # Errors
/// [`DoorError`]; nothing is left open.
pub fn open(config: &Admin, metrics: &Metrics, ports: Ports) -> Result<Door, DoorError> {
    let path = config.socket.clone();
    let unix = open_socket(&path)?;
    let tcp = config.tcp.as_ref().zip(ports.tcp);
    let tcp = tcp.map(|(tcp, bound)| open_port(tcp, bound)).transpose()?;
    let metrics = metrics.listen.zip(ports.metrics);
    let metrics = metrics
        .map(|(address, bound)| Plain::open(address, bound))
        .transpose()?;
    Ok(Door {
        unix,
        path,
        tcp,
        metrics,
    })
}

impl Door {
    /// The socket's file.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// Where it listens for TCP, with the port that the system chose if none was asked for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let (listener, _) = self.tcp.as_ref()?;
        listener.local_addr().ok()
    }

    /// Where the metrics are read without a token.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.address()
    }

    /// Serves from now on, in tasks of the runtime that this is called within.
    #[must_use = "dropping it closes the door"]
    pub fn serve(self, node: &Arc<Node>) -> Open {
        let limits = node.limits();
        let room = Arc::new(Semaphore::new(limits.connections_max));
        let patience = Patience::of(limits);
        let api = super::api(Arc::clone(node));
        if let Some(metrics) = self.metrics {
            metrics.serve(node);
        }
        if let Some((listener, token)) = self.tcp {
            let api = api
                .clone()
                .layer(middleware::from_fn_with_state(token, auth::check));
            let room = Arc::clone(&room);
            tokio::spawn(attend(listener, api, room, patience));
        }
        tokio::spawn(attend(self.unix, api, room, patience));
        Open { path: self.path }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // One that is left behind is taken away at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes connections for ever.
pub(super) async fn attend(
    mut listener: impl Listener,
    api: Router,
    room: Arc<Semaphore>,
    patience: Patience,
) {
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        // Waits and tries again where the system has no descriptor for a connection.
        let (stream, _) = listener.accept().await;
        let service = TowerToHyperService::new(api.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience.request)
                .max_buf_size(HEAD_MAX_BYTES)
                .serve_connection(TokioIo::new(Patient::new(stream, patience.write)), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection of the admin API ended badly");
            }
            drop(place);
        });
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open_port(tcp: &AdminTcp, bound: std::net::TcpListener) -> Result<(TcpListener, Token), DoorError> {
    let address = tcp.listen;
    let listener = TcpListener::from_std(bound).map_err(|error| DoorError::Port { address, error })?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the admin API is reached from other machines, and its token is not encrypted on the way");
    }
    Ok((listener, Token::new(&tcp.token)))
}

fn open_socket(path: &Path) -> Result<UnixListener, DoorError> {
    let failed = |error| DoorError::Socket {
        path: path.to_owned(),
        error,
    };
    remove_stale(path)?;
    let (short, _folder) = reachable(path).map_err(failed)?;
    let bound = || -> io::Result<UnixListener> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The file gets the mode that the socket has when it is bound, so that it is never open to others.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        socket.bind(&SockAddr::unix(&short)?)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))
    };
    bound().map_err(failed)
}

/// Takes away what a host left behind that was killed.
fn remove_stale(path: &Path) -> Result<(), DoorError> {
    let failed = |error| DoorError::Socket {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(DoorError::InTheWay {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let (short, _folder) = reachable(path).map_err(failed)?;
    match UnixStream::connect(short) {
        Ok(_) => Err(DoorError::Taken {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A path for a socket's address, which holds only short ones: a long one is named by its folder, which must stay open
/// meanwhile.
pub(super) fn reachable(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= ADDRESS_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    Ok((short, Some(folder)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_only_a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = open_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(open_socket(&path), Err(DoorError::Taken { .. })));
        drop(listener);
        assert!(path.exists(), "as a host leaves it that is killed");
        open_socket(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "records").unwrap();
        assert!(matches!(open_socket(&path), Err(DoorError::InTheWay { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"records");
    }

    #[tokio::test]
    async fn a_path_too_long_for_an_address_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(150));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("admin.sock");
        let listener = open_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (short, _folder) = reachable(&path).unwrap();
        UnixStream::connect(short).unwrap();
        drop(listener);
    }
}
