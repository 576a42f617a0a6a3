//! Tenants in files of their own: what the commands say of them, and that one's mistake is nobody else's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};

use callbox_tests::cli::{self, Said};
use callbox_tests::flows;

/// An operator's file beside tenant files.
fn write(folder: &Path, operator: &str, tenants: &[(&str, &str)]) -> PathBuf {
    let below = folder.join("tenants");
    fs::create_dir_all(&below).unwrap();
    for (name, text) in tenants {
        fs::write(below.join(format!("{name}.toml")), text).unwrap();
    }
    let config = folder.join("callbox.toml");
    let text =
        format!("listen = \"udp:127.0.0.1:0\"\ncache_dir = \"cache\"\ntenants = \"tenants\"\n{operator}\n");
    fs::write(&config, text).unwrap();
    config
}

fn acme() -> String {
    format!(
        "domains = \"acme.example\"\n[flow.hello]\nfile = {:?}\nnumbers = [\"100\", \"+4930*\"]\n",
        flows::example("hello")
    )
}

fn run(command: &[&str], config: &Path, more: &[&str]) -> Said {
    let config = config.to_str().unwrap();
    cli::run([command, &["--config", config], more].concat())
}

#[test]
fn check_says_all_that_is_wrong_in_all_files_and_loads_the_flows() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "", &[("acme", &acme())]);
    let said = run(&["check"], &config, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("flow acme/hello: version ") && said.out.contains("tenants: 1, routes: 2, ok"),
        "{said:?}"
    );

    let gone = acme().replace(".wasm", ".gone");
    let config = write(folder.path(), "", &[("acme", &gone)]);
    let said = run(&["check"], &config, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("flow acme/hello: would not be loaded: "),
        "{said:?}"
    );
    assert_eq!(run(&["check"], &config, &["--no-flows"]).code, Some(0));

    let config = write(
        folder.path(),
        "[log]\nlevl = \"info\"",
        &[("acme", "x = 1\n"), ("zeta", "y = 1\n")],
    );
    let said = run(&["check"], &config, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for part in [
        "callbox.toml:5: log.levl: is not a key; did you mean level?",
        "tenants/acme.toml:1: x: is not a key",
        "tenants/zeta.toml:1: y: is not a key",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = run(&["check"], &folder.path().join("nowhere.toml"), &[]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn route_test_says_who_would_answer_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let operator =
        "[[route]]\nnumber = \"100\"\nsource = \"10.0.0.0/8\"\ntenant = \"acme\"\nservice = \"desk\"";
    let config = write(
        folder.path(),
        operator,
        &[("acme", &acme()), ("broken", "x = 1\n")],
    );
    let ask = |more: &[&str]| run(&["route-test"], &config, more);

    let said = ask(&[
        "--to",
        "sip:100@ACME.example:5070",
        "--source",
        "192.0.2.7",
        "--from",
        "+49891",
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "left out: ",
        "a call to \"100\" at acme.example, from 192.0.2.7, of \"+49891\"",
        "callbox.toml:4: 100 from 10.0.0.0/8 (tenant acme): no: the source",
        "tenants/acme.toml:4: 100 at acme.example: yes",
        "tenant acme, flow hello: ",
        "hello.wasm, version ",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = ask(&["--to", "100", "--source", "10.1.1.1"]);
    assert!(
        said.code == Some(0) && said.out.contains("accepts \"desk\""),
        "{said:?}"
    );

    let said = ask(&["--to", "+49301", "--domain", "other.example", "--source", "::1"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .contains("+4930… at acme.example (tenant acme): no: the domain")
            && said.out.contains("404"),
        "{said:?}"
    );
    assert_eq!(ask(&["--to", "a:b", "--source", "::1"]).code, Some(2));
}
