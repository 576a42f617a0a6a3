//! What is no flow is refused with a sentence for its author; what is one is compiled once.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callbox::config::limits::PluginLimits;
use callbox::plugin::{
    CacheError, CompileError, Engine, LoadError, Loader, Outcome, Source, World, WrongWorld,
};

use crate::flows::{embed, flow, nothing};
use crate::{Sandbox, run, small};

async fn refused(sandbox: &Sandbox, wasm: Vec<u8>) -> LoadError {
    sandbox.load(wasm).await.expect_err("it was loaded")
}

#[tokio::test]
async fn a_text_file_says_what_to_do() {
    let error = refused(&Sandbox::new(small()), b"def on_call(leg): pass\n".to_vec()).await;
    assert!(
        matches!(error, LoadError::NotWasm(_)) && error.to_string().contains("build the source first"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_read_to_its_end() {
    let sandbox = Sandbox::new(PluginLimits {
        component_max_bytes: 65_536,
        ..small()
    });
    let path = sandbox.dir.path().join("big.wasm");
    std::fs::write(&path, vec![0; 70_000]).unwrap();
    assert!(matches!(
        sandbox.loader.load(&path).await,
        Err(LoadError::TooBig { limit: 65_536 })
    ));
    assert!(matches!(
        sandbox.loader.load(&sandbox.dir.path().join("none")).await,
        Err(LoadError::Unreadable(_))
    ));
}

#[tokio::test]
async fn a_file_that_does_not_compile_says_why() {
    let sandbox = Sandbox::new(small());
    let mut cut = nothing();
    cut.truncate(cut.len() / 2);
    for bytes in [cut, b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x0f".to_vec()] {
        let error = refused(&sandbox, bytes).await;
        assert!(
            matches!(&error, LoadError::Compile(CompileError::Refused(_))),
            "{error:?}"
        );
    }
    let error = refused(
        &sandbox,
        wat::parse_str("(module (import \"env\" \"puts\" (func)))").unwrap(),
    )
    .await;
    assert!(error.to_string().contains("env"), "{error}");
}

#[tokio::test]
async fn the_wrong_world_is_named() {
    let sandbox = Sandbox::new(small());
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(
        refused(&sandbox, empty).await,
        LoadError::WrongWorld(WrongWorld::Empty)
    ));
    let other = wat::parse_str("(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) (func (export \"f\") (canon lift (core func $i \"f\"))))").unwrap();
    let error = refused(&sandbox, other).await;
    assert!(
        matches!(error, LoadError::WrongWorld(WrongWorld::Neither(_))),
        "{error:?}"
    );
    let job = embed(
        r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "callbox:flow/job@0.1.0#run") (param i32 i32 i32 i32) (result i32) unreachable))"#,
        "job-flow",
    );
    let version = sandbox.load(job).await.unwrap();
    assert_eq!(version.world(), World::JobFlow);
    let report = run(version).await;
    assert!(
        matches!(&report.outcome, Outcome::NotInstantiated(text) if text.contains("job-flow")),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn imports_that_nobody_grants_are_listed() {
    let sandbox = Sandbox::new(small());
    let component = wat::parse_str(
        r#"(component
            (import "acme:billing/charge@1.0.0" (instance))
            (import "wasi:http/outgoing-handler@0.2.0" (instance))
            (import "wasi:clocks/wall-clock@0.2.0" (instance))
            (instance $handler)
            (export "callbox:flow/handler@0.1.0" (instance $handler)))"#,
    )
    .unwrap();
    let text = refused(&sandbox, component.clone()).await.to_string();
    assert!(
        text.contains("acme:billing") && text.contains("no HTTP") && !text.contains("clocks"),
        "{text}"
    );
    let path = sandbox.dir.path().join("flow.wasm");
    std::fs::write(&path, component).unwrap();
    let inspection = sandbox.loader.inspect(&path).await.unwrap();
    assert!(!inspection.is_flow());
    let text = inspection.to_string();
    assert!(
        text.contains("outgoing-handler@0.2.0: NOT GRANTED") && text.contains("wall-clock@0.2.0: granted"),
        "{text}"
    );
}

#[tokio::test]
async fn a_function_of_another_shape_does_not_link() {
    let component = wat::parse_str(
        r#"(component
            (import "callbox:flow/session@0.1.0" (instance (export "sleep" (func (param "time" string)))))
            (instance $handler)
            (export "callbox:flow/handler@0.1.0" (instance $handler)))"#,
    )
    .unwrap();
    let error = refused(&Sandbox::new(small()), component).await;
    assert!(
        matches!(&error, LoadError::Link(text) if text.contains("sleep")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_instance_that_would_not_fit_is_refused_at_load() {
    let limits = PluginLimits {
        memory_max_bytes: 131_072,
        ..small()
    };
    let error = refused(&Sandbox::new(limits), nothing()).await;
    assert!(
        matches!(
            error,
            LoadError::TooDemanding {
                needs: 262_144,
                limit: 131_072,
                ..
            }
        ),
        "{error:?}"
    );
}

/// One function that takes Cranelift long: thousands of variables, all alive across thousands of branches.
fn slow_to_compile() -> Vec<u8> {
    const LOCALS: usize = 4_000;
    let mut body = String::new();
    for n in 0..12_000 {
        let (a, b, c) = (n % LOCALS, (n * 7) % LOCALS, (n * 13) % LOCALS);
        write!(
            body,
            "(loop $l{n} (local.set {a} (i64.mul (local.get {b}) (i64.add (local.get {c}) (i64.const {n}))))
                (br_if $l{n} (i64.eqz (local.get {a}))))"
        )
        .unwrap();
    }
    flow(
        &format!("(func $slow (local {}) {body})", "i64 ".repeat(LOCALS)),
        "(call $slow) (i32.const 0)",
    )
}

#[tokio::test]
async fn a_file_that_compiles_too_long_is_given_up() {
    let wasm = slow_to_compile();
    let sandbox = Sandbox::new(PluginLimits {
        compile_cpu_s: 1,
        ..small()
    });
    let started = Instant::now();
    let error = refused(&sandbox, wasm.clone()).await;
    assert!(
        matches!(error, LoadError::Compile(CompileError::TooSlow(1))),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    let sandbox = Sandbox::new(PluginLimits {
        compile_wall_ms: 1_000,
        ..small()
    });
    let error = refused(&sandbox, wasm).await;
    assert!(
        matches!(error, LoadError::Compile(CompileError::TooLong(1_000))),
        "{error:?}"
    );
    assert_eq!(
        sandbox.run(nothing()).await.outcome,
        Outcome::Finished,
        "others still load"
    );
}

#[tokio::test]
async fn a_file_that_compiles_too_large_is_given_up() {
    let sandbox = Sandbox::new(PluginLimits {
        compile_memory_bytes: 60 << 20,
        ..small()
    });
    let error = refused(&sandbox, slow_to_compile()).await;
    assert!(
        matches!(
            error,
            LoadError::Compile(CompileError::TooLarge(_) | CompileError::Crashed { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_compiler_that_cannot_be_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(&small(), 1).unwrap();
    let loader = Loader::new(
        engine,
        &dir.path().join("cache"),
        PathBuf::from("/nonexistent/callbox"),
    )
    .unwrap();
    let error = loader.load_bytes(nothing()).await.err().unwrap();
    assert!(error.to_string().contains("/nonexistent/callbox"), "{error}");
}

#[tokio::test]
async fn a_flow_is_compiled_once() {
    let sandbox = Sandbox::new(small());
    assert!(!sandbox.load(nothing()).await.unwrap().inspection().from_cache);
    let version = sandbox.load(nothing()).await.unwrap();
    assert!(version.inspection().from_cache);
    assert_eq!(version.inspection().source, Source::CoreModule);
    assert_eq!(version.version().len(), 12);
    // Another host of the same cache, without a compiler: it needs none.
    let engine = Engine::new(
        &PluginLimits {
            fuel_total: 1_000_000,
            ..small()
        },
        2,
    )
    .unwrap();
    let loader = Loader::new(
        engine,
        &sandbox.dir.path().join("cache"),
        PathBuf::from("/nonexistent"),
    )
    .unwrap();
    let version = loader.load_bytes(nothing()).await.unwrap();
    assert_eq!(run(version).await.outcome, Outcome::Finished);
}

/// The one entry of the cache.
fn entry(sandbox: &Sandbox) -> PathBuf {
    std::fs::read_dir(sandbox.dir.path().join("cache"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|it| it == "cwasm"))
        .unwrap()
}

#[tokio::test]
async fn poisoned_code_is_never_run() {
    let sandbox = Sandbox::new(small());
    sandbox.load(nothing()).await.unwrap();
    let entry = entry(&sandbox);
    let sound = std::fs::read(&entry).unwrap();
    let mut poisoned = sound.clone();
    let middle = poisoned.len() / 2;
    poisoned[middle] ^= 0xff;
    std::fs::write(&entry, &poisoned).unwrap();
    let version = sandbox.load(nothing()).await.unwrap();
    assert!(!version.inspection().from_cache, "it was compiled again");
    assert_eq!(run(version).await.outcome, Outcome::Finished);
    assert_eq!(std::fs::read(&entry).unwrap(), sound, "and the entry healed");
    // Sound, but others could have written it.
    std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!sandbox.load(nothing()).await.unwrap().inspection().from_cache);
}

/// Replaces a sound entry by other code, with the digest that belongs to it.
async fn planted(code: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let sandbox = Sandbox::new(small());
    sandbox.load(nothing()).await.unwrap();
    let entry = entry(&sandbox);
    let sound = std::fs::read(&entry).unwrap();
    let other = code(sound.clone());
    assert_ne!(other, sound);
    std::fs::write(&entry, &other).unwrap();
    std::fs::write(entry.with_extension("sha256"), callbox::plugin::digest_of(&other)).unwrap();
    let version = sandbox.load(nothing()).await.unwrap();
    assert!(!version.inspection().from_cache, "it was compiled again");
    assert_eq!(run(version).await.outcome, Outcome::Finished);
    assert_eq!(
        std::fs::read(&entry).unwrap(),
        sound,
        "and the entry is a new one"
    );
    assert!(sandbox.load(nothing()).await.unwrap().inspection().from_cache);
}

#[tokio::test]
async fn code_for_another_processor_is_made_again() {
    // The features that its processor must have are named in it: these, no machine has.
    planted(|mut code| {
        let mut at = 0;
        while let Some(found) = code[at..].windows(4).position(|it| it == b"has_") {
            at += found + 4;
            code[at - 4..at].copy_from_slice(b"had_");
        }
        code
    })
    .await;
}

#[tokio::test]
async fn code_for_an_engine_with_other_settings_is_made_again() {
    planted(|_| {
        let engine = wasmtime::Engine::new(wasmtime::Config::new().consume_fuel(false)).unwrap();
        let other = wat::parse_str("(component)").unwrap();
        engine.precompile_component(&other).unwrap()
    })
    .await;
    planted(|sound| sound[..sound.len() / 2].to_vec()).await;
}

#[tokio::test]
async fn code_that_does_not_fit_into_the_pool_is_kept_and_not_compiled_at_every_load() {
    let four = "(memory 1) ".repeat(4);
    let many = wat::parse_str(format!(
        "(component {})",
        (0..4)
            .map(|n| format!("(core module $m{n} {four}) (core instance (instantiate $m{n}))"))
            .collect::<String>()
    ))
    .unwrap();
    let sandbox = Sandbox::new(small());
    let unfit = |error: LoadError| assert!(matches!(error, LoadError::Unfit(_)), "{error:?}");
    unfit(refused(&sandbox, many.clone()).await);
    let before = std::fs::metadata(entry(&sandbox)).unwrap().ino();
    unfit(refused(&sandbox, many).await);
    assert_eq!(std::fs::metadata(entry(&sandbox)).unwrap().ino(), before);
}

#[tokio::test]
async fn a_shared_cache_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
    let engine = Engine::new(&small(), 1).unwrap();
    let error = Loader::new(engine, dir.path(), "callbox".into()).err().unwrap();
    assert!(matches!(error, CacheError::NotPrivate { .. }));
}
