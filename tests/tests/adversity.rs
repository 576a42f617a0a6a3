//! What the machine denies: a full disk, folders that cannot be written, files that are gone or spoiled. Each is said in the log,
//! and calls go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use callbox_tests::host::Host;
use callbox_tests::mount::Mount;
use callbox_tests::server::Setup;
use callbox_tests::{cli, flows};

/// In the tests below: calls are answered, whatever else does not work.
fn calls_go_on(host: &Host, count: usize) {
    for _ in 0..count {
        assert_eq!(host.call("answer"), 200, "{}", host.log());
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_full_disk_costs_no_call_and_nothing_that_was_there() {
    let Some(disk) = Mount::tmpfs(6) else { return };
    let setup = Setup::new()
        .root(&format!("state_dir = {:?}", disk.path().join("state")))
        .cache(&disk.path().join("cache"))
        .flow("answer", "hello");
    let mut host = Host::start(&setup, "");
    calls_go_on(&host, 1);
    host.wait_for(1);
    disk.fill();
    calls_go_on(&host, 20);
    host.wait_for_log("call records wait, calls go on");
    disk.free();
    assert_eq!(host.wait_for(21).len(), 21, "none is lost");

    // Neither is a version taken that could not be kept, nor does the one that serves go.
    disk.fill();
    let busy = flows::example("busy");
    let said = host.run(&["deploy", "house/answer", text(&busy)]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.all().contains("No space left"), "{said:#?}");
    calls_go_on(&host, 5);
    // It can be started again, from what is there.
    host.signal("KILL");
    host.begin();
    calls_go_on(&host, 5);
    disk.free();
    let said = host.run(&["deploy", "house/answer", text(&busy)]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(host.call("answer"), 486);
    // The five of before the kill waited in memory when it came.
    assert!(host.wait_for(27).len() >= 27);
}

#[test]
fn folders_of_flows_and_of_compiled_code_may_be_read_only() {
    let Some(disk) = Mount::tmpfs(6) else { return };
    let file = disk.path().join("answer.wasm");
    fs::copy(flows::example("hello"), &file).unwrap();
    let setup = Setup::new()
        .cache(&disk.path().join("cache"))
        .tenant_flow("house", "answer", &file, "");
    let mut host = Host::start(&setup, "");
    let (busy, ring) = (flows::example("busy"), flows::example("ring"));
    let deploy = |host: &Host, file| host.run(&["deploy", "house/answer", text(file)]);
    // Compiled once, and given up again.
    assert_eq!(deploy(&host, &busy).code, Some(0));
    assert_eq!(host.run(&["rollback", "house/answer"]).code, Some(0));
    host.signal("TERM");
    disk.read_only();
    host.begin();
    calls_go_on(&host, 5);
    // What is compiled can be used, and is kept in the state folder; what is not cannot.
    assert_eq!(deploy(&host, &busy).code, Some(0));
    assert_eq!(host.call("answer"), 486);
    let said = deploy(&host, &ring);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.all().contains("compiled code cannot be kept"), "{said:#?}");
    assert_eq!(host.call("answer"), 486);
    assert_eq!(host.run(&["rollback", "house/answer"]).code, Some(0));
    calls_go_on(&host, 5);
}

#[test]
fn a_cache_that_cannot_be_made_is_said_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    fs::write(&place, "a file").unwrap();
    let setup = Setup::new().cache(&place.join("cache")).flow("answer", "hello");
    let config = setup.write(folder.path());
    let said = cli::run(["serve", "--config", text(&config)]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("cache_dir"), "{said:#?}");
}

#[test]
fn a_tenant_file_that_is_missing_takes_out_that_tenant_and_no_other() {
    let tenants = tempfile::tempdir().unwrap();
    let tenant = |number: &str| {
        let hello = flows::example("hello");
        format!("[flow.f]\nfile = {hello:?}\nnumbers = [{number:?}]\n")
    };
    let file = |name: &str| tenants.path().join(format!("{name}.toml"));
    fs::write(file("here"), tenant("here")).unwrap();
    // A link that leads nowhere: somebody has moved what it led to.
    let elsewhere = tenants.path().join("elsewhere");
    symlink(&elsewhere, file("moved")).unwrap();
    let setup = Setup::new()
        .root(&format!("tenants = {:?}", tenants.path()))
        .flow("answer", "hello");
    let host = Host::start(&setup, "");
    host.wait_for_log("moved.toml");
    assert_eq!((host.call("here"), host.call("answer")), (200, 200));
    assert_eq!(host.call("moved"), 404);
    // It is back.
    fs::write(&elsewhere, tenant("moved")).unwrap();
    assert_eq!(host.run(&["reload"]).code, Some(0), "{}", host.log());
    assert_eq!(host.call("moved"), 200);
    // Gone while it serves: a reload is whole or not at all, and its calls go on meanwhile.
    let mut phone = host.phone();
    let mut up = phone.connect("moved");
    fs::remove_file(&elsewhere).unwrap();
    let said = host.run(&["reload"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.all().contains("moved.toml"), "{said:#?}");
    assert_eq!((host.call("here"), host.call("moved")), (200, 200));
    // Without its file it is a tenant no more; the call that is up is.
    fs::remove_file(file("moved")).unwrap();
    assert_eq!(host.run(&["reload"]).code, Some(0), "{}", host.log());
    assert_eq!((host.call("here"), host.call("moved")), (200, 404));
    phone.hang_up(&mut up);
    // The whole folder.
    fs::rename(tenants.path(), tenants.path().with_extension("away")).unwrap();
    assert_eq!(host.run(&["reload"]).code, Some(1));
    assert_eq!((host.call("here"), host.call("answer")), (200, 200));
    fs::rename(tenants.path().with_extension("away"), tenants.path()).unwrap();
    assert_eq!(host.run(&["reload"]).code, Some(0));
}

#[test]
fn records_wait_for_a_spoiled_file_until_somebody_moves_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    fs::write(&path, "not a database, whoever looks at it ".repeat(100)).unwrap();
    let host = Host::start(
        &Setup::new().flow("answer", "hello"),
        &format!("[records]\npath = {path:?}"),
    );
    calls_go_on(&host, 10);
    host.wait_for_log("call records wait, calls go on");
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        calls_go_on(&host, 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::rename(&path, path.with_extension("spoiled")).unwrap();
    assert!(host.wait_for(11).len() > 10, "none is lost");
    host.wait_for_log("call records are written again");
}

#[test]
fn a_program_without_postgresql_says_so_before_anything_is_served() {
    // A program that has it is tested by `make test-postgresql`.
    if std::env::var_os("CALLBOX_TEST_POSTGRESQL").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "[records]\nstore = \"postgresql\"\nurl = \"postgresql://callbox@127.0.0.1:1/calls\"";
    let setup = Setup::new().lines(lines).flow("answer", "hello");
    let config = setup.write(folder.path());
    let said = cli::run(["serve", "--config", text(&config)]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("--features postgresql"), "{said:#?}");
}
