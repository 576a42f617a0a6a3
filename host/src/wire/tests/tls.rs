//! TLS on real sockets, with peers that speak it by rustls and know nothing of the wire.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::*;
use crate::config::{Config, Tls};

/// Somebody who signs certificates, and a folder for them.
struct Authority {
    folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate with its key, signed by an authority.
struct Signed {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), own.pem()).unwrap();
        Self {
            folder,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// For names and addresses; also in the folder, as `FILE.pem` and `FILE.key`.
    fn sign(&self, file: &str, names: &[&str]) -> Signed {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = rcgen::CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let write = |end: &str, text: String| {
            std::fs::write(self.folder.path().join(format!("{file}.{end}")), text).unwrap();
        };
        write("pem", cert.pem());
        write("key", key.serialize_pem());
        Signed {
            chain: vec![cert.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }

    /// `[tls]` with a certificate of this file that believes this authority.
    fn tls(&self, file: &str, more: &str) -> Tls {
        let text = format!(
            "listen = \"tls:127.0.0.1:0\"\n[tls]\ncertificate = \"{file}.pem\"\nkey = \"{file}.key\"\n\
             authorities = \"authority.pem\"\n{more}\n"
        );
        let config = Config::parse(&self.folder.path().join("callbox.toml"), &text).unwrap();
        config.tls.unwrap()
    }

    /// A wire that is called `callbox.test`.
    fn wire(&self, more: &str, limits: WireLimits) -> Under {
        self.sign("own", &["callbox.test"]);
        wire_with(&["tls:127.0.0.1:0"], limits, Some(self.tls("own", more)))
    }

    /// What a peer connects with that believes this authority.
    fn peer(&self, own: Option<Signed>) -> Arc<rustls::ClientConfig> {
        let roots =
            rustls::pki_types::pem::PemObject::from_pem_file(self.folder.path().join("authority.pem"));
        let mut store = rustls::RootCertStore::empty();
        store.add(roots.unwrap()).unwrap();
        let builder =
            rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(store);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(own.chain, own.key).unwrap(),
        })
    }
}

type Caller = StreamOwned<ClientConnection, TcpStream>;

fn call(config: &Arc<rustls::ClientConfig>, to: SocketAddr) -> Caller {
    let name = ServerName::try_from("callbox.test").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(session, connect(to))
}

fn answer_to(caller: &mut Caller, text: &str) -> std::io::Result<String> {
    caller.write_all(text.as_bytes())?;
    read_message(caller)
}

fn read_message(from: &mut impl std::io::Read) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if from.read(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&byte);
    }
    Ok(String::from_utf8(text).unwrap())
}

/// A peer that is called, and shows this certificate.
struct Callee {
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
}

impl Callee {
    fn new(own: Signed) -> Self {
        let builder =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(own.chain, own.key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            config: Arc::new(config),
        }
    }

    fn accept(&self) -> StreamOwned<ServerConnection, TcpStream> {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), stream)
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn by_name(&self, host: &str) -> Destination {
        Destination::Name {
            protocol: Protocol::Tls,
            host: host.into(),
            port: Some(self.port()),
            listener: None,
            filter: None,
        }
    }

    fn by_address(&self) -> Destination {
        Destination::Addr {
            protocol: Protocol::Tls,
            addr: SocketAddr::from(([127, 0, 0, 1], self.port())),
            listener: None,
            filter: None,
        }
    }
}

#[test]
fn a_call_under_tls_is_answered_along_its_connection() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let mut caller = call(&authority.peer(None), under.at(0));
    let invite = message("INVITE", "TLS x", "first", "");
    let (head, tail) = invite.split_at(40);
    caller.write_all(head.as_bytes()).unwrap();
    caller.flush().unwrap();
    let answer = answer_to(&mut caller, tail).unwrap();
    assert!(answer.starts_with("SIP/2.0 486"), "{answer}");
    assert!(
        answer.contains("Via: SIP/2.0/TLS x;branch=z9hG4bKfirst;received=127.0.0.1\r\n"),
        "{answer}"
    );
    // Several messages in one record.
    let both = [options("one"), options("two")].concat();
    assert!(
        answer_to(&mut caller, &both)
            .unwrap()
            .contains("Call-ID: one\r\n")
    );
    assert!(read_message(&mut caller).unwrap().contains("Call-ID: two\r\n"));
    let stats = under.wire.stats();
    assert_eq!((stats.tls_agreed, stats.tls_failed, stats.accepted), (1, 0, 1));
    // Who says goodbye is bidden goodbye.
    caller.conn.send_close_notify();
    caller.flush().unwrap();
    assert_eq!(caller.read(&mut [0; 1]).unwrap(), 0, "an end, not a cut");
    eventually("the end of the connection", || {
        (under.wire.connections() == 0).then_some(())
    });
    under.wire.shutdown();
}

#[test]
fn who_does_not_speak_tls_gets_no_further() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let mut plain = connect(under.at(0));
    plain.write_all(options("plain").as_bytes()).unwrap();
    assert!(closes(&mut plain));
    eventually("one that failed", || {
        (under.wire.stats().tls_failed == 1).then_some(())
    });
    assert!(under.notes.incoming.lock().unwrap().is_empty());

    let silent = authority.wire(
        "",
        WireLimits {
            tcp_first_message_ms: 100,
            ..limits()
        },
    );
    let mut stream = connect(silent.at(0));
    assert!(closes(&mut stream));
    assert_eq!(silent.wire.stats().slow_closed, 1);
    under.wire.shutdown();
    silent.wire.shutdown();
}

#[test]
fn only_so_many_handshakes_begin_in_a_second() {
    let authority = Authority::new();
    let under = authority.wire(
        "",
        WireLimits {
            tls_handshakes: 3,
            ..limits()
        },
    );
    let peer = authority.peer(None);
    let answered = (0..10)
        .filter(|n| answer_to(&mut call(&peer, under.at(0)), &options(&format!("n{n}"))).is_ok())
        .count();
    // A second may have ended meanwhile.
    assert!((3..=6).contains(&answered), "{answered}");
    assert_eq!(under.wire.stats().refused, 10 - answered as u64);
    under.wire.shutdown();
}

#[test]
fn who_is_called_has_to_prove_the_name_that_was_called() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let named = Callee::new(authority.sign("named", &["localhost"]));
    under.call(named.by_name("LocalHost"));
    assert!(
        read_message(&mut named.accept())
            .unwrap()
            .starts_with("INVITE sip:x@callee.invalid")
    );
    eventually("its end", || under.notes.ended.lock().unwrap().pop());

    let addressed = Callee::new(authority.sign("addressed", &["127.0.0.1"]));
    under.call(addressed.by_address());
    assert!(
        read_message(&mut addressed.accept())
            .unwrap()
            .starts_with("INVITE ")
    );
    eventually("its end", || under.notes.ended.lock().unwrap().pop());

    let stranger = Authority::new();
    for (what, callee, to) in [
        (
            "another name",
            Callee::new(authority.sign("other", &["other.test"])),
            "localhost",
        ),
        (
            "no address",
            Callee::new(authority.sign("again", &["localhost"])),
            "",
        ),
        (
            "nobody known",
            Callee::new(stranger.sign("self", &["localhost"])),
            "localhost",
        ),
    ] {
        under.call(if to.is_empty() {
            callee.by_address()
        } else {
            callee.by_name(to)
        });
        let mut heard = callee.accept();
        assert!(heard.read(&mut [0; 1]).is_err(), "{what}: nothing is said to it");
        let end = eventually("the end of the call", || under.notes.ended.lock().unwrap().pop());
        assert!(end.contains("Insecure"), "{what}: {end}");
    }
    assert_eq!(under.wire.stats().tls_failed, 3);

    // And who says nothing at all.
    let mute = authority.wire(
        "",
        WireLimits {
            tcp_connect_ms: 100,
            ..limits()
        },
    );
    mute.call(named.by_name("localhost"));
    let (_held, _) = named.listener.accept().unwrap();
    let end = eventually("the end of the call", || mute.notes.ended.lock().unwrap().pop());
    assert!(end.contains("Insecure"), "{end}");
    under.wire.shutdown();
    mute.wire.shutdown();
}

#[test]
fn a_connection_is_used_again_for_the_name_that_it_has_proved_and_for_no_other() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let callee = Callee::new(authority.sign("both", &["localhost", "127.0.0.1"]));
    under.call(callee.by_name("localhost"));
    let mut first = callee.accept();
    assert!(read_message(&mut first).unwrap().starts_with("INVITE "));
    under.call(callee.by_name("LOCALHOST"));
    assert!(read_message(&mut first).unwrap().starts_with("INVITE "));
    assert_eq!(under.wire.connections(), 1);
    under.call(callee.by_address());
    assert!(read_message(&mut callee.accept()).unwrap().starts_with("INVITE "));
    assert_eq!(under.wire.stats().connected, 2);
    under.wire.shutdown();
}

#[test]
fn who_has_connected_to_us_is_not_taken_for_whoever_is_called_at_its_address() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let mut caller = call(&authority.peer(None), under.at(0));
    assert!(answer_to(&mut caller, &options("here")).is_ok());
    let addr = caller.sock.local_addr().unwrap();
    under.call(Destination::Addr {
        protocol: Protocol::Tls,
        addr,
        listener: None,
        filter: None,
    });
    let end = eventually("the end of the call", || under.notes.ended.lock().unwrap().pop());
    assert!(end.contains("Refused"), "{end}");
    under.wire.shutdown();
}

#[test]
fn peers_can_be_asked_for_a_certificate() {
    let authority = Authority::new();
    let under = authority.wire("client_authorities = \"authority.pem\"", limits());
    let nobody = answer_to(&mut call(&authority.peer(None), under.at(0)), &options("nobody"));
    assert!(nobody.is_err(), "{nobody:?}");
    let stranger = authority.peer(Some(Authority::new().sign("stranger", &["carrier.test"])));
    assert!(answer_to(&mut call(&stranger, under.at(0)), &options("stranger")).is_err());
    let known = authority.peer(Some(authority.sign("carrier", &["carrier.test"])));
    assert!(answer_to(&mut call(&known, under.at(0)), &options("known")).is_ok());
    eventually("two that failed", || {
        (under.wire.stats().tls_failed == 2).then_some(())
    });
    under.wire.shutdown();
}

#[test]
fn another_certificate_is_for_the_connections_to_come() {
    let authority = Authority::new();
    let under = authority.wire("", limits());
    let peer = authority.peer(None);
    let mut before = call(&peer, under.at(0));
    assert!(answer_to(&mut before, &options("before")).is_ok());
    let renewed = authority.sign("renewed", &["callbox.test"]);
    under.wire.view().renew_tls(&authority.tls("renewed", ""));
    let mut after = call(&peer, under.at(0));
    assert!(answer_to(&mut after, &options("after")).is_ok());
    assert_eq!(after.conn.peer_certificates().unwrap(), &renewed.chain[..]);
    assert!(answer_to(&mut before, &options("still")).is_ok());
    under.wire.shutdown();
}

#[test]
fn a_peer_that_does_not_read_is_closed_under_tls_too() {
    let authority = Authority::new();
    let under = authority.wire(
        "",
        WireLimits {
            tcp_write_queue_bytes: 65_536,
            ..limits()
        },
    );
    let mut caller = call(&authority.peer(None), under.at(0));
    assert!(answer_to(&mut caller, &options("reads")).is_ok());
    caller
        .sock
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    // The answer to each is longer than itself, because of its Via lines.
    let more = "Via: SIP/2.0/TLS y;branch=z9hG4bKy\r\n".repeat(100);
    for n in 0..20_000 {
        let asked = message("OPTIONS", "TLS x", &format!("n{n}"), &more);
        if caller.write_all(asked.as_bytes()).is_err() {
            break;
        }
    }
    eventually("the end of the connection", || {
        (under.wire.connections() == 0).then_some(())
    });
    assert_eq!(under.wire.stats().write_queue_closed, 1);
    under.wire.shutdown();
}

#[test]
fn a_listener_of_tls_without_a_certificate_is_not_opened() {
    let config = WireConfig {
        listen: vec!["tls:127.0.0.1:0".parse().unwrap()],
        tls: None,
        limits: limits(),
        hep: None,
        endpoint: EndpointConfig::default(),
    };
    let error = start(config, |index, _| Probe {
        index: index.0,
        notes: Notes::default(),
    });
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("tls:127.0.0.1:0 has no certificate; write [tls]"),
        "{error}"
    );
}
