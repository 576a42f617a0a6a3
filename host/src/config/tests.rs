//! A whole file, the defaults, and every mistake with the exact text that explains it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

pub(super) const FULL: &str = r#"
listen = ["udp:127.0.0.1:5060", "tcp:[::1]:5060"]
user_agent = "house"
cache_dir = "cache"

[log]
format = "json"
level = "info,callbox::wire=debug"

[limits]
calls_max = 10_000
[limits.sip]
t1_ms = 100
[limits.wire]
connections_max = 10

[[tenant]]
name = "acme"
[tenant.flow.ivr]
file = "flows/ivr.wasm"
auto_ring = false
trap_code = 480
[tenant.flow.ivr.config]
greeting = "hello"
tries = 3
[tenant.flow.hello]
file = "/srv/hello.wasm"

[[tenant]]
name = "umbrella"
dial = ["Example.com", "*.example.net", "172.16.0.0/12", "[2001:db8::1]"]
caller_ids = "+4930123456"
flow.busy.file = "busy.wasm"

[[route]]
number = ["answer", "hello"]
tenant = "acme"
flow = "hello"

[[route]]
number_pattern = "49[0-9]+"
domain = ["Example.COM"]
source = ["10.0.0.0/8", "::1"]
tenant = "acme"
flow = "ivr"

[[route]]
tenant = "umbrella"
flow = "busy"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("dir/callbox.toml"), text)
}

/// The error of a file that is right but for one piece of it.
fn error(replace: &str, by: &str) -> String {
    assert!(FULL.contains(replace), "{replace}");
    parse(&FULL.replace(replace, by)).unwrap_err().to_string()
}

#[test]
fn a_full_file_is_read() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.user_agent, "house");
    assert_eq!(config.cache_dir.as_deref(), Some(Path::new("dir/cache")));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.limits.host.calls_max, 10_000);
    assert_eq!(config.limits.sip.t1_ms, 100);
    assert_eq!(config.limits.sip.t2_ms, 4_000);
    assert_eq!(config.limits.wire.connections_max, 10);

    let acme = &config.tenants[0];
    let ivr = acme.flows.iter().find(|flow| flow.name == "ivr").unwrap();
    assert_eq!(ivr.file, Path::new("dir/flows/ivr.wasm"));
    assert_eq!((ivr.auto_ring, ivr.trap_code), (false, 480));
    assert_eq!(ivr.config["greeting"], "hello");
    assert_eq!(ivr.config["tries"], "3");
    let hello = acme.flows.iter().find(|flow| flow.name == "hello").unwrap();
    assert_eq!(hello.file, Path::new("/srv/hello.wasm"));
    assert_eq!((hello.auto_ring, hello.trap_code), (true, 500));

    assert_eq!(config.routes.len(), 3);
    let flow = |route: &Route| match &route.to {
        RouteTarget::Flow(flow) => config.tenants[route.tenant].flows[*flow].name.clone(),
        RouteTarget::Service(name) => panic!("service {name}"),
    };
    assert_eq!(
        config.routes.iter().map(flow).collect::<Vec<_>>(),
        ["hello", "ivr", "busy"]
    );
    assert_eq!(config.routes[1].domains, ["example.com"]);
    assert_eq!(config.routes[1].sources.len(), 2);
}

#[test]
fn a_small_file_gets_the_defaults() {
    let config = parse("listen = \"udp:127.0.0.1:0\"").unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, Log::default());
    assert!(config.user_agent.starts_with("callbox/"));
    assert!(config.tenants.is_empty() && config.routes.is_empty());
}

#[test]
fn number_rules() {
    let config = parse(FULL).unwrap();
    let exact = &config.routes[0].number;
    assert!(exact.matches("answer") && exact.matches("hello"));
    assert!(!exact.matches("answers") && !exact.matches("ANSWER") && !exact.matches(""));
    let pattern = &config.routes[1].number;
    assert!(pattern.matches("4930123"));
    assert!(!pattern.matches("04930123") && !pattern.matches("49") && !pattern.matches("4930x"));
    assert!(config.routes[2].number.matches(""));
    let config = parse(&FULL.replace("number = [\"answer\", \"hello\"]", "number_prefix = \"+49\"")).unwrap();
    assert!(config.routes[0].number.matches("+4930"));
    assert!(!config.routes[0].number.matches("4930"));
}

#[test]
fn dial_rules() {
    let config = parse(FULL).unwrap();
    assert!(config.tenants[0].dial.is_empty());
    let rules = &config.tenants[1].dial;
    let allowed = |host| {
        rules
            .iter()
            .any(|rule| matches!(rule, DialRule::Host(rule) if rule.matches(host)))
    };
    for host in [
        "example.com",
        "EXAMPLE.com.",
        "a.example.net",
        "a.b.Example.net",
        "172.17.2.3",
        "2001:db8::1",
    ] {
        assert!(allowed(host), "{host}");
    }
    for host in [
        "a.example.com",
        "example.net",
        "badexample.net",
        "11.1.2.3",
        "2001:db8::2",
        "",
        "172.16.0.0/12",
    ] {
        assert!(!allowed(host), "{host}");
    }
}

#[test]
fn a_mistake_names_file_line_key_and_fix() {
    let cases = [
        (
            "calls_max = 10_000",
            "calls_mx = 10",
            "dir/callbox.toml:11: limits.calls_mx: is not a key; did you mean calls_max?",
        ),
        (
            "connections_max = 10",
            "connections_max = 0",
            "dir/callbox.toml:15: limits.wire.connections_max: 0 is too small; write 1 or more (connections)",
        ),
        (
            "connections_max = 10",
            "connections_max = 1_000_001",
            "dir/callbox.toml:15: limits.wire.connections_max: 1000001 is too large; write 1000000 or less (connections)",
        ),
        (
            "connections_max = 10",
            "connections_max = -1",
            "dir/callbox.toml:15: limits.wire.connections_max: -1 is out of range; write a whole number from 0",
        ),
        (
            "connections_max = 10",
            "connections_max = \"10\"",
            "dir/callbox.toml:15: limits.wire.connections_max: is a string; write a whole number without quotes",
        ),
        (
            "[log]",
            "[logg]",
            "dir/callbox.toml:6: logg: is not a key; did you mean log?",
        ),
        (
            "format = \"json\"",
            "format = \"xml\"",
            "dir/callbox.toml:7: log.format: \"xml\" is not a format; write \"text\" or \"json\"",
        ),
        (
            "udp:127.0.0.1:5060",
            "udp:5060",
            "dir/callbox.toml:2: listen[0]: \"udp:5060\" is not a listener; write udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT, as in udp:127.0.0.1:5060 or tls:[::1]:5061",
        ),
        (
            "listen = [\"udp:127.0.0.1:5060\", \"tcp:[::1]:5060\"]",
            "",
            "dir/callbox.toml:1: listen: is missing; write listen = [\"udp:127.0.0.1:5060\"]",
        ),
        (
            "trap_code = 480",
            "trap_code = 503",
            "dir/callbox.toml:22: tenant[0].flow.ivr.trap_code: 503 makes proxies take the whole host for dead; write 500 or another code",
        ),
        (
            "trap_code = 480",
            "trap_code = 200",
            "dir/callbox.toml:22: tenant[0].flow.ivr.trap_code: 200 is not a final failure; write a status from 400 to 699",
        ),
        (
            "auto_ring = false",
            "autoring = false",
            "dir/callbox.toml:21: tenant[0].flow.ivr.autoring: is not a key; did you mean auto_ring?",
        ),
        (
            "tries = 3",
            "tries = []",
            "dir/callbox.toml:25: tenant[0].flow.ivr.config.tries: is a list; write a string: a flow reads its configuration as text",
        ),
        (
            "file = \"/srv/hello.wasm\"",
            "",
            "dir/callbox.toml:26: tenant[0].flow.hello.file: is missing; write file = \"flow.wasm\"",
        ),
        (
            "name = \"umbrella\"",
            "name = \"acme\"",
            "dir/callbox.toml:30: tenant[1].name: \"acme\" is already a tenant; give each tenant a name of its own\n\
             dir/callbox.toml:48: route[2].tenant: \"umbrella\" is not a tenant; there are: acme, acme",
        ),
        (
            "49[0-9]+",
            "49[0-9",
            "dir/callbox.toml:41: route[1].number_pattern: \"49[0-9\" is not a regular expression (unclosed character class); write one as in \"49[0-9]{6,}\"",
        ),
        (
            "10.0.0.0/8",
            "10.0.0.0/99",
            "dir/callbox.toml:43: route[1].source[0]: \"10.0.0.0/99\" is not an address range; write one as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7",
        ),
        (
            "flow = \"busy\"",
            "flow = \"bussy\"",
            "dir/callbox.toml:49: route[2].flow: \"bussy\" is not a flow of \"umbrella\"; did you mean \"busy\"?",
        ),
        (
            "file = \"flows/ivr.wasm\"",
            "file = \"flows/ivr.wasm\"\njob = { start = \"noon\" }",
            "dir/callbox.toml:21: tenant[0].flow.ivr.job.start: \"noon\" is not a start; write start = \"boot\", every = \"15m\" or cron = \"30 3 * * *\"",
        ),
        (
            "file = \"flows/ivr.wasm\"",
            "file = \"flows/ivr.wasm\"\njob = { every = \"15\", restart = true }",
            "dir/callbox.toml:21: tenant[0].flow.ivr.job.every: \"15\" is not a time; write 1 second to 366 days as in \"90s\", \"15m\", \"1h30m\" or \"2d\"\n\
             dir/callbox.toml:21: tenant[0].flow.ivr.job.restart: is for start = \"boot\"; leave it out",
        ),
        (
            "file = \"flows/ivr.wasm\"",
            "file = \"flows/ivr.wasm\"\njob = { every = \"1m\", cron = \"* * * * *\", at = \"12:00\" }",
            "dir/callbox.toml:21: tenant[0].flow.ivr.job.at: is not a key; known here: args, cron, every, restart, start\n\
             dir/callbox.toml:21: tenant[0].flow.ivr.job: has more than one of start, every and cron; write one, or a flow of its own for each",
        ),
        (
            "flow = \"busy\"",
            "service = \"a b\"",
            "dir/callbox.toml:49: route[2].service: \"a b\" is not a name; write 1 to 64 letters, digits, '-', '_', '.' or ','",
        ),
        (
            "flow = \"busy\"",
            "flow = \"busy\"\nservice = \"desk\"",
            "dir/callbox.toml:47: route[2]: has both flow and service; write a route for each",
        ),
        (
            "flow = \"busy\"",
            "",
            "dir/callbox.toml:47: route[2]: leads nowhere; name a flow of the tenant (flow = \"…\") or a service that its sessions accept (service = \"…\")",
        ),
        (
            "flow = \"busy\"",
            "flow = \"other\"",
            "dir/callbox.toml:49: route[2].flow: \"other\" is not a flow of \"umbrella\"; there are: busy",
        ),
        (
            "tenant.flow.ivr]",
            "tenant.flow.\"a b\"]",
            "dir/callbox.toml:19: tenant[0].flow.a b: \"a b\" is not a name; write 1 to 64 letters, digits, '-', '_' or '.'\n\
             dir/callbox.toml:23: tenant[0].flow.ivr.file: is missing; write file = \"flow.wasm\"",
        ),
        (
            "number = [\"answer\", \"hello\"]",
            "number = []",
            "dir/callbox.toml:36: route[0].number: is empty; name one or leave the key out",
        ),
    ];
    for (replace, by, expected) in cases {
        assert_eq!(error(replace, by), expected);
    }
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let error = parse("listn = 1\n[limits]\ncalls_max = 0\n[limits.sip]\nt1 = 1\n")
        .unwrap_err()
        .to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert_eq!(
        lines[0],
        "dir/callbox.toml:1: listen: is missing; write listen = [\"udp:127.0.0.1:5060\"]"
    );
    assert_eq!(
        lines[1],
        "dir/callbox.toml:1: listn: is not a key; did you mean listen?"
    );
    assert!(
        lines[3].starts_with("dir/callbox.toml:5: limits.sip.t1: is not a key; did you mean t1_ms?"),
        "{error}"
    );
}

#[test]
fn a_mistake_of_syntax_has_its_line() {
    let error = parse("listen = [\"udp:127.0.0.1:5060\"]\n[limits\n")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("dir/callbox.toml:2: not TOML: "), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("no/such/callbox.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("no/such/callbox.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_tenant_has_the_limits_of_all_tenants_but_where_it_says_otherwise() {
    let text = FULL
        .replace(
            "[limits.wire]",
            "[limits.tenant]\ncalls_max = 50\nlegs_max = 100\n[limits.wire]",
        )
        .replace(
            "[tenant.flow.ivr]",
            "[tenant.limits]\ncalls_max = 7\n[tenant.flow.ivr]",
        );
    let config = parse(&text).unwrap();
    let of = |tenant: usize| &config.tenants[tenant].limits;
    assert_eq!((of(0).calls_max, of(0).legs_max), (7, 100));
    assert_eq!((of(1).calls_max, of(1).legs_max), (50, 100));
    assert_eq!(of(1).spawns_rate, Limits::default().tenant.spawns_rate);
}

#[test]
fn a_tenants_limit_is_checked_as_the_hosts_and_names_its_line() {
    let tenant = |line: &str| {
        let text = FULL.replace(
            "[tenant.flow.ivr]",
            &format!("[tenant.limits]\n{line}\n[tenant.flow.ivr]"),
        );
        parse(&text).unwrap_err().to_string()
    };
    for (line, error) in [
        (
            "calls_max = 0",
            "dir/callbox.toml:20: tenant[0].limits.calls_max: 0 is too small; write 1 or more (calls)",
        ),
        (
            "cpu_burst_ms = 3_600_001",
            "dir/callbox.toml:20: tenant[0].limits.cpu_burst_ms: 3600001 is too large; write 3600000 or less (milliseconds)",
        ),
        (
            "call_max = 1",
            "dir/callbox.toml:20: tenant[0].limits.call_max: is not a key; did you mean calls_max?",
        ),
    ] {
        let found = tenant(line);
        assert!(found.contains(error), "{found}");
    }
}

#[test]
fn a_limit_that_has_moved_says_where_to() {
    for (group, name, row) in limits::MOVED {
        let text = format!("{FULL}\n[{group}]\n{name} = 100\n");
        let found = parse(&text).unwrap_err().to_string();
        assert!(
            found.contains(&format!("{group}.{name}: is now {row}; write it there")),
            "{found}"
        );
        assert!(
            limits::table().any(|limit| format!("{}.{}", limit.group, limit.name) == *row),
            "{row}"
        );
    }
}
