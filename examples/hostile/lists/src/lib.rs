//! Hands the host lists that are long rather than large, in the way that `trick` names: what a bound on bytes alone lets
//! through.

use callbox_sdk::{Call, Error, Header, info, session};

callbox_sdk::flow!(hand);

fn hand(call: Call) {
    let result: Result<(), Error> = match session::config("trick").as_deref() {
        // A million headers without a byte in them.
        Some("empty-headers") => call.ring_with(&vec![header(0); 1_000_000]),
        // As many as fit into one host call.
        Some("headers") => call.ring_with(&vec![header(1); 5_000]),
        Some("contacts") => call.redirect(&vec!["sip:a@127.0.0.1"; 20_000]),
        // Again and again, because each is within its bound.
        Some("again") => loop {
            let _ = call.ring_with(&vec![header(100); 60]);
        },
        other => panic!("no trick {other:?}"),
    };
    match result {
        Ok(()) => info!("lists: taken"),
        Err(error) => info!("lists: {error}"),
    }
}

fn header(bytes: usize) -> Header {
    Header {
        name: if bytes == 0 { String::new() } else { "X-A".into() },
        value: "a".repeat(bytes),
    }
}
