//! Flow files that are right and flow files that are broken: `check` and `serve` say what is wrong and what to do, and
//! one broken file stops nobody else's calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use callbox_tests::cli;
use callbox_tests::flows::{self, Broken};
use callbox_tests::server::Setup;

/// A word that the explanation must hold.
fn says(broken: Broken) -> &'static [&'static str] {
    match broken {
        Broken::Text => &["text file"],
        Broken::Empty => &["empty"],
        Broken::UnknownImport => &["acme:test/vault"],
        Broken::WrongWorld => &["job"],
        Broken::LinksNothing => &["exports nothing"],
        Broken::PlainModule => &["component type"],
        Broken::DoesNotCompile => &["type mismatch"],
        Broken::Truncated => &["unexpected end"],
        Broken::TooLarge => &["32"],
    }
}

#[test]
fn check_explains_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for broken in Broken::ALL {
        let file = broken.write(folder.path());
        let said = cli::run(["check".as_ref(), file.as_os_str()]);
        // A job is a right flow, only not one for calls: `check` names its world, and `serve` refuses it a call.
        let fails = said.code.is_some_and(|code| code != 0);
        assert_eq!(fails, broken != Broken::WrongWorld, "{broken:?}: {said:#?}");
        for word in says(broken) {
            assert!(
                said.all().contains(word),
                "{broken:?} should be explained with `{word}`: {}",
                said.all()
            );
        }
        assert!(
            said.all().contains(&format!("{broken:?}.wasm")),
            "{broken:?}: the file is not named: {}",
            said.all()
        );
        assert!(!said.all().contains("panicked"), "{broken:?}: {}", said.all());
    }
}

#[test]
fn check_describes_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        flows::smallest(folder.path()),
        flows::smallest_module(folder.path()),
        flows::example("hello"),
    ] {
        let said = cli::run(["check".as_ref(), file.as_os_str()]);
        assert_eq!(said.code, Some(0), "{said:#?}");
        assert!(
            said.out.contains("call-flow") || said.out.contains("handler"),
            "the world is named: {}",
            said.out
        );
    }
    let missing = folder.path().join("missing.wasm");
    let said = cli::run(["check".as_ref(), missing.as_os_str()]);
    assert!(
        said.code.is_some_and(|code| code != 0) && said.err.contains("missing.wasm"),
        "{said:#?}"
    );
}

#[test]
fn serve_keeps_serving_beside_every_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::new().flow("answer", "hello");
    for broken in Broken::ALL {
        let file = broken.write(folder.path());
        setup = setup.tenant_flow("umbrella", &format!("{broken:?}"), &file, "");
    }
    let mut server = setup.start();
    let mut phone = server.phone();
    for broken in Broken::ALL {
        server.wait_for_log(&[&format!("{broken:?}.wasm")], Duration::from_secs(20));
        let mut call = phone.invite(&format!("{broken:?}"));
        let response = phone.final_response(&call, "INVITE");
        assert!(
            matches!(response.status(), Some(500 | 503)),
            "{broken:?}: {response:?}"
        );
        phone.ack(&mut call, &response);
    }
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    server.assert_alive();
    for broken in Broken::ALL {
        let log = server.log();
        let explained = says(broken).iter().all(|word| {
            log.lines()
                .any(|line| line.contains(&format!("{broken:?}")) && line.contains(word))
        });
        assert!(
            explained,
            "{broken:?} should be explained with {:?}:\n{log}",
            says(broken)
        );
    }
}

#[test]
fn a_file_that_takes_too_long_to_compile_is_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let slow = flows::slow_to_compile(folder.path());
    let begun = Instant::now();
    let mut server = Setup::new()
        .limit("limits.plugin", "compile_cpu_s", 1)
        .limit("limits.plugin", "compile_wall_ms", 5_000)
        .flow("answer", "hello")
        .tenant_flow("umbrella", "slow", &slow, "")
        .start();
    let line = server.wait_for_log(&["slow.wasm", "compil"], Duration::from_secs(30));
    assert!(begun.elapsed() < Duration::from_secs(30), "{line}");
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    let mut call = phone.invite("slow");
    let response = phone.final_response(&call, "INVITE");
    assert!(matches!(response.status(), Some(500 | 503)), "{response:?}");
    phone.ack(&mut call, &response);
    server.assert_alive();
}

#[test]
fn a_missing_file_stops_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wasm");
    let server = Setup::new()
        .flow("answer", "hello")
        .tenant_flow("umbrella", "missing", &missing, "")
        .start();
    server.wait_for_log(&["missing.wasm"], Duration::from_secs(5));
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
}

#[test]
fn a_second_start_takes_compiled_code_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    // The host makes it, private: a folder that others may write to is refused.
    let cache = folder.path().join("cache");
    let start = || {
        let server = Setup::new().cache(&cache).flow("answer", "hello").start();
        let mut phone = server.phone();
        let mut call = phone.connect("answer");
        phone.hang_up(&mut call);
    };
    start();
    let files = || {
        let mut list: Vec<_> = std::fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap())
            // What is compiled again is another file; the times say when one was used last.
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().ino()))
            .collect();
        list.sort();
        list
    };
    let first = files();
    assert!(!first.is_empty(), "nothing was kept");
    start();
    assert_eq!(files(), first, "the second start compiled again");
}
