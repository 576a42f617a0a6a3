//! The command line as an operator meets it: help, version, and mistakes that are explained.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use callbox_tests::server::Setup;
use callbox_tests::{cli, net};

#[test]
fn version_names_the_program() {
    let said = cli::run(["--version"]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.starts_with("callbox 0."), "{}", said.out);
}

#[test]
fn help_shows_how_to_use_each_command() {
    let said = cli::run(["--help"]);
    assert_eq!(said.code, Some(0));
    for part in ["serve", "check", "callbox serve --config"] {
        assert!(said.out.contains(part), "no `{part}` in:\n{}", said.out);
    }
    assert!(
        !said.out.contains("compile "),
        "the compiling child is nobody's command:\n{}",
        said.out
    );
    for (command, parts) in [("serve", ["--config", "--listen"]), ("check", ["FLOW", "check"])] {
        let said = cli::run([command, "--help"]);
        assert_eq!(said.code, Some(0));
        for part in parts {
            assert!(
                said.out.contains(part),
                "`{command} --help` has no `{part}`:\n{}",
                said.out
            );
        }
    }
}

#[test]
fn a_mistake_on_the_command_line_is_explained() {
    let said = cli::run(["srve"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("serve"), "{}", said.err);
    let said = cli::run(["serve", "--config", "nowhere.toml"]);
    assert!(said.code.is_some_and(|code| code != 0), "{said:#?}");
    assert!(said.err.contains("nowhere.toml"), "{}", said.err);
}

#[test]
fn a_mistake_in_the_configuration_names_file_line_key_and_fix() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.toml");
    fs::write(
        &file,
        "listen = [\"udp:127.0.0.1:0\"]\n\n[limits]\ncalls_mx = 10\n",
    )
    .unwrap();
    let said = cli::run(["serve".as_ref(), "--config".as_ref(), file.as_os_str()]);
    assert!(said.code.is_some_and(|code| code != 0), "{said:#?}");
    for part in ["callbox.toml:4", "calls_mx", "calls_max"] {
        assert!(said.err.contains(part), "no `{part}` in:\n{}", said.err);
    }
    assert!(
        !said.err.contains("panicked") && !said.err.contains("backtrace"),
        "{}",
        said.err
    );
}

#[test]
fn limits_are_shown_as_a_file_and_a_tenants_table_set_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.toml");
    fs::write(
        &file,
        "listen = [\"udp:127.0.0.1:0\"]\n[limits.trace]\ntries = 2\n[limits.tenant]\ncalls_max = 100\nlegs_max = 90\n\
         [[tenant]]\nname = \"acme\"\nlimits.calls_max = 7\nflow.f.file = \"f.wasm\"\n",
    )
    .unwrap();
    let limits = |more: &[&str]| {
        let mut arguments = vec!["limits", "--config", file.to_str().unwrap()];
        arguments.extend(more);
        cli::run(arguments)
    };
    let said = limits(&[]);
    for line in ["[limits.trace]\n", "\ntries = 2  #", "\ncalls_max = 100  #"] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    let said = limits(&["--tenant", "acme"]);
    assert!(
        said.out.starts_with("[limits.tenant]\ncalls_max = 7  #"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("\nlegs_max = 90  #") && !said.out.contains("tries"),
        "{}",
        said.out
    );
    let said = limits(&["--tenant", "acm"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("no tenant \"acm\", but acme"), "{}", said.err);
}

#[test]
fn an_address_in_use_is_named() {
    let address = net::fresh_ipv4();
    let _taken = UdpSocket::bind((address, 5060)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.toml");
    fs::write(&file, format!("listen = [\"udp:{address}:5060\"]\n")).unwrap();
    let said = cli::run(["serve".as_ref(), "--config".as_ref(), file.as_os_str()]);
    assert!(said.code.is_some_and(|code| code != 0), "{said:#?}");
    assert!(said.all().contains(&format!("{address}:5060")), "{said:#?}");
}

#[test]
fn listen_overrides_the_configured_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.toml");
    // Port 1 of an address that cannot be bound: only the override can make this start.
    fs::write(&file, "listen = [\"udp:192.0.2.1:1\"]\n").unwrap();
    let address = net::fresh_ipv4();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut command = cli::command();
    command.args([
        "serve",
        "--listen",
        &format!("udp:{address}:5060"),
        "--listen",
        &format!("tcp:{address}:5060"),
    ]);
    command
        .arg("--config")
        .arg(&file)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut running = callbox_tests::process::Running::start(&mut command).unwrap();
    let mut phone = callbox_tests::phone::Phone::udp((address, 5060).into());
    let answered = (0..100).any(|_| {
        phone.send_options();
        phone.receive(Duration::from_millis(100)).is_some()
    });
    assert!(
        answered,
        "{:?}: {}",
        running.ended(),
        fs::read_to_string(folder.path().join("log")).unwrap()
    );
    let mut phone = callbox_tests::phone::Phone::tcp((address, 5060).into());
    phone.send_options();
    assert!(phone.receive(Duration::from_secs(5)).is_some());
}

#[test]
fn a_stopped_server_hangs_up_and_leaves_with_zero() {
    let mut server = Setup::new().flow("answer", "hello").start();
    let mut phone = server.phone();
    let call = phone.connect("answer");
    let listener = std::thread::spawn(move || phone.expect_bye(&call));
    let code = server.stop(Duration::from_secs(10));
    assert!(listener.join().is_ok(), "the caller was not told");
    assert_eq!(code, Some(0), "{}", server.log());
}

#[test]
fn every_line_of_a_call_says_whose_it_is() {
    let server = Setup::new().flow("answer", "hello").start();
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    let line = server.wait_for_log(&["is talking to"], Duration::from_secs(5));
    phone.hang_up(&mut call);
    for part in ["house", "answer", call.id.as_str()] {
        assert!(line.contains(part), "no `{part}` in: {line}");
    }
}
