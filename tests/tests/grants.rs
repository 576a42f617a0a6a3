//! What a flow was not granted is denied, what it was granted works: every function that a grant covers, over real SIP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::{cli, flows};

/// The table of `docs/grants.md`: a grant and the functions that it covers. Its equality with the host's is a test of the
/// host's own. Without `job`, which covers nothing that a flow calls.
fn table() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(flows::root().join("docs/grants.md")).unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        let odd = cell.split('`').skip(1).step_by(2);
        odd.map(str::to_owned).collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').collect::<Vec<_>>())
        .map(|cells| (quoted(cells[1]).remove(0), quoted(cells[2])))
        .filter(|(grant, _)| grant != "job")
        .collect()
}

/// Refuses all that the server asks until the log has so many lines of the flow's, and returns the methods that were
/// asked for.
fn answer(phone: &mut Phone, server: &Callbox, flow: &str, lines: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut asked = Vec::new();
    loop {
        while let Some(message) = phone.receive(Duration::from_millis(20)) {
            let Some(method) = message.method().map(str::to_owned) else {
                continue;
            };
            match method.as_str() {
                "ACK" => continue,
                "INFO" | "MESSAGE" | "BYE" | "CANCEL" | "NOTIFY" => phone.respond(&message, "200 OK"),
                _ => phone.respond_with(&message, "486 No", ""),
            }
            let outside = method == "INVITE" && message.to_tag().is_none();
            asked.push(if outside { "INVITE anew".to_owned() } else { method });
        }
        if said(server, flow).len() == lines {
            return asked;
        }
        assert!(
            Instant::now() < deadline,
            "{flow}: {} of {lines} lines, asked {asked:?}\n{}",
            said(server, flow).len(),
            server.log()
        );
    }
}

/// What the flow said of each function: whether it was denied for want of a grant, and the whole line.
fn said(server: &Callbox, flow: &str) -> Vec<(String, bool, String)> {
    let log = server.log();
    let of_flow = format!("flow=\"{flow}\"");
    log.lines()
        .filter(|line| line.contains(&of_flow))
        .filter_map(|line| {
            let (_, text) = line.split_once("flow: ")?;
            let (function, outcome) = text.split_once(": ")?;
            let denied = match outcome.split(':').next()? {
                "NOT GRANTED" => true,
                "allowed" => false,
                _ => return None,
            };
            Some((function.to_owned(), denied, line.to_owned()))
        })
        .collect()
}

/// What the phone hears of a method that is granted.
fn heard_of(function: &str) -> Option<&'static str> {
    Some(match function {
        "sipcall.call.make-call" | "sipcall.call.dial" => "INVITE anew",
        "sipcall.call.reoffer" | "sipcall.call.hold" => "INVITE",
        "sipcall.call.send-info" | "sipcall.call.send-dtmf" => "INFO",
        "sipcall.call.send-message" => "MESSAGE",
        "sipcall.call.blind-transfer" => "REFER",
        "events.referral.accept" => "NOTIFY",
        "registration.registration.start" => "REGISTER",
        "subscription.subscription.start" => "SUBSCRIBE",
        _ => return None,
    })
}

#[test]
fn every_function_is_denied_without_its_grant_and_works_with_it() {
    let table = table();
    let functions: Vec<&String> = table.iter().flat_map(|(_, functions)| functions).collect();
    assert!(functions.len() >= 17, "{table:?}");
    let grants: Vec<&str> = table.iter().map(|(grant, _)| grant.as_str()).collect();
    let mut setup = Setup::new().service("house", "desk", "desk");
    let mut phone = Phone::udp(setup.address());
    let file = flows::example("ungranted");
    let to = format!("sip:phone@{}", phone.address());
    for grant in &grants {
        let but: Vec<&&str> = grants.iter().filter(|other| *other != grant).collect();
        for (name, granted) in [("without", format!("{but:?}")), ("only", format!("[{grant:?}]"))] {
            let more = format!("auto_ring = false\ngrants = {granted}\nconfig = {{ to = {to:?} }}\n");
            setup = setup.tenant_flow("house", &format!("{name}-{grant}"), &file, &more);
        }
    }
    let server = setup.dial("house", &["127.0.0.0/8"]).start();
    for (grant, covered) in &table {
        for name in ["without", "only"] {
            let flow = format!("{name}-{grant}");
            let mut call = phone.connect(&flow);
            let refer = format!("Refer-To: <{to}>\r\n");
            phone.ask(&mut call, "REFER", &refer, "");
            let asked = answer(&mut phone, &server, &flow, functions.len());
            for (function, denied, line) in said(&server, &flow) {
                let granted = covered.contains(&function) == (name == "only");
                assert_eq!(denied, !granted, "{line}");
                if denied {
                    let missing = table.iter().find(|(_, functions)| functions.contains(&function));
                    let fix = format!(
                        "add \"{}\" to grants of flow {flow} of tenant house",
                        missing.unwrap().0
                    );
                    assert!(line.contains(&fix) && !line.contains("callbox.toml"), "{line}");
                }
                if let Some(method) = heard_of(&function)
                    && covered.contains(&function)
                {
                    assert_eq!(
                        asked.iter().any(|asked| asked == method),
                        granted,
                        "{flow}: {function} and {asked:?}"
                    );
                }
            }
            let bye = phone.receive_of(&call, Duration::from_millis(200));
            if let Some(bye) = bye.filter(|it| it.method() == Some("BYE")) {
                phone.respond(&bye, "200 OK");
            }
        }
    }
    // The operator is told, once for each power of two, with the place of the line.
    server.wait_for_log(
        &[
            "WARN",
            "\"dial\" is not granted",
            "of flow without-dial of tenant house",
            "callbox.toml:",
        ],
        SOON,
    );
    // And at the start already, because of what the component imports.
    server.wait_for_log(
        &[
            "WARN",
            "without-dial",
            "which will be denied",
            "sipcall.call.make-call",
        ],
        SOON,
    );
}

/// What every flow may do: it is about the call that came in, ends something, looks at what is there, or sets an option of a
/// function that needs a grant.
const FREE: [&str; 8] = [
    "sipcall.call.{id,state,direction,cancel,ring,progress,answer,reject,remote-offer,local-offer,ani,dnis,request-uri,\
     from-uri,to-uri,sip-call-id,header,wait-for-dtmf,gather-digits,dtmf-buffer,clean-dtmf-buffer,wait-for-info,\
     clean-info-buffer,hangup,wait-for-hangup}",
    "sipcall.{unbridge}",
    "events.{next,next-from,poll,set-timer,cancel-timer,decide-offers}",
    "events.referral.{target,replaces,referred-by,reject,notify}",
    "events.incoming-offer.{body,answer,reject}",
    "session.{id,tenant,flow-version,config,log,sleep,remaining,set-cdr-field}",
    "registration.registration.{id,is-active,bindings,unregister}",
    "subscription.subscription.{id,state,wait-for-notify,clean-notify-buffer,unsubscribe}",
];

/// A function that is added to the contract needs a grant, or somebody who says that it needs none.
#[test]
fn every_function_of_the_contract_needs_a_grant_or_is_known_to_need_none() {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(flows::root().join("wit")).unwrap();
    let free: Vec<String> = FREE
        .iter()
        .flat_map(|names| {
            let (head, list) = names.trim_end_matches('}').split_once('{').unwrap();
            list.split(',').map(move |name| format!("{head}{name}"))
        })
        .collect();
    let covered: Vec<String> = table().into_iter().flat_map(|(_, functions)| functions).collect();
    let mut seen = Vec::new();
    for (name, interface) in &resolve.packages[package].interfaces {
        // What a flow exports is not for it to call.
        if matches!(name.as_str(), "handler" | "job") {
            continue;
        }
        for function in resolve.interfaces[*interface].functions.keys() {
            let Some(plain) = function
                .rsplit(']')
                .next()
                .filter(|_| !function.starts_with("[constructor]"))
            else {
                continue;
            };
            if plain
                .split('.')
                .next()
                .is_some_and(|resource| resource.ends_with("-options"))
            {
                continue;
            }
            seen.push(format!("{name}.{plain}"));
        }
    }
    for function in &seen {
        let decided = usize::from(free.contains(function)) + usize::from(covered.contains(function));
        assert_eq!(
            decided, 1,
            "{function} must be in docs/grants.md or in FREE, and not in both"
        );
    }
    for function in free.iter().chain(&covered) {
        assert!(seen.contains(function), "{function} is not in wit/");
    }
}

/// A configuration for `check`, and its file.
fn configuration(folder: &Path, head: &str, tenant: &str, flow: &str, file: &Path) -> PathBuf {
    let mut text = String::from("listen = \"udp:127.0.0.1:0\"\n");
    write!(
        text,
        "{head}\n[[tenant]]\nname = \"acme\"\n{tenant}\n[tenant.flow.ivr]\nfile = {file:?}\n{flow}\n"
    )
    .unwrap();
    let config = folder.join("callbox.toml");
    fs::write(&config, text).unwrap();
    config
}

#[test]
fn check_shows_grants_beside_imports() {
    let folder = tempfile::tempdir().unwrap();
    let file = flows::example("transfer");
    let check = |head: &str, tenant: &str, flow: &str, more: &[&str]| {
        let config = configuration(folder.path(), head, tenant, flow, &file);
        let mut arguments = vec!["check", "--config", config.to_str().unwrap()];
        arguments.extend(more);
        cli::run(arguments)
    };
    let by_default = check("", "", "", &["--tenant", "acme"]);
    assert_eq!(by_default.code, Some(0), "{}", by_default.all());
    let row = |said: &cli::Said, grant: &str| {
        let start = format!("  {grant} ");
        let line = said.out.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("no row {grant}:\n{}", said.all()))
            .to_owned()
    };
    let transfer = row(&by_default, "transfer");
    assert!(
        transfer.contains("yes")
            && transfer.contains("default")
            && transfer.contains("sipcall.call.blind-transfer"),
        "{transfer}"
    );
    assert!(row(&by_default, "registration").ends_with('-'));

    let narrow = check(
        "[ceiling]\ngrants = [\"dial\", \"transfer\"]",
        "grants = [\"dial\"]",
        "",
        &["--tenant", "acme"],
    );
    assert_eq!(narrow.code, Some(1), "{}", narrow.all());
    let transfer = row(&narrow, "transfer");
    assert!(
        transfer.contains("NO") && transfer.contains("callbox.toml:6"),
        "{transfer}"
    );
    let fix = "sipcall.call.blind-transfer NOT GRANTED: add \"transfer\" to grants of tenant acme";
    assert!(narrow.out.contains(fix), "{}", narrow.all());
    assert!(
        row(&narrow, "spawn").contains("callbox.toml:3"),
        "{}",
        narrow.all()
    );

    // Another file: what any flow of the tenant is granted; the flow's own file: what that flow is.
    let hello = flows::example("hello");
    let other = check(
        "",
        "",
        "grants = []",
        &["--tenant", "acme", hello.to_str().unwrap()],
    );
    assert_eq!(other.code, Some(0), "{}", other.all());
    assert!(
        other.out.contains("grants of tenant acme, any flow"),
        "{}",
        other.all()
    );
    let own = check(
        "",
        "",
        "grants = []",
        &["--tenant", "acme", file.to_str().unwrap()],
    );
    assert_eq!(own.code, Some(1), "{}", own.all());
    assert!(
        own.out.contains("grants of tenant acme, flow ivr"),
        "{}",
        own.all()
    );

    let nobody = check("", "", "", &["--tenant", "nobody"]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.all());
    assert!(nobody.err.contains("there are: acme"), "{}", nobody.err);
}

#[test]
fn a_job_needs_its_grant() {
    let folder = tempfile::tempdir().unwrap();
    let file = flows::example("desk");
    let config = configuration(folder.path(), "", "grants = [\"accept\"]", "", &file);
    let run = cli::run(["call", "acme/ivr", "--config", config.to_str().unwrap()]);
    assert_ne!(run.code, Some(0), "{}", run.all());
    let fix = "\"job\" is not granted; add \"job\" to grants of tenant acme";
    assert!(run.err.contains(fix), "{}", run.all());
    let scheduled = "[tenant.flow.ivr.job]\nstart = \"boot\"";
    let config = configuration(folder.path(), "", "grants = [\"accept\"]", scheduled, &file);
    let run = cli::run(["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    assert!(
        run.err
            .contains("it has a job, and \"job\" is not granted by the tenant"),
        "{}",
        run.err
    );
}
