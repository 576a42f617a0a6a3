//! Legs of one session on several shards: calls that it accepts stay where they came in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use callbox::call::{Leg, Session, TransferOptions};
use callbox_sip::endpoint::shard_of;
use support::peer::{Dialog, Peer, SESSION};
use support::{Host, SERVICE, SOON, sdp};

/// Answers the call of this peer.
async fn answered(session: &Session, leg: &Leg, peer: &mut Peer, dialog: &mut Dialog) {
    let (confirmed, ()) = tokio::join!(leg.answer(sdp(session), Vec::new(), SOON), async {
        let answer = peer.find("200", |message| message.status() == Some(200)).await;
        peer.ack(dialog, &answer, None).await;
    });
    confirmed.unwrap();
}

#[tokio::test]
async fn a_peer_is_sent_into_the_place_of_another_on_whatever_shard() {
    let (mut same, mut apart) = (false, false);
    for _ in 0..40 {
        let mut host = Host::start();
        let shards = u16::try_from(host.wire.shards()).unwrap();
        let (mut ann, mut bob) = (Peer::new(host.addr()).await, Peer::new(host.addr()).await);
        let mut with_ann = ann.invite("first", SESSION).await;
        let (session, first) = host.next_call().await;
        answered(&session, &first, &mut ann, &mut with_ann).await;
        let mut with_bob = bob.invite(SERVICE, SESSION).await;
        let second = session.new_leg().unwrap();
        second.accept(SERVICE, SOON).await.unwrap();
        answered(&session, &second, &mut bob, &mut with_bob).await;

        let options = TransferOptions {
            keep_leg: true,
            ..TransferOptions::default()
        };
        let (transferred, refer_to) = tokio::join!(first.attended_transfer(&second, &options), async {
            let refer = ann.request("REFER").await;
            ann.answer(&refer, "202 Accepted", "", None).await;
            refer.header("Refer-To").to_owned()
        });
        assert_eq!(transferred.unwrap().accepted.code, 202);
        let name = with_bob.call_id.split('@').next().unwrap();
        assert!(
            refer_to.contains(&bob.addr().to_string())
                && refer_to.contains("Replaces=")
                && refer_to.contains(name),
            "{refer_to}"
        );

        // What is said to a leg reaches its peer and no other.
        second.hangup(None).unwrap();
        bob.request("BYE").await;
        first.hangup(None).unwrap();
        ann.request("BYE").await;

        let home = |dialog: &Dialog| shard_of(dialog.call_id.as_bytes(), shards);
        if home(&with_ann) == home(&with_bob) {
            same = true;
        } else {
            apart = true;
        }
        if same && (apart || shards == 1) {
            return;
        }
    }
    panic!("all of one kind: same shard {same}, apart {apart}");
}
