//! Flow files: those that ship with callbox, and broken ones made for a test.
//!
//! The broken ones are written in WebAssembly text and given the contract of `wit/`, so that each is wrong in one thing only.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A flow of `examples/`, built by `examples/build.sh`; `CALLBOX_FLOWS` names another folder.
pub fn example(name: &str) -> PathBuf {
    let folder = match std::env::var_os("CALLBOX_FLOWS") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("examples/target/flows"),
    };
    let file = folder.join(format!("{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is not there: run `make flows`",
        file.display()
    );
    file
}

/// What can be wrong with a flow's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Prose.
    Text,
    /// No bytes at all.
    Empty,
    /// A component of some other, larger world: an interface is imported that callbox does not have.
    UnknownImport,
    /// A component of the world `job-flow`: it exports no call handler.
    WrongWorld,
    /// A component that imports and exports nothing.
    LinksNothing,
    /// A core module without a component type: nobody said what its functions mean.
    PlainModule,
    /// A component whose code does not type-check.
    DoesNotCompile,
    /// A component cut off in the middle.
    Truncated,
    /// A component of 33 MiB.
    TooLarge,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Empty,
        Self::UnknownImport,
        Self::WrongWorld,
        Self::LinksNothing,
        Self::PlainModule,
        Self::DoesNotCompile,
        Self::Truncated,
        Self::TooLarge,
    ];

    /// Writes such a file.
    pub fn write(self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("{self:?}.wasm"));
        fs::write(&file, self.bytes()).expect("a file in a temporary folder");
        file
    }

    /// What is in such a file.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text => b"This is a letter, not a flow.\n".to_vec(),
            Self::Empty => Vec::new(),
            Self::UnknownImport => {
                // An import that is not called does not survive the encoding.
                let import = r#"(import "acme:test/vault" "open" (func $open))"#;
                component(&on_call(import, &format!("call $open {RETURN_OK}")), "greedy")
            }
            Self::WrongWorld => component(&job(), "job-flow"),
            Self::LinksNothing => wat::parse_str("(component)").expect("an empty component"),
            Self::PlainModule => wat::parse_str(on_call("", RETURN_OK)).expect("a module"),
            Self::DoesNotCompile => component(&on_call("", "i64.const 1"), "call-flow"),
            Self::Truncated => {
                let mut bytes = component(&on_call("", RETURN_OK), "call-flow");
                bytes.truncate(bytes.len() / 2);
                bytes
            }
            Self::TooLarge => {
                let mut bytes = component(&on_call("", RETURN_OK), "call-flow");
                custom_section(&mut bytes, 33 << 20);
                bytes
            }
        }
    }
}

/// Bytes of a flow's file, told apart from all others of the same kind by a custom section with a number.
pub fn numbered(mut bytes: Vec<u8>, number: u64) -> Vec<u8> {
    // A custom section: id 0, its size, the size of its name, name and content.
    bytes.extend([0, 13, 4]);
    bytes.extend(b"mark");
    bytes.extend(&number.to_le_bytes());
    bytes
}

/// A flow that returns at once, as a component: right in everything, the smallest there is.
pub fn smallest(folder: &Path) -> PathBuf {
    let file = folder.join("smallest.wasm");
    fs::write(&file, component(&on_call("", RETURN_OK), "call-flow")).expect("a file in a temporary folder");
    file
}

/// The same as a core module with an embedded component type, which the loader encodes itself.
pub fn smallest_module(folder: &Path) -> PathBuf {
    let file = folder.join("smallest-module.wasm");
    fs::write(&file, module(&on_call("", RETURN_OK), "call-flow")).expect("a file in a temporary folder");
    file
}

/// A flow of a few hundred KB that takes a compiler many seconds: functions in which hundreds of values stay alive over
/// hundreds of loops.
pub fn slow_to_compile(folder: &Path) -> PathBuf {
    const FUNCTIONS: usize = 8;
    const VALUES: usize = 700;
    const LOOPS: usize = 700;
    let mut more = String::new();
    for number in 0..FUNCTIONS {
        write!(more, "(func $slow{number} (param i64) (result i64) (local").unwrap();
        more.push_str(&" i64".repeat(VALUES));
        more.push(')');
        for value in 1..=VALUES {
            write!(more, "local.get 0 i64.const {value} i64.mul local.set {value} ").unwrap();
        }
        for turn in 0..LOOPS {
            let (a, b) = (1 + turn % VALUES, 1 + (turn * 7 + 3) % VALUES);
            write!(
                more,
                "(loop $l local.get {a} local.get {b} i64.add local.tee {a} i64.const {turn} i64.gt_u br_if $l) "
            )
            .unwrap();
        }
        more.push_str("i64.const 0 ");
        for value in 1..=VALUES {
            write!(more, "local.get {value} i64.xor ").unwrap();
        }
        more.push(')');
    }
    let calls: String = (0..FUNCTIONS)
        .map(|number| format!("i64.const 1 call $slow{number} drop "))
        .collect();
    let file = folder.join("slow.wasm");
    let bytes = component(&on_call(&more, &format!("{calls}{RETURN_OK}")), "call-flow");
    fs::write(&file, bytes).expect("a file in a temporary folder");
    file
}

/// `ok` of `result<_, string>`: a zero byte where the pointer leads.
const RETURN_OK: &str = "i32.const 1024";

/// A core module that exports a call handler with this body.
fn on_call(more: &str, body: &str) -> String {
    format!(
        r#"(module
          {more}
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32) {body}))"#
    )
}

/// A core module that exports a job.
fn job() -> String {
    r#"(module
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "callbox:flow/job@0.1.0#run") (param i32 i32 i32 i32) (result i32) i32.const 1024))"#
        .to_owned()
}

fn module(text: &str, world: &str) -> Vec<u8> {
    let mut bytes = wat::parse_str(text).expect("the text is a module");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("the contract parses");
    let package = if world == "greedy" {
        let text = "package acme:test; interface vault { open: func(); } \
                    world greedy { import vault; include callbox:flow/call-flow@0.1.0; }";
        resolve
            .push_str("greedy.wit", text)
            .expect("a world that extends the contract")
    } else {
        package
    };
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world is in the contract");
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8).expect("a component type");
    bytes
}

fn component(text: &str, world: &str) -> Vec<u8> {
    ComponentEncoder::default()
        .validate(false)
        .module(&module(text, world))
        .and_then(|mut encoder| encoder.encode())
        .expect("the module becomes a component")
}

/// Appends a custom section of so many bytes, which changes nothing but the size.
fn custom_section(bytes: &mut Vec<u8>, size: usize) {
    let mut section = vec![3, b'p', b'a', b'd'];
    section.resize(size, 0);
    bytes.push(0);
    let mut left = section.len();
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend(section);
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_ones_are_components_and_the_broken_ones_are_broken_in_their_way() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path| fs::read(path).unwrap();
        let is_component = |bytes: &[u8]| bytes.starts_with(b"\0asm\x0d\0\x01\0");
        assert!(is_component(&read(smallest(folder.path()))));
        assert!(read(smallest_module(folder.path())).starts_with(b"\0asm\x01\0\0\0"));
        for broken in Broken::ALL {
            let bytes = read(broken.write(folder.path()));
            let expected = !matches!(broken, Broken::Text | Broken::Empty | Broken::PlainModule);
            assert_eq!(is_component(&bytes), expected, "{broken:?}");
        }
        let unknown = read(Broken::UnknownImport.write(folder.path()));
        assert!(
            unknown.windows(15).any(|it| it == b"acme:test/vault"),
            "the import is there"
        );
        assert!(read(Broken::TooLarge.write(folder.path())).len() > 32 << 20);
        assert!(read(slow_to_compile(folder.path())).len() < 1 << 20);
    }
}
