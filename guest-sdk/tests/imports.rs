//! A flow may import the contract and nothing else: no WASI, no environment, no clock. The example flows stand for
//! what this SDK and the toolchain put into a flow.

use std::path::Path;

use wasmparser::{Parser, Payload};

const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/target/flows");

/// The modules that a core module imports from, and what it exports.
fn seams(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("valid wasm") {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.push(import.expect("an import").module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export.expect("an export").name.to_owned());
                }
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn every_example_imports_only_the_contract() {
    let files: Vec<_> = std::fs::read_dir(Path::new(FLOWS))
        .expect("no flows to look at: run examples/build.sh first")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "wasm"))
        // What this SDK makes is a core module; flows in other languages come as components, and import what they will.
        .filter(|path| Parser::is_core_wasm(&std::fs::read(path).expect("a readable file")))
        .collect();
    assert!(files.len() >= 12, "only {} flows in {FLOWS}", files.len());
    for file in files {
        let (imports, exports) = seams(&std::fs::read(&file).expect("a readable file"));
        assert!(!imports.is_empty(), "{} imports nothing", file.display());
        for module in imports {
            assert!(
                module.starts_with("callbox:flow/") && module.ends_with("@0.1.0"),
                "{} imports from {module}",
                file.display()
            );
        }
        let entries = ["callbox:flow/handler@0.1.0#on-call", "callbox:flow/job@0.1.0#run"];
        assert!(
            exports.iter().any(|name| entries.contains(&name.as_str())),
            "{} is not a flow",
            file.display()
        );
    }
}
