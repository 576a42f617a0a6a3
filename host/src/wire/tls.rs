//! TLS on one connection: bytes of SIP on one side, records on the other.
//!
//! Knows no queue and no message; whose turn it is to read or write is for [`super::connection`] to say, which calls this
//! under its lock. Entry type: [`Session`]. Invariants: nothing is written that the peer has not proved itself for, because
//! [`Session::write`] takes nothing before the handshake is over; nothing here waits.

use std::io::{self, ErrorKind, Read as _, Write as _};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use tokio::net::TcpStream;

use crate::config::Tls;

/// Read at once; a record has at most 16 KiB.
const READ_BYTES: usize = 16 * 1024;

/// The state of TLS on a connection.
pub(super) struct Session(Box<Connection>);

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing was there.
    Nothing,
    /// Records came, with or without bytes of SIP in them.
    Some,
    /// The peer has ended the connection, maybe after some.
    End,
}

impl Session {
    /// For a peer that has connected to us.
    pub(super) fn accept(tls: &Tls) -> Result<Self, rustls::Error> {
        let session = ServerConnection::new(tls.server.clone())?;
        Ok(Self(Box::new(session.into())))
    }

    /// For a peer that we have connected to, and that has to prove this name or address.
    pub(super) fn connect(tls: &Tls, name: &str) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| {
            rustls::Error::General(format!("{name} can stand in no certificate: {error}"))
        })?;
        let session = ClientConnection::new(tls.client.clone(), name)?;
        Ok(Self(Box::new(session.into())))
    }

    /// Whether the peer is not known yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether there are records to write.
    pub(super) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Writes the records that there are, as far as the socket takes them; the error is `WouldBlock` when it does not take
    /// all.
    pub(super) fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut Socket(stream))?;
        }
        Ok(())
    }

    /// Takes bytes of SIP, as many as there is room for; none before the handshake is over.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.is_handshaking() {
            true => Ok(0),
            false => self.0.writer().write(bytes),
        }
    }

    /// Reads what the socket has and gives the bytes of SIP in it to `take`.
    pub(super) fn read(&mut self, stream: &TcpStream, mut take: impl FnMut(&[u8])) -> io::Result<Progress> {
        match self.0.read_tls(&mut Socket(stream)) {
            Ok(0) => return Ok(Progress::End),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Progress::Nothing);
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = self.0.process_new_packets() {
            // The peer hears why, where the socket takes it.
            let _ = self.flush(stream);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.0.reader().read(&mut buffer) {
                Ok(0) => return Ok(Progress::End),
                Ok(length) => take(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Some),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye, where the socket takes it: without it a peer cannot tell an end from a cut (RFC 8446 §6.1).
    pub(super) fn close(&mut self, stream: &TcpStream) {
        self.0.send_close_notify();
        let _ = self.flush(stream);
    }
}

/// The socket for [`Connection`], which never waits.
struct Socket<'a>(&'a TcpStream);

impl io::Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
