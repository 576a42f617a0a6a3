//! `[tls]`: what this host shows peers under TLS, and whom it believes.
//!
//! Knows nothing of sockets and of SIP. The files are read when the configuration is, and what TLS would refuse later is a
//! mistake of the file now: a key that is not the certificate's, a file without a certificate. Entry type: [`Tls`].
//! Invariants: a peer that we connect to is never believed without a certificate for the name that it was called by; the
//! private key is never formatted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, crypto};
use sha2::{Digest as _, Sha256};

use super::reader::{Located, Section, Source};

/// `[tls]`
#[derive(Clone)]
pub struct Tls {
    /// For peers that connect to us.
    pub server: Arc<ServerConfig>,
    /// For peers that we connect to.
    pub client: Arc<ClientConfig>,
    /// Of all that was read: equal configurations have equal ones.
    digest: [u8; 32],
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// A file of certificates, read.
struct Certificates {
    found: Located<String>,
    path: PathBuf,
    ders: Vec<CertificateDer<'static>>,
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Option<Tls> {
    let mut section = section?;
    let chain = section.required_string(
        "certificate",
        "write certificate = \"PATH\", a PEM file, own certificate first",
    );
    let key = section.required_string("key", "write key = \"PATH\", a PEM file");
    let authorities = section.string("authorities");
    let of_clients = section.string("client_authorities");
    let (at, path) = (section.at(), section.path().to_owned());
    section.finish();

    let chain = chain.and_then(|found| certificates(source, found));
    let key = key.and_then(|found| private_key(source, found));
    let roots = match authorities {
        Some(found) => certificates(source, found).and_then(|file| store(source, file)),
        None => system_store().or_else(|| {
            let text = "this machine has no certificates of authorities to judge peers by; install its ca-certificates, or \
                        write authorities = \"PATH\"";
            source.note(at, path, text.to_owned());
            None
        }),
    };
    let of_clients = match of_clients {
        Some(found) => Some(certificates(source, found).and_then(|file| store(source, file))?),
        None => None,
    };
    build(source, chain?, &key?, roots?, of_clients)
}

fn build(
    source: &Source<'_>,
    chain: Certificates,
    (key_at, key): &(Located<String>, PrivateKeyDer<'static>),
    roots: RootCertStore,
    of_clients: Option<RootCertStore>,
) -> Option<Tls> {
    let digest = digest(&chain, key, &roots, of_clients.as_ref());
    let provider = Arc::new(crypto::ring::default_provider());
    let made = server(&provider, &chain, key, of_clients)
        .and_then(|server| Ok((server, client(&provider, &chain, key, roots)?)));
    match made {
        Ok((server, client)) => Some(Tls {
            server: Arc::new(server),
            client: Arc::new(client),
            digest,
        }),
        Err(error) => {
            let wrong = format!(
                "and the certificate in {} do not serve: {error}",
                chain.path.display()
            );
            source.problem(key_at, &wrong, "name the key that this certificate was made for");
            None
        }
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    chain: &Certificates,
    key: &PrivateKeyDer<'static>,
    of_clients: Option<RootCertStore>,
) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let builder = match of_clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| rustls::Error::General(error.to_string()))?,
            )
        }
    };
    builder.with_single_cert(chain.ders.clone(), key.clone_key())
}

fn client(
    provider: &Arc<CryptoProvider>,
    chain: &Certificates,
    key: &PrivateKeyDer<'static>,
    roots: RootCertStore,
) -> Result<ClientConfig, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        // A peer that asks who we are gets the same certificate (RFC 5922 §7.5: a proxy is client and server).
        .with_client_auth_cert(chain.ders.clone(), key.clone_key())
}

fn digest(
    chain: &Certificates,
    key: &PrivateKeyDer<'static>,
    roots: &RootCertStore,
    of_clients: Option<&RootCertStore>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for der in &chain.ders {
        part(der);
    }
    part(key.secret_der());
    for roots in [Some(roots), of_clients] {
        part(&[u8::from(roots.is_some())]);
        for root in roots.map(|roots| &roots.roots[..]).unwrap_or_default() {
            part(&root.subject);
            part(&root.subject_public_key_info);
        }
    }
    hash.finalize().into()
}

/// The certificates of a PEM file; what is wrong is noted.
fn certificates(source: &Source<'_>, found: Located<String>) -> Option<Certificates> {
    let path = source.path(&found.value);
    let read = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(ders) if !ders.is_empty() => Some(Certificates { found, path, ders }),
        Ok(_) => {
            source.problem(
                &found,
                "has no certificate in it",
                "name a PEM file with one (-----BEGIN CERTIFICATE-----)",
            );
            None
        }
        Err(error) => {
            let wrong = format!("cannot be read: {error}");
            source.problem(&found, &wrong, "name a PEM file that this user may read");
            None
        }
    }
}

fn private_key(
    source: &Source<'_>,
    found: Located<String>,
) -> Option<(Located<String>, PrivateKeyDer<'static>)> {
    match PrivateKeyDer::from_pem_file(source.path(&found.value)) {
        Ok(key) => Some((found, key)),
        Err(error) => {
            let wrong = format!("cannot be read: {error}");
            source.problem(
                &found,
                &wrong,
                "name a PEM file with a key without a pass phrase that this user may read",
            );
            None
        }
    }
}

/// Every certificate of a file as an authority.
fn store(source: &Source<'_>, file: Certificates) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for der in file.ders {
        if let Err(error) = roots.add(der) {
            let wrong = format!("has a certificate that cannot be an authority's: {error}");
            source.problem(&file.found, &wrong, "take it out");
            return None;
        }
    }
    Some(roots)
}

/// The authorities that the system believes; none where it has no list.
fn system_store() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Systems have old certificates in their lists that nobody can use; the others are good.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (added > 0).then_some(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::config::{Config, ConfigError};

    /// A folder with `own.pem` and `own.key`, another key, and a file that is no PEM.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["sip.example.com".to_owned()]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("own.pem", &made.cert.pem());
        write("own.key", &made.signing_key.serialize_pem());
        write("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        write("text", "nothing of the kind\n");
        folder
    }

    fn parse(folder: &tempfile::TempDir, lines: &str) -> Result<Config, ConfigError> {
        let text = format!("listen = [\"udp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n{lines}\n");
        Config::parse(&folder.path().join("callbox.toml"), &text)
    }

    const OWN: &str = "[tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"\nauthorities = \"own.pem\"";

    #[test]
    fn certificate_and_key_are_read_with_the_configuration_and_compared_by_what_is_in_them() {
        let folder = folder();
        let tls = |folder| parse(folder, OWN).unwrap().tls.unwrap();
        let first = tls(&folder);
        assert_eq!(first, tls(&folder));
        assert_eq!(format!("{first:?}"), "Tls(…)");
        let made = rcgen::generate_simple_self_signed(["sip.example.com".to_owned()]).unwrap();
        std::fs::write(folder.path().join("own.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("own.key"), made.signing_key.serialize_pem()).unwrap();
        assert_ne!(first, tls(&folder), "it was renewed");
        let asks = parse(&folder, &format!("{OWN}\nclient_authorities = \"own.pem\"")).unwrap();
        assert_ne!(asks.tls.unwrap(), tls(&folder), "clients are asked who they are");
    }

    #[test]
    fn what_tls_would_refuse_is_a_mistake_of_the_file() {
        let folder = folder();
        for (lines, expected) in [
            (
                "",
                ":1: listen[1]: \"tls:127.0.0.1:0\" has no certificate; write [tls]",
            ),
            (
                "[tls]",
                ":2: tls.certificate: is missing; write certificate = \"PATH\"",
            ),
            (
                "[tls]\ncertificate = \"none\"\nkey = \"own.key\"",
                ":3: tls.certificate: \"none\" cannot be read",
            ),
            (
                "[tls]\ncertificate = \"text\"\nkey = \"own.key\"",
                "\"text\" has no certificate in it",
            ),
            (
                "[tls]\ncertificate = \"own.pem\"\nkey = \"text\"",
                ":4: tls.key: \"text\" cannot be read",
            ),
            (
                "[tls]\ncertificate = \"own.pem\"\nkey = \"other.key\"\nauthorities = \"own.pem\"",
                ":4: tls.key: \"other.key\" and the certificate in",
            ),
            (
                &format!("{OWN}\nclient_authorities = \"text\""),
                "tls.client_authorities: \"text\" has no certificate in it",
            ),
            (
                &format!("{OWN}\ncertificates = \"x\""),
                "tls.certificates: is not a key",
            ),
        ] {
            let error = parse(&folder, lines).unwrap_err().to_string();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }
}
