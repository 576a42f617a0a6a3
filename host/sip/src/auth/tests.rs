//! Published vectors, and the client's behaviour over several requests.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sha2::Digest as _;

use super::{AuthError, Challenge, Credentials, DigestClient, Hash, Qop};
use crate::message::{Framing, HeaderName, Message, MessageBuilder, MessageLimits, Method};

fn response(headers: &[(&str, &str)]) -> Message {
    let mut b = MessageBuilder::response(401, None);
    for (name, value) in headers {
        b.push_header(name, value);
    }
    parse(b.finish())
}

fn parse(bytes: Bytes) -> Message {
    Message::parse(bytes, Framing::Datagram, &MessageLimits::default()).unwrap()
}

fn request(answers: &[super::Answer]) -> Message {
    let mut b = MessageBuilder::request(&Method::Register, "sip:h");
    for a in answers {
        b.push_header(a.name, &a.value);
    }
    parse(b.finish())
}

fn user(name: &str, password: &str, realm: Option<&str>) -> Credentials {
    Credentials {
        username: name.into(),
        password: password.into(),
        realm: realm.map(Into::into),
    }
}

fn get(value: &[u8], name: &str) -> Option<String> {
    super::challenge::pairs(value)
        .find(|(_, n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, _, v)| String::from_utf8(v.to_vec()).unwrap())
}

/// The first answer to one challenge.
fn answer(challenge: &str, who: Credentials, method: &str, uri: &str, body: &[u8], cnonce: &str) -> String {
    let mut client = DigestClient::new(vec![who]);
    client
        .challenged(&request(&[]), &response(&[("WWW-Authenticate", challenge)]))
        .unwrap();
    let method = Method::parse(method.as_bytes()).unwrap();
    let mut answers = client.answers(&method, uri.as_bytes(), body, cnonce);
    assert_eq!(
        (answers.len(), answers.first().unwrap().name),
        (1, HeaderName::Authorization)
    );
    String::from_utf8(answers.remove(0).value).unwrap()
}

#[test]
fn rfc_2617_section_3_5() {
    let value = answer(
        "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        user("Mufasa", "Circle Of Life", None),
        "GET",
        "/dir/index.html",
        b"",
        "0a4f113b",
    );
    assert_eq!(
        value,
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         uri=\"/dir/index.html\", response=\"6629fae49393a05397450978507c4ef1\", \
         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", qop=auth, nc=00000001, cnonce=\"0a4f113b\""
    );
}

#[test]
fn rfc_7616_section_3_9() {
    for (algorithm, expected) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let value = answer(
            &format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ),
            user("Mufasa", "Circle of Life", Some("http-auth@example.org")),
            "GET",
            "/dir/index.html",
            b"",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert_eq!(get(value.as_bytes(), "response").as_deref(), Some(expected));
        assert_eq!(get(value.as_bytes(), "algorithm").as_deref(), Some(algorithm));
    }
}

/// RFC 7616 §3.9.2 as corrected by erratum 4897: the text of the RFC cut SHA-512 short instead.
#[test]
fn rfc_7616_section_3_9_2() {
    let value = answer(
        "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
         nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", \
         charset=UTF-8, userhash=true",
        user("J\u{e4}s\u{f8}n Doe", "Secret, or not?", None),
        "GET",
        "/doe.json",
        b"",
        "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    );
    assert_eq!(
        get(value.as_bytes(), "response").as_deref(),
        Some("3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5")
    );
}

/// The formula written out a second time, on strings and with other crates' calls.
#[test]
fn auth_int_and_sess_by_hand() {
    fn sha(text: &str) -> String {
        sha2::Sha256::digest(text)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }
    fn md5(text: &str) -> String {
        format!("{:x}", md5::compute(text))
    }
    let a1 = sha(&format!("{}:n1:c1", sha("bob:r:pw")));
    let a2 = sha(&format!("INVITE:sip:a@b:{}", sha("v=0\r\n")));
    let by_hand = sha(&format!("{a1}:n1:00000001:c1:auth-int:{a2}"));
    let challenge = "Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-256-sess, qop=\"auth-int\"";
    let value = answer(
        challenge,
        user("bob", "pw", None),
        "INVITE",
        "sip:a@b",
        b"v=0\r\n",
        "c1",
    );
    assert_eq!(get(value.as_bytes(), "response"), Some(by_hand));
    assert_eq!(get(value.as_bytes(), "qop").as_deref(), Some("auth-int"));

    let by_hand = md5(&format!("{}:n1:{}", md5("bob:r:pw"), md5("BYE:sip:a@b")));
    let value = answer(
        "Digest realm=\"r\",nonce=\"n1\"",
        user("bob", "pw", None),
        "BYE",
        "sip:a@b",
        b"",
        "c1",
    );
    assert_eq!(get(value.as_bytes(), "response"), Some(by_hand));
    for absent in ["qop", "nc", "cnonce", "algorithm", "opaque"] {
        assert_eq!(get(value.as_bytes(), absent), None, "{absent}");
    }
}

#[test]
fn strongest_first_unknown_ones_left_out() {
    let r = response(&[
        ("WWW-Authenticate", "Basic realm=\"r\""),
        (
            "WWW-Authenticate",
            "Digest realm=\"r\", nonce=\"a\", algorithm=MD5, qop=\"auth\"",
        ),
        (
            "WWW-Authenticate",
            "Digest realm=\"r\", nonce=\"b\", algorithm=SHA3-1024, qop=\"auth\"",
        ),
        (
            "WWW-Authenticate",
            "Digest realm=\"r\", nonce=\"c\", algorithm=\"sha-256\", qop=\"token\"",
        ),
        (
            "Proxy-Authenticate",
            "DIGEST realm=\"p,\\\"q\\\"\", nonce=\"d\", algorithm=SHA-512-256-sess, qop=auth-int, stale=TRUE",
        ),
        (
            "WWW-Authenticate",
            "Digest realm=\"r\",nonce=\"e\" , algorithm = SHA-256 , qop = \"auth-int, auth\"",
        ),
        ("WWW-Authenticate", "Digest realm=\"no nonce\""),
        (
            "WWW-Authenticate",
            "Digest realm=\"x\", nonce=\"f\", Digest realm=\"y\", nonce=\"g\"",
        ),
    ]);
    let all = Challenge::parse_all(&r);
    let nonces: Vec<_> = all
        .iter()
        .map(|c| String::from_utf8(c.nonce.clone()).unwrap())
        .collect();
    assert_eq!(nonces, ["d", "e", "a", "f", "g"]);
    let first = all.first().unwrap();
    assert!(first.proxy && first.stale && first.session);
    assert_eq!((first.hash, first.qop), (Hash::Sha512_256, Qop::AuthInt));
    assert_eq!(first.realm, b"p,\\\"q\\\"");
    assert_eq!(all.get(1).unwrap().qop, Qop::Auth);
}

#[test]
fn several_realms_and_a_counter_in_hex() {
    let mut client = DigestClient::new(vec![user("u", "any", None), user("p", "own", Some("proxy"))]);
    let both = response(&[
        (
            "WWW-Authenticate",
            "Digest realm=\"home\", nonce=\"n\", qop=\"auth\"",
        ),
        (
            "Proxy-Authenticate",
            "Digest realm=\"proxy\", nonce=\"m\", qop=\"auth\"",
        ),
    ]);
    client.challenged(&request(&[]), &both).unwrap();
    for n in 1..=17u32 {
        let answers = client.answers(&Method::Bye, b"sip:h", b"", &format!("c{n}"));
        let [www, proxy] = answers.as_slice() else {
            panic!("two answers")
        };
        assert_eq!(
            (www.name, proxy.name),
            (HeaderName::Authorization, HeaderName::ProxyAuthorization)
        );
        assert_eq!(get(&www.value, "nc"), Some(format!("{n:08x}")));
        assert_eq!(get(&www.value, "username").as_deref(), Some("u"));
        assert_eq!(get(&proxy.value, "username").as_deref(), Some("p"));
        // The first client nonce stays with its nonce.
        assert_eq!(get(&www.value, "cnonce").as_deref(), Some("c1"));
        if n == 17 {
            assert_eq!(get(&www.value, "nc").as_deref(), Some("00000011"));
        }
    }
}

fn challenge(nonce: &str, more: &str) -> Message {
    response(&[(
        "WWW-Authenticate",
        &format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{more}"),
    )])
}

#[test]
fn wrong_credentials_are_not_tried_twice() {
    for second in ["n1", "n2"] {
        let mut client = DigestClient::new(vec![user("u", "bad", None)]);
        client.challenged(&request(&[]), &challenge("n1", "")).unwrap();
        let sent = request(&client.answers(&Method::Register, b"sip:h", b"", "c"));
        assert_eq!(
            client.challenged(&sent, &challenge(second, "")),
            Err(AuthError::Refused("r".into())),
            "{second}"
        );
    }
}

#[test]
fn a_nonce_that_ran_out_is_replaced() {
    let mut client = DigestClient::new(vec![user("u", "pw", None)]);
    client.challenged(&request(&[]), &challenge("n1", "")).unwrap();
    client.answers(&Method::Register, b"sip:h", b"", "c");
    let second = request(&client.answers(&Method::Register, b"sip:h", b"", "c"));
    // The first use was accepted, the second is challenged anew, without `stale`.
    client.challenged(&second, &challenge("n2", "")).unwrap();
    let third = client.answers(&Method::Register, b"sip:h", b"", "d");
    let value = &third.first().unwrap().value;
    assert_eq!(get(value, "nonce").as_deref(), Some("n2"));
    assert_eq!(get(value, "nc").as_deref(), Some("00000001"));
    assert_eq!(get(value, "cnonce").as_deref(), Some("d"));
}

#[test]
fn stale_is_believed_a_few_times() {
    let mut client = DigestClient::new(vec![user("u", "pw", None)]);
    client.challenged(&request(&[]), &challenge("n0", "")).unwrap();
    let mut outcomes = Vec::new();
    for n in 1..=4 {
        let sent = request(&client.answers(&Method::Register, b"sip:h", b"", "c"));
        outcomes.push(client.challenged(&sent, &challenge(&format!("n{n}"), ", stale=true")));
    }
    assert_eq!(
        outcomes,
        [Ok(()), Ok(()), Ok(()), Err(AuthError::AlwaysStale("r".into()))]
    );
}

#[test]
fn nothing_to_answer_with() {
    let mut client = DigestClient::new(vec![user("u", "pw", Some("other"))]);
    let none = request(&[]);
    assert_eq!(
        client.challenged(&none, &challenge("n", "")),
        Err(AuthError::NoCredentials("r".into()))
    );
    assert_eq!(
        client.challenged(&none, &response(&[])),
        Err(AuthError::NoChallenge)
    );
    assert!(client.is_empty() && client.answers(&Method::Bye, b"sip:h", b"", "c").is_empty());
}

#[test]
fn the_realms_kept_are_bounded() {
    let mut client = DigestClient::new(vec![user("u", "pw", None)]);
    for n in 0..100 {
        let r = response(&[("WWW-Authenticate", &format!("Digest realm=\"r{n}\", nonce=\"n\""))]);
        client.challenged(&request(&[]), &r).unwrap();
    }
    assert_eq!(client.answers(&Method::Bye, b"sip:h", b"", "c").len(), 8);
}

#[test]
fn names_with_quotes_stay_inside_their_quotes_and_passwords_out_of_logs() {
    let value = answer(
        "Digest realm=\"r\", nonce=\"n\"",
        user("a\"b\\c\r\nX: y", "pw", None),
        "BYE",
        "sip:h",
        b"",
        "c",
    );
    assert!(
        value.starts_with("Digest username=\"a\\\"b\\\\cX: y\", realm="),
        "{value}"
    );
    assert!(!format!("{:?}", user("u", "hidden", None)).contains("hidden"));
}
