//! What all sessions of a tenant have waiting together, timers and unread events: bounded, and given back however they end.

use std::time::Instant;

use callbox_tests::admin::Admin;
use callbox_tests::flows;
use callbox_tests::phone::{Call, SOON};

use crate::{STOPPED, Stage, setup, trick};

/// The least that the row takes.
const MOST: u64 = 16;

impl Stage {
    /// How much of this quota the hostile tenant has taken.
    fn taken(&self, limit: &str) -> u64 {
        let answer = Admin::of(self.server.folder()).get("/v1/tenants");
        let tenants: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let tenants = tenants["tenants"].as_array().unwrap();
        let umbrella = tenants.iter().find(|it| it["name"] == "umbrella").unwrap();
        let quotas = umbrella["quotas"].as_array().unwrap();
        let quota = quotas.iter().find(|quota| quota["limit"] == limit).unwrap();
        quota["taken"].as_u64().unwrap()
    }

    fn gets_back(&self, limit: &str) {
        let deadline = Instant::now() + STOPPED;
        while self.taken(limit) > 0 {
            assert!(
                Instant::now() < deadline,
                "{} of {limit} are left",
                self.taken(limit)
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn a_tenant_has_so_many_timers_and_no_more() {
    let limit = "limits.tenant.timers_max";
    let mut stage = Stage::of(setup().tenant_limit("umbrella", "timers_max", MOST).tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("flood"),
        &trick("timers", &[]),
    ));
    stage.call();
    // Of the 10 000 that it sets.
    stage.told(&["timers:", "Overflow(9984)"]);
    stage.told(&[limit, "reached"]);
    stage.gets_back(limit);
    // They are there again for the next call.
    stage.call();
    let deadline = Instant::now() + SOON;
    while stage.server.log().matches("Overflow(9984)").count() < 2 {
        assert!(Instant::now() < deadline, "the second call had other timers");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    stage.gets_back(limit);
    stage.unharmed();
}

/// Keys that nobody reads, on calls each of which has room for them.
#[test]
fn a_tenant_has_so_many_unread_events_and_no_more() {
    let limit = "limits.tenant.events_max";
    let setup = setup()
        .limit("limits.plugin", "call_max_s", 5)
        .tenant_limit("umbrella", "events_max", MOST)
        .tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("wait-for-ever"),
            &trick("sleep", &[]),
        );
    let mut stage = Stage::of(setup);
    let mut calls: Vec<Call> = (0..3).map(|_| stage.phone.connect("hostile")).collect();
    for call in &mut calls {
        for _ in 0..8 {
            // Answered 200 all the while: it is the flow that has no room.
            stage.phone.press(call, '5');
        }
        stage.others_are_answered();
    }
    stage.told(&[limit, "reached"]);
    assert_eq!(stage.taken(limit), MOST);
    for call in &mut calls {
        stage.phone.hang_up(call);
    }
    // Who hung up is never lost, but nothing else has come in. The flows sleep on until their time is over.
    assert!((MOST..=MOST + 3).contains(&stage.taken(limit)));
    stage.gets_back(limit);
    stage.unharmed();
}
