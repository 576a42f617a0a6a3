//! Digest authentication (RFC 7616) of the requests of a flow, over real sockets: a raw peer challenges, and computes by itself
//! what the answer must be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    AnswerInfo, CallError, CallState, Credentials, Leg, Login, MakeCallOptions, ReofferOptions, Status,
};
use sha2::Digest as _;
use support::peer::{Message, Peer, SESSION};
use support::{Host, Opened, SOON, sdp};

const USER: &str = "alice";
const PASSWORD: &str = "correct horse";
const REALM: &str = "house.example";

/// What a server asks for: its algorithm and its qop, as they stand in the challenge; empty leaves them out.
#[derive(Debug, Clone, Copy)]
struct Asks {
    algorithm: &'static str,
    qop: &'static str,
    proxy: bool,
}

const MD5: Asks = Asks {
    algorithm: "MD5",
    qop: "auth",
    proxy: false,
};

impl Asks {
    /// The header that asks, with this nonce; `more` are further parameters.
    fn challenge(self, nonce: &str, more: &str) -> String {
        let name = if self.proxy {
            "Proxy-Authenticate"
        } else {
            "WWW-Authenticate"
        };
        let mut line = format!("{name}: Digest realm=\"{REALM}\", nonce=\"{nonce}\"");
        if !self.algorithm.is_empty() {
            line.push_str(&format!(", algorithm={}", self.algorithm));
        }
        if !self.qop.is_empty() {
            line.push_str(&format!(", qop=\"{}\"", self.qop));
        }
        format!("{line}{more}\r\n")
    }

    fn status(self) -> &'static str {
        match self.proxy {
            true => "407 Proxy Authentication Required",
            false => "401 Unauthorized",
        }
    }

    fn header(self) -> &'static str {
        match self.proxy {
            true => "Proxy-Authorization",
            false => "Authorization",
        }
    }

    fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.algorithm.trim_end_matches("-sess") {
            "" | "MD5" => format!("{:x}", md5::compute(text)),
            "SHA-256" => hex(&sha2::Sha256::digest(text)),
            "SHA-512-256" => hex(&sha2::Sha512_256::digest(text)),
            other => panic!("no algorithm {other}"),
        }
    }

    /// Checks the answer in a request, by the formulas of RFC 7616 §3.4: this nonce, used so often.
    fn verify(self, request: &Message, nonce: &str, count: u32) {
        let line = request.header(self.header());
        let get = |name: &str| parameter(line, name);
        assert_eq!(
            (get("username"), get("realm"), get("nonce")),
            (USER, REALM, nonce),
            "{line}"
        );
        assert_eq!(get("uri"), request.request_uri(), "{line}");
        assert_eq!(get("algorithm"), self.algorithm, "{line}");
        let mut a1 = self.hash(&format!("{USER}:{REALM}:{PASSWORD}"));
        if self.algorithm.ends_with("-sess") {
            a1 = self.hash(&format!("{a1}:{nonce}:{}", get("cnonce")));
        }
        let mut a2 = format!("{}:{}", request.method().unwrap(), request.request_uri());
        if self.qop == "auth-int" {
            a2 = format!("{a2}:{}", self.hash(request.body()));
        }
        let a2 = self.hash(&a2);
        let right = if self.qop.is_empty() {
            self.hash(&format!("{a1}:{nonce}:{a2}"))
        } else {
            assert_eq!(get("nc"), format!("{count:08x}"), "{line}");
            assert!(!get("cnonce").is_empty(), "{line}");
            // Where both are offered, the weaker one passes middle boxes.
            let qop = if self.qop == "auth-int" {
                "auth-int"
            } else {
                "auth"
            };
            assert_eq!(get("qop"), qop, "{line}");
            self.hash(&format!("{a1}:{nonce}:{count:08x}:{}:{qop}:{a2}", get("cnonce")))
        };
        assert_eq!(get("response"), right, "{self:?}: {request:?}");
    }
}

/// The value of a parameter without its quotes; empty when there is none.
fn parameter<'a>(line: &'a str, name: &str) -> &'a str {
    let list = line.strip_prefix("Digest ").unwrap_or_default();
    list.split(", ")
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
        .unwrap_or_default()
}

struct Scene {
    _host: Host,
    opened: Opened,
    leg: Leg,
    peer: Peer,
}

impl Scene {
    async fn new() -> Self {
        let mut host = Host::start();
        let opened = Opened::on(&mut host).await;
        let peer = Peer::new(host.addr()).await;
        let leg = opened.session.new_leg().unwrap();
        Self {
            _host: host,
            opened,
            leg,
            peer,
        }
    }

    fn options(&self, password: &str, realm: Option<&str>) -> MakeCallOptions {
        MakeCallOptions {
            offer: Some(sdp(&self.opened.session)),
            credentials: Credentials::Given(Login {
                username: USER.to_owned(),
                password: password.to_owned(),
                realm: realm.map(str::to_owned),
            }),
            ..MakeCallOptions::default()
        }
    }

    /// Refuses an INVITE with these challenges, and takes what comes next.
    async fn refuse(peer: &mut Peer, request: &Message, status: &str, challenges: &str) {
        peer.answer_bare(request, status, challenges).await;
        if request.method() == Some("INVITE") {
            peer.request("ACK").await;
        }
    }
}

async fn accept(peer: &mut Peer, invite: &Message) {
    peer.answer(invite, "200 OK", "", SESSION).await;
    peer.request("ACK").await;
}

fn rejected(result: Result<AnswerInfo, CallError>) -> u16 {
    match result {
        Err(CallError::Rejected(Status { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

/// A call that is challenged once, and everything in it that must then carry its answer at once: re-INVITE, UPDATE, INFO,
/// MESSAGE, REFER, BYE.
async fn whole_call(asks: Asks, realm: Option<&str>) {
    let mut scene = Scene::new().await;
    let (dest, options) = (scene.peer.uri("bob"), scene.options(PASSWORD, realm));
    let (leg, peer) = (&scene.leg, &mut scene.peer);
    let nonce = "dcd98b7102dd2f0e";
    let (called, first) = tokio::join!(leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        assert_eq!(invite.header(asks.header()), "", "nobody asked yet");
        Scene::refuse(
            peer,
            &invite,
            asks.status(),
            &asks.challenge(nonce, ", opaque=\"5ccc\""),
        )
        .await;
        let again = peer.request("INVITE").await;
        asks.verify(&again, nonce, 1);
        assert_eq!(parameter(again.header(asks.header()), "opaque"), "5ccc");
        assert_eq!(again.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!(again.header("From"), invite.header("From"));
        assert_eq!(again.cseq_number(), invite.cseq_number() + 1);
        assert_ne!(again.header("Via"), invite.header("Via"));
        assert_eq!(again.body(), invite.body());
        accept(peer, &again).await;
        invite
    });
    assert_eq!(called.unwrap().status.code, 200);

    let mut count = 1;
    for (method, use_update) in [("INVITE", false), ("UPDATE", true)] {
        count += 1;
        let reoffer = ReofferOptions {
            offer: Some(sdp(&scene.opened.session)),
            use_update,
            ..ReofferOptions::default()
        };
        let (answer, ()) = tokio::join!(leg.reoffer(&reoffer), async {
            let request = peer.request(method).await;
            asks.verify(&request, nonce, count);
            peer.answer(&request, "200 OK", "", SESSION).await;
            if !use_update {
                peer.request("ACK").await;
            }
        });
        answer.unwrap();
    }
    let text = || {
        scene
            .opened
            .session
            .body("text/plain", b"hello".to_vec())
            .unwrap()
    };
    count += 1;
    let (answer, ()) = tokio::join!(leg.send_info(text(), Vec::new(), Some(SOON)), async {
        let request = peer.request("INFO").await;
        asks.verify(&request, nonce, count);
        peer.answer(&request, "200 OK", "", None).await;
    });
    answer.unwrap();
    count += 1;
    let (answer, ()) = tokio::join!(leg.send_message(text(), SOON), async {
        let request = peer.request("MESSAGE").await;
        asks.verify(&request, nonce, count);
        peer.answer(&request, "200 OK", "", None).await;
    });
    answer.unwrap();
    leg.hangup(None).unwrap();
    let bye = peer.request("BYE").await;
    asks.verify(&bye, nonce, count + 1);
    assert_eq!(bye.header("Call-ID"), first.header("Call-ID"));
    peer.answer(&bye, "200 OK", "", None).await;
}

#[tokio::test]
async fn every_request_of_a_call_answers_in_the_way_that_was_asked_for() {
    for (algorithm, qop) in [
        ("", ""),
        ("MD5", ""),
        ("MD5", "auth"),
        ("MD5", "auth-int"),
        ("MD5", "auth-int,auth"),
        ("MD5-sess", "auth"),
        ("MD5-sess", "auth-int"),
        ("SHA-256", ""),
        ("SHA-256", "auth"),
        ("SHA-256", "auth-int"),
        ("SHA-256-sess", "auth"),
        ("SHA-512-256", "auth"),
    ] {
        for proxy in [false, true] {
            let asks = Asks {
                algorithm,
                qop,
                proxy,
            };
            // A realm of no name answers any.
            whole_call(asks, proxy.then_some(REALM)).await;
        }
    }
}

#[tokio::test]
async fn of_several_challenges_the_strongest_known_one_is_answered() {
    let mut scene = Scene::new().await;
    let (dest, options) = (scene.peer.uri("bob"), scene.options(PASSWORD, None));
    let strong = Asks {
        algorithm: "SHA-256",
        ..MD5
    };
    let unknown = Asks {
        algorithm: "SHA-9000",
        ..MD5
    };
    let peer = &mut scene.peer;
    let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        let asked = [
            unknown.challenge("n0", ""),
            MD5.challenge("n1", ""),
            strong.challenge("n2", ""),
            "WWW-Authenticate: Basic realm=\"house.example\"\r\n".to_owned(),
        ];
        Scene::refuse(peer, &invite, MD5.status(), &asked.concat()).await;
        let again = peer.request("INVITE").await;
        strong.verify(&again, "n2", 1);
        assert_eq!(again.headers("Authorization").len(), 1);
        accept(peer, &again).await;
    });
    called.unwrap();
}

#[tokio::test]
async fn a_proxy_and_the_server_behind_it_are_both_answered() {
    let mut scene = Scene::new().await;
    let (dest, options) = (scene.peer.uri("bob"), scene.options(PASSWORD, None));
    let proxy = Asks { proxy: true, ..MD5 };
    let peer = &mut scene.peer;
    let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        Scene::refuse(peer, &invite, proxy.status(), &proxy.challenge("p", "")).await;
        let second = peer.request("INVITE").await;
        proxy.verify(&second, "p", 1);
        Scene::refuse(peer, &second, MD5.status(), &MD5.challenge("s", "")).await;
        let third = peer.request("INVITE").await;
        proxy.verify(&third, "p", 2);
        MD5.verify(&third, "s", 1);
        accept(peer, &third).await;
    });
    called.unwrap();
    scene.leg.hangup(None).unwrap();
    let bye = scene.peer.request("BYE").await;
    proxy.verify(&bye, "p", 3);
    MD5.verify(&bye, "s", 2);
}

#[tokio::test]
async fn a_nonce_that_is_stale_is_replaced_within_the_call() {
    let mut scene = Scene::new().await;
    let (dest, options) = (scene.peer.uri("bob"), scene.options(PASSWORD, None));
    let peer = &mut scene.peer;
    let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        Scene::refuse(peer, &invite, MD5.status(), &MD5.challenge("old", "")).await;
        let again = peer.request("INVITE").await;
        Scene::refuse(peer, &again, MD5.status(), &MD5.challenge("new", ", stale=true")).await;
        let third = peer.request("INVITE").await;
        MD5.verify(&third, "new", 1);
        accept(peer, &third).await;
    });
    called.unwrap();
    let reoffer = ReofferOptions {
        offer: Some(sdp(&scene.opened.session)),
        ..ReofferOptions::default()
    };
    let (answer, ()) = tokio::join!(scene.leg.reoffer(&reoffer), async {
        let invite = peer.request("INVITE").await;
        MD5.verify(&invite, "new", 2);
        Scene::refuse(
            peer,
            &invite,
            MD5.status(),
            &MD5.challenge("newer", ", stale=true"),
        )
        .await;
        let again = peer.request("INVITE").await;
        MD5.verify(&again, "newer", 1);
        accept(peer, &again).await;
    });
    answer.unwrap();
    // A BYE that is challenged is repeated with its answer: the call must not stay up at the other end.
    scene.leg.hangup(None).unwrap();
    let bye = peer.request("BYE").await;
    MD5.verify(&bye, "newer", 2);
    Scene::refuse(peer, &bye, MD5.status(), &MD5.challenge("last", ", stale=true")).await;
    let again = peer.request("BYE").await;
    MD5.verify(&again, "last", 1);
    peer.answer(&again, "200 OK", "", None).await;
}

#[tokio::test]
async fn credentials_that_do_not_fit_are_a_rejection_and_are_not_tried_again() {
    let mut scene = Scene::new().await;
    let dest = scene.peer.uri("bob");
    // Another realm: not even tried. Nobody at all: neither.
    let nobody = MakeCallOptions {
        credentials: Credentials::None,
        ..scene.options(PASSWORD, None)
    };
    for options in [scene.options(PASSWORD, Some("elsewhere.example")), nobody] {
        let peer = &mut scene.peer;
        let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
            let invite = peer.request("INVITE").await;
            Scene::refuse(peer, &invite, MD5.status(), &MD5.challenge("n", "")).await;
        });
        assert_eq!(rejected(called), 401);
    }
    // A wrong password: once.
    let options = scene.options("wrong", None);
    let peer = &mut scene.peer;
    let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        Scene::refuse(peer, &invite, MD5.status(), &MD5.challenge("n1", "")).await;
        let again = peer.request("INVITE").await;
        assert_eq!(parameter(again.header("Authorization"), "nonce"), "n1");
        Scene::refuse(peer, &again, MD5.status(), &MD5.challenge("n2", "")).await;
    });
    assert_eq!(rejected(called), 401);
    assert_eq!(scene.leg.state(), CallState::Idle);
    scene.peer.quiet(Duration::from_millis(150)).await;
    // The leg is free, and the next attempt starts afresh.
    let options = scene.options(PASSWORD, None);
    let peer = &mut scene.peer;
    let (called, ()) = tokio::join!(scene.leg.make_call(&dest, &options), async {
        let invite = peer.request("INVITE").await;
        assert_eq!(invite.header("Authorization"), "");
        Scene::refuse(peer, &invite, MD5.status(), &MD5.challenge("n3", "")).await;
        let again = peer.request("INVITE").await;
        MD5.verify(&again, "n3", 1);
        accept(peer, &again).await;
    });
    called.unwrap();
}
