//! Hostile flows in WebAssembly text: `examples/hostile/text`, for what no compiler would write.
//!
//! A core module is given the contract as its component type, or the world of the `.wit` file beside it; a component is
//! taken as it is. Entry point: [`text`].

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Writes the flow of this name into `folder`.
pub fn text(name: &str, folder: &Path) -> PathBuf {
    let source = crate::flows::root()
        .join("examples/hostile/text")
        .join(format!("{name}.wat"));
    let bytes = wat::parse_file(&source).unwrap_or_else(|error| panic!("{error}"));
    write(name, bytes, &source.with_extension("wit"), folder)
}

/// The same for a text of the test's own: a module that exports a call handler.
pub fn module(name: &str, text: &str, folder: &Path) -> PathBuf {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    write(name, bytes, Path::new(""), folder)
}

/// A flow that traps before it has done anything, in a folder of its own.
pub fn traps() -> (tempfile::TempDir, PathBuf) {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32) unreachable))"#;
    let folder = tempfile::tempdir().expect("a folder");
    let file = module("traps", text, folder.path());
    (folder, file)
}

fn write(name: &str, mut bytes: Vec<u8>, world: &Path, folder: &Path) -> PathBuf {
    if bytes.starts_with(b"\0asm\x01") {
        let mut resolve = Resolve::default();
        let (contract, _) = resolve
            .push_dir(crate::flows::root().join("wit"))
            .expect("the contract parses");
        let (package, world) = match fs::read_to_string(world) {
            Ok(text) => (
                resolve.push_str(world, &text).expect("the world parses"),
                "everything",
            ),
            Err(_) => (contract, "call-flow"),
        };
        let world = resolve
            .select_world(&[package], Some(world))
            .expect("the world is there");
        embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)
            .expect("a component type");
    }
    let file = folder.join(format!("{name}.wasm"));
    fs::write(&file, bytes).expect("a file in a temporary folder");
    file
}
