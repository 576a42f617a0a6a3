//! What a flow must export and may import: the contract of `wit/`, checked on a compiled component.
//!
//! Entry types: [`World`], [`Import`]. The linker would refuse the same components, but with words for people who
//! wrote the host, not for those who wrote the flow. Knows nothing of calls.

use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The package of the contract, and its version here.
pub(super) const PACKAGE: &str = "callbox:flow";
const VERSION: (u64, u64) = (0, 1);
/// Interfaces of the package that are linked.
const INTERFACES: [&str; 6] = [
    "types",
    "sipcall",
    "registration",
    "subscription",
    "events",
    "session",
];
/// Packages of WASI 0.2 that are linked, with nothing in them but clocks and random numbers.
const WASI: [&str; 6] = [
    "wasi:io",
    "wasi:clocks",
    "wasi:random",
    "wasi:cli",
    "wasi:filesystem",
    "wasi:sockets",
];

/// Which world of the package a component implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// One instance for each incoming call.
    CallFlow,
    /// One instance for each job.
    JobFlow,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::CallFlow => "call-flow",
            World::JobFlow => "job-flow",
        })
    }
}

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The full name: `callbox:flow/session@0.1.0`.
    pub name: String,
    /// Why it cannot be linked; `None` when it is.
    pub refused: Option<&'static str>,
    /// The functions of it, in its order, as the interface names them: `call.make-call`, `spawn`; of a resource's making
    /// and dropping nothing is said.
    pub functions: Vec<String>,
}

impl Import {
    /// The name within the contract's package (`session`), if it is one of the contract's interfaces.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        Name::parse(&self.name)
            .filter(|name| name.package == PACKAGE)
            .map(|name| name.interface)
    }
}

/// A component's exports do not make it a flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongWorld {
    /// Exports nothing at all.
    #[error(
        "the component exports nothing. A core module must carry a component type: build it with wit-bindgen \
         (callbox-sdk does), against the world `call-flow` of callbox:flow@0.1.0"
    )]
    Empty,
    /// Exports neither `handler` nor `job`.
    #[error(
        "the component exports {0}, but neither `callbox:flow/handler@0.1.0` (world call-flow) nor \
         `callbox:flow/job@0.1.0` (world job-flow)"
    )]
    Neither(String),
    /// Made for another version of the contract.
    #[error(
        "the component exports `{0}`, but this host speaks version 0.1 of callbox:flow: build it against this host's wit/"
    )]
    Version(String),
    /// A program with a `main`.
    #[error(
        "the component is a command (it exports `wasi:cli/run`): build a library (Rust: crate-type = [\"cdylib\"]; C: \
         -mexec-model=reactor) against the world `call-flow`"
    )]
    Command,
}

impl World {
    /// The world that a component implements, from the names of its exports.
    pub(super) fn of(component: &Component) -> Result<Self, WrongWorld> {
        let ty = component.component_type();
        let names: Vec<String> = ty
            .exports(component.engine())
            .map(|(name, _)| name.to_owned())
            .collect();
        Self::of_exports(&names)
    }

    fn of_exports(names: &[String]) -> Result<Self, WrongWorld> {
        for name in names {
            let Some(interface) = Name::parse(name).filter(|name| name.package == PACKAGE) else {
                continue;
            };
            let world = match interface.interface {
                "handler" => World::CallFlow,
                "job" => World::JobFlow,
                _ => continue,
            };
            return if interface.is_compatible(VERSION) {
                Ok(world)
            } else {
                Err(WrongWorld::Version(name.clone()))
            };
        }
        if names.iter().any(|name| name.starts_with("wasi:cli/run@")) {
            return Err(WrongWorld::Command);
        }
        if names.is_empty() {
            Err(WrongWorld::Empty)
        } else {
            Err(WrongWorld::Neither(list(names)))
        }
    }
}

/// The imports of a component, in its order.
pub(super) fn imports(component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    ty.imports(component.engine())
        .map(|(name, import)| Import {
            name: name.to_owned(),
            refused: refusal(name),
            functions: match import.ty {
                ComponentItem::ComponentInstance(instance) => instance
                    .exports(component.engine())
                    .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
                    .filter_map(|(name, _)| function(name))
                    .map(str::to_owned)
                    .collect(),
                _ => Vec::new(),
            },
        })
        .collect()
}

/// `[method]call.make-call` without its annotation; none for a constructor.
fn function(name: &str) -> Option<&str> {
    match name.strip_prefix('[') {
        None => Some(name),
        Some(annotated) => match annotated.split_once(']')? {
            ("constructor", _) => None,
            (_, name) => Some(name),
        },
    }
}

fn refusal(name: &str) -> Option<&'static str> {
    let Some(import) = Name::parse(name) else {
        return Some("not an interface: a flow imports interfaces of callbox:flow and WASI 0.2 only");
    };
    if import.package == PACKAGE {
        return if !INTERFACES.contains(&import.interface) {
            Some("callbox:flow has no such interface")
        } else if !import.is_compatible(VERSION) {
            Some("another version: this host speaks callbox:flow 0.1")
        } else {
            None
        };
    }
    if WASI.contains(&import.package) {
        return if import.is_compatible((0, 2)) {
            None
        } else {
            Some("another version: this host has WASI 0.2")
        };
    }
    match import.package {
        "wasi:http" => Some("not granted: flows have no HTTP"),
        package if package.starts_with("wasi:") => Some("not granted: not part of what flows get from WASI"),
        _ => Some("unknown to this host"),
    }
}

/// `package/interface@version`, taken apart.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: Option<(u64, u64)>,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (name, None),
        };
        let (package, interface) = path.split_once('/')?;
        let version = version.and_then(|version| {
            let mut parts = version.split(['.', '-', '+']);
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        });
        Some(Self {
            package,
            interface,
            version,
        })
    }

    /// Versions below 1.0 are compatible when major and minor agree.
    fn is_compatible(&self, version: (u64, u64)) -> bool {
        self.version == Some(version)
    }
}

/// Names for a sentence; at most eight, because a hostile component may have thousands.
fn list(names: &[String]) -> String {
    let mut text: Vec<String> = names
        .iter()
        .take(8)
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    if names.len() > 8 {
        text.push(format!("{} more", names.len() - 8));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn world(names: &[&str]) -> Result<World, WrongWorld> {
        World::of_exports(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn exports_make_the_world() {
        assert_eq!(
            world(&["memory", "callbox:flow/handler@0.1.0"]),
            Ok(World::CallFlow)
        );
        assert_eq!(world(&["callbox:flow/job@0.1.7"]), Ok(World::JobFlow));
        assert_eq!(world(&[]), Err(WrongWorld::Empty));
        assert_eq!(world(&["wasi:cli/run@0.2.6"]), Err(WrongWorld::Command));
        assert!(matches!(
            world(&["callbox:flow/handler@0.2.0"]),
            Err(WrongWorld::Version(_))
        ));
        assert!(matches!(
            world(&["callbox:flow/handler"]),
            Err(WrongWorld::Version(_))
        ));
        let many: Vec<String> = (0..1_000).map(|n| format!("export-{n}")).collect();
        let text = World::of_exports(&many).unwrap_err().to_string();
        assert!(text.contains("992 more") && text.len() < 400, "{text}");
    }

    #[test]
    fn imports_are_granted_or_refused_with_a_reason() {
        for granted in [
            "callbox:flow/session@0.1.0",
            "callbox:flow/sipcall@0.1.9",
            "wasi:clocks/wall-clock@0.2.3",
        ] {
            assert_eq!(refusal(granted), None, "{granted}");
        }
        for (name, reason) in [
            ("callbox:flow/media@0.1.0", "no such interface"),
            ("callbox:flow/session@0.2.0", "another version"),
            ("wasi:clocks/wall-clock@0.3.0", "another version"),
            ("wasi:http/outgoing-handler@0.2.0", "no HTTP"),
            ("wasi:keyvalue/store@0.2.0", "not granted"),
            ("acme:billing/charge@1.0.0", "unknown"),
            ("print", "not an interface"),
        ] {
            assert!(refusal(name).unwrap().contains(reason), "{name}");
        }
    }
}
