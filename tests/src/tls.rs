//! Certificates for the length of a test, and a look at those of a server.
//!
//! Entry type: [`Authority`].

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// Longer than a handshake takes on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Somebody who signs certificates, with a folder for them.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate in files.
#[derive(Debug)]
pub struct Signed {
    /// PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Both in one file.
    pub both: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Nobody knows it yet.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("authority.pem"), own.pem()).expect("a file");
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Signs for a name or an address, into files that are called `file`; what stood there is replaced.
    pub fn sign(&self, file: &str, name: &str) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |end: &str, text: &str| {
            let path = self.folder.path().join(format!("{file}.{end}"));
            fs::write(&path, text).expect("a file");
            path
        };
        let (certificate, key) = (own.pem(), key.serialize_pem());
        Signed {
            certificate: write("pem", &certificate),
            key: write("key", &key),
            both: write("both.pem", &format!("{key}{certificate}")),
        }
    }

    /// The keys of `[tls]` for a server with this certificate that believes this authority.
    pub fn table(&self, own: &Signed) -> String {
        format!(
            "[tls]\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\n",
            own.certificate,
            own.key,
            self.file()
        )
    }

    /// Asks a server by TLS for its OPTIONS, and returns the certificate that it shows and what it answers.
    ///
    /// # Errors
    /// What TLS has to say: this authority has not signed for that address.
    pub fn ask(&self, server: SocketAddr) -> Result<(Vec<u8>, String), String> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.file()).expect("a certificate"))
            .expect("an authority");
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(server.ip().into());
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let socket = TcpStream::connect(server).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        let mut stream = StreamOwned::new(session, socket);
        let asked = format!(
            "OPTIONS sip:x@{server};transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKtls\r\n\
             From: <sip:x@x.invalid>;tag=1\r\nTo: <sip:x@{server}>\r\nCall-ID: tls\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        stream
            .write_all(asked.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.map(|der| der.to_vec()).unwrap_or_default();
        Ok((shown, String::from_utf8_lossy(&buffer[..length]).into_owned()))
    }
}

/// The certificate of a file, as a server shows it.
pub fn shown(file: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(file)
        .expect("a certificate")
        .to_vec()
}
