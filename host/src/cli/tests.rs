//! The command line by itself: what parses, what the help says, and what it costs to get it wrong.

#![allow(clippy::unwrap_used)]

use clap::CommandFactory;

use super::*;

fn help(of: &str) -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    command
        .find_subcommand_mut(of)
        .unwrap()
        .render_long_help()
        .to_string()
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_names_what_people_use_and_hides_the_rest() {
    let help = Cli::command().render_long_help().to_string();
    for shown in [
        "serve",
        "check",
        "limits",
        "callbox serve --config callbox.toml",
        "Exit status",
    ] {
        assert!(help.contains(shown), "{shown}: {help}");
    }
    assert!(!help.contains("compile "), "{help}");
}

#[test]
fn every_subcommand_has_examples() {
    for (name, parts) in [
        (
            "serve",
            &[
                "Examples:",
                "--listen udp:127.0.0.1:5070",
                "--log-format",
                "SIGTERM",
            ][..],
        ),
        (
            "call",
            &[
                "Examples:",
                "TENANT/FLOW",
                "KEY=VALUE",
                "--listen",
                "Exit status: 0",
            ],
        ),
        ("check", &["Examples:", "Exit status: 0", "FLOW.wasm"]),
        ("limits", &["Examples:", "callbox limits"]),
        (
            "route-test",
            &["Examples:", "--source 192.0.2.7", "Exit status: 0"],
        ),
        ("reload", &["Example:", "--config", "Exit status: 0"]),
        ("schema", &["Examples:", "--tenant", "#:schema"]),
    ] {
        let help = help(name);
        for part in parts {
            assert!(help.contains(part), "{name} lacks {part}: {help}");
        }
    }
}

#[test]
fn listen_may_be_repeated_and_is_checked() {
    let parse = |listen: &[&str]| {
        let mut arguments = vec!["callbox", "serve", "--config", "c"];
        arguments.extend(listen.iter().flat_map(|listen| ["--listen", listen]));
        Cli::try_parse_from(arguments)
    };
    assert!(parse(&["udp:127.0.0.1:5060", "tcp:[::1]:5060"]).is_ok());
    let error = parse(&["udp:5060"]).unwrap_err().to_string();
    assert!(error.contains("write udp:ADDRESS:PORT"), "{error}");
}

#[test]
fn the_table_of_limits_is_toml_that_the_host_reads_back() {
    let mut printed = Vec::new();
    limits::print(&mut printed, &Default::default()).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    let file = format!("listen = \"udp:127.0.0.1:0\"\n{printed}");
    let config = crate::config::Config::parse(std::path::Path::new("c"), &file).unwrap();
    assert_eq!(config.limits, Default::default());
    assert!(
        printed.contains("[limits.wire]\n") && printed.contains("When hit: "),
        "{printed}"
    );
}
