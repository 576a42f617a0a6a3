//! What a tenant's file is, from its first bytes, and how a core module becomes a component.
//!
//! Recognition ([`Source::recognise`]) is cheap and safe on anything, so the host does it; [`encode`] reads all of an
//! untrusted file and is done in the compiling child alone. Knows nothing of engines or caches.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{CanonicalFunction, Parser, Payload};
use wit_component::ComponentEncoder;

/// A file that may become a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A component: taken as it is.
    Component,
    /// A core module: encoded if it carries a component type.
    CoreModule,
}

/// Not WebAssembly; the text says what it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {advice}")]
pub struct NotWasm {
    /// What the file is.
    pub what: &'static str,
    /// What to do next.
    pub advice: &'static str,
}

impl Source {
    /// Recognises a file by its first bytes.
    pub fn recognise(bytes: &[u8]) -> Result<Self, NotWasm> {
        if Parser::is_component(bytes) {
            return Ok(Source::Component);
        }
        if Parser::is_core_wasm(bytes) {
            return Ok(Source::CoreModule);
        }
        let no = |what, advice| Err(NotWasm { what, advice });
        match bytes {
            [] => no("the file is empty", "build the flow again"),
            [0, b'a', b's', b'm', ..] => no(
                "a WebAssembly file of an unknown version",
                "build it as a component of WASI 0.2",
            ),
            [0x7f, b'E', b'L', b'F', ..] => no(
                "a native program or compiled code",
                "callbox compiles WebAssembly itself: give it the .wasm file, not a .so or .cwasm",
            ),
            [b'P', b'K', ..] | [0x1f, 0x8b, ..] => {
                no("an archive", "unpack it and give the .wasm file inside")
            }
            _ => Self::recognise_text(bytes),
        }
    }

    fn recognise_text(bytes: &[u8]) -> Result<Self, NotWasm> {
        // A cut character at the end of the sample is still text.
        let sample = bytes.get(..4_096).unwrap_or(bytes);
        let text = match std::str::from_utf8(sample) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(sample.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
            }
            Err(_) => {
                return Err(NotWasm {
                    what: "not WebAssembly",
                    advice: "a flow is a WebAssembly component (.wasm)",
                });
            }
        };
        let start = text.trim_start();
        Err(
            if start.starts_with("(module") || start.starts_with("(component") {
                NotWasm {
                    what: "WebAssembly in text form",
                    advice: "translate it first: wasm-tools parse flow.wat -o flow.wasm",
                }
            } else {
                NotWasm {
                    what: "a text file",
                    advice: "a flow is a WebAssembly component (.wasm): build the source first, examples/README.md shows how",
                }
            },
        )
    }
}

/// A component from either kind of file. Errors with a text for the flow's author.
pub(super) fn encode(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    match Source::recognise(&bytes).map_err(|error| error.to_string())? {
        Source::Component => one_part(&bytes).map(|()| bytes),
        Source::CoreModule => ComponentEncoder::default()
            .validate(true)
            .module(&bytes)
            .and_then(|encoder| {
                encoder.adapter(
                    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
                )
            })
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| format!("this core module cannot be made a component: {error:#}")),
    }
}

/// Refuses a component that is put together of several with code.
///
/// Where one of them hands another a string, the engine's own code copies and checks it, up to all of the call's memory
/// at once, and no fuel counts it: a flow could hold a thread for as long as its call may last. Components without
/// functions of their own, which tools put in to name types, are welcome.
fn one_part(bytes: &[u8]) -> Result<(), String> {
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("does not compile: {error}"))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentCanonicalSection(functions) if depth > 0 => {
                for function in functions {
                    let function = function.map_err(|error| format!("does not compile: {error}"))?;
                    if matches!(
                        function,
                        CanonicalFunction::Lift { .. } | CanonicalFunction::Lower { .. }
                    ) {
                        return Err(
                            "it is composed of several components with code: link their modules into one component"
                                .to_owned(),
                        );
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_webassembly_is_named() {
        for (bytes, what) in [
            (&b""[..], "the file is empty"),
            (b"export function onCall() {}", "a text file"),
            ("grüße".repeat(1_000).as_bytes(), "a text file"),
            (b"  (component )", "WebAssembly in text form"),
            (b"\x7fELF\x02\x01", "a native program or compiled code"),
            (b"PK\x03\x04", "an archive"),
            (b"\0asm\x09\0\0\0", "a WebAssembly file of an unknown version"),
            (b"\xff\xfe\x01\x02", "not WebAssembly"),
        ] {
            assert_eq!(Source::recognise(bytes).unwrap_err().what, what);
        }
        assert_eq!(Source::recognise(b"\0asm\x01\0\0\0"), Ok(Source::CoreModule));
        assert_eq!(Source::recognise(b"\0asm\x0d\0\x01\0"), Ok(Source::Component));
    }

    #[test]
    fn a_module_without_a_component_type_becomes_an_empty_component() {
        let module = wat::parse_str("(module (func (export \"main\")))").unwrap();
        let component = encode(module).unwrap();
        assert!(Parser::is_component(&component));
    }

    #[test]
    fn a_module_that_cannot_be_encoded_says_why() {
        let module = wat::parse_str("(module (import \"env\" \"puts\" (func)))").unwrap();
        let error = encode(module).unwrap_err();
        assert!(
            error.contains("cannot be made a component") && error.contains("env"),
            "{error}"
        );
    }
}
