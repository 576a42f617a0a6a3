//! Sessions: seen while they live, and given events.

use std::time::Instant;

use callbox_tests::admin::Admin;
use callbox_tests::flows;
use callbox_tests::phone::SOON;
use callbox_tests::server::Setup;

use super::callbox;

#[test]
fn a_call_is_seen_while_it_is_up_and_not_after() {
    let file = flows::example("ring");
    let server = Setup::new()
        .flow("1", "hello")
        .tenant_flow("acme", "2", &file, "")
        .start();
    assert!(callbox(&server, &["ps"]).out.contains("0 sessions"));
    let mut phone = server.phone();
    let mut talking = phone.connect("1");
    let ringing = phone.invite("2");
    phone.wait_for(&ringing, "180", |message| message.status() == Some(180));

    let all = callbox(&server, &["ps"]);
    assert_eq!(all.code, Some(0), "{all:#?}");
    let line = |part: &str| {
        let line = all.out.lines().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no {part} in:\n{}", all.out))
            .to_owned()
    };
    assert!(line("house/1").contains("connected"), "{}", all.out);
    assert!(line("acme/2").contains("ringing-in"), "{}", all.out);
    assert!(all.out.contains("2 sessions"), "{}", all.out);

    let admin = Admin::of(server.folder());
    let of_acme = admin.get("/v1/sessions?tenant=acme").body;
    assert!(
        of_acme.contains("\"total\":1") && !of_acme.contains("house"),
        "{of_acme}"
    );
    let call_id = of_acme
        .split("\"call_id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let by_call = callbox(&server, &["ps", "--call", call_id]);
    assert!(
        by_call.out.contains("1 sessions") && by_call.out.contains("acme/2"),
        "{}",
        by_call.out
    );

    phone.cancel(&ringing);
    phone.final_response(&ringing, "INVITE");
    phone.hang_up(&mut talking);
    let deadline = Instant::now() + SOON;
    while !callbox(&server, &["ps"]).out.contains("0 sessions") {
        assert!(Instant::now() < deadline, "{}", callbox(&server, &["ps"]).out);
    }
}

#[test]
fn an_operator_starts_a_job_and_posts_an_event_to_it() {
    let server = Setup::new()
        .job("house", "desk", &flows::example("desk"), "")
        .flow("1", "logbook")
        .service("house", "7", "desk")
        .start();
    let said = callbox(
        &server,
        &["job", "house/desk", "--arg", "service=desk", "--arg", "calls=1"],
    );
    assert_eq!(said.code, Some(0), "{said:#?}");
    let id = said.out.trim();
    let ps = callbox(&server, &["ps"]);
    assert!(ps.out.contains(id) && ps.out.contains("house/desk"), "{}", ps.out);
    let mut phone = server.phone();
    let mut call = phone.connect("7");
    server.wait_for_log(&["call 1 on leg"], SOON);
    phone.hang_up(&mut call);

    let mut call = phone.connect("1");
    let ps = callbox(&server, &["ps", "--flow", "1"]);
    let line = ps.out.lines().find(|line| line.contains("house/1")).unwrap();
    let id = line.split(' ').next().unwrap();
    let said = callbox(&server, &["post", id, "the agent is free"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    server.wait_for_log(&["event: ", "External", "text/plain"], SOON);
    let wrong = callbox(&server, &["post", id, "x", "--type", "no type"]);
    assert_eq!(wrong.code, Some(1), "{wrong:#?}");
    phone.hang_up(&mut call);
    let said = callbox(&server, &["post", "none", "x"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("there is no session \"none\""), "{}", said.err);
}

#[test]
fn an_operator_ends_a_session_and_the_peer_hears_why() {
    let server = Setup::new().flow("1", "hello").start();
    let mut phone = server.phone();
    let call = phone.connect("1");
    let admin = Admin::of(server.folder());
    let sessions = admin.get("/v1/sessions").body;
    let id = sessions
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let said = callbox(&server, &["kill", id]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let bye = phone.request(&call, "BYE");
    assert!(bye.header("Reason").contains("ended by the operator"), "{bye:?}");
    phone.respond(&bye, "200 OK");
    let deadline = Instant::now() + SOON;
    while !callbox(&server, &["ps"]).out.contains("0 sessions") {
        assert!(Instant::now() < deadline, "{}", callbox(&server, &["ps"]).out);
    }
    let again = callbox(&server, &["kill", id]);
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(again.err.contains("session"), "{again:#?}");
}

#[test]
fn what_a_session_uses_is_seen_while_it_lives() {
    let server = Setup::new()
        .flow("1", "hello")
        .tenant_flow(
            "acme",
            "2",
            &flows::example("compute"),
            "config = { trick = \"host-calls\" }\n",
        )
        .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000)
        .start();
    let mut phone = server.phone();
    let mut talking = phone.connect("1");
    let busy = phone.invite("2");
    let sessions = |sort: &str| -> Vec<serde_json::Value> {
        let answer = Admin::of(server.folder()).get(&format!("/v1/sessions?sort={sort}"));
        let list: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        list["sessions"].as_array().unwrap().clone()
    };
    let number = |session: &serde_json::Value, name: &str| session[name].as_u64().unwrap();
    let deadline = Instant::now() + SOON;
    let first = loop {
        let by_cpu = sessions("cpu");
        if by_cpu.len() == 2 && by_cpu[0]["tenant"] == "acme" && number(&by_cpu[0], "cpu_us") > 10_000 {
            break by_cpu[0].clone();
        }
        assert!(Instant::now() < deadline, "{by_cpu:#?}");
    };
    assert_eq!(sessions("age")[0]["tenant"], "house", "the older one");
    let (memory, peak) = (
        number(&first, "memory_bytes"),
        number(&first, "memory_peak_bytes"),
    );
    assert!(memory >= 64 << 10 && memory <= peak, "{first:#?}");
    let id = first["id"].as_str().unwrap();
    let one = || -> serde_json::Value {
        let answer = Admin::of(server.folder()).get(&format!("/v1/sessions/{id}"));
        serde_json::from_str(&answer.body).unwrap()
    };
    let latest = loop {
        let now = one();
        if ["cpu_us", "fuel", "host_calls"]
            .iter()
            .all(|name| number(&now, name) > number(&first, name))
        {
            break now;
        }
        assert!(Instant::now() < deadline, "{first:#?}\n{now:#?}");
    };
    let ps = callbox(&server, &["ps", "--sort", "cpu", "--limit", "1"]);
    assert!(
        ps.out.contains("acme/2") && !ps.out.contains("house/1") && ps.out.contains(" ms"),
        "{}",
        ps.out
    );
    assert_eq!(callbox(&server, &["kill", id]).code, Some(0));
    phone.final_response(&busy, "INVITE");
    phone.hang_up(&mut talking);
    while !sessions("memory").is_empty() {
        assert!(Instant::now() < deadline);
    }
    // The record says what the table said, and what came after.
    let record = loop {
        let records = callbox(&server, &["cdr", "--json", "--tenant", "acme"]).out;
        if let Some(line) = records.lines().find(|line| line.contains("\"fuel\"")) {
            break serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(Instant::now() < deadline, "{records}");
    };
    assert!(number(&record, "fuel") >= number(&latest, "fuel"), "{record:#?}");
}
