//! Flows for the tests: core modules in text form, with the contract's type embedded.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A module whose `on-call` is this body. `parts` are imports, functions and globals; parameters of `on-call`: the
/// leg `$leg`; the body leaves a pointer to the result: `(i32.const 0)` points to an `ok`.
pub(crate) fn flow(parts: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "callbox:flow/session@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "callbox:flow/session@0.1.0" "sleep" (func $sleep (param i32)))
            (import "callbox:flow/sipcall@0.1.0" "[constructor]call" (func $new_call (result i32)))
            (import "callbox:flow/sipcall@0.1.0" "[constructor]gather-options" (func $new_options (result i32)))
            {parts}
            (memory (export "memory") 4)
            (global $bump (mut i32) (i32.const 131072))
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 7)) (i32.const -8)))
                (global.set $bump (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $on_call (export "callbox:flow/handler@0.1.0#on-call") (param $leg i32) (result i32)
                {body})
        )"#
    );
    embed(&text, "call-flow")
}

/// A module in text form with a world of the contract embedded.
pub(crate) fn embed(text: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
        .unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A flow that does nothing and returns ok.
pub(crate) fn nothing() -> Vec<u8> {
    flow("", "(i32.const 0)")
}
