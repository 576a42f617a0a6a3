//! `[[tenant]]`: whose flows there are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::limits::Limits;
use super::reader::{Section, Source};

/// A customer of this host: a name and its flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Unique in the file.
    pub name: String,
    /// Unique names within the tenant.
    pub flows: Vec<Flow>,
}

/// One flow of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The name that routes use.
    pub name: String,
    /// The component (or the core module with an embedded component type).
    pub file: PathBuf,
    /// Whether 180 is sent before the flow runs, when it does not do so itself. Default true.
    pub auto_ring: bool,
    /// The status that the caller gets when the flow traps before it answered.
    ///
    /// 500 by default and never 503: many proxies take a 503 from one call as "this whole host is down" and send
    /// everybody's calls elsewhere (RFC 3261 §21.5.4), so one tenant's broken flow would silence all the others.
    pub trap_code: u16,
    /// What `session.config` returns: text by key.
    pub config: BTreeMap<String, String>,
}

pub(super) fn read(source: &Source<'_>, sections: Vec<Section<'_, '_>>, limits: &Limits) -> Vec<Tenant> {
    let mut tenants: Vec<Tenant> = Vec::new();
    let mut flows_total = 0;
    for mut section in sections {
        let at = section.at();
        let path = section.path().to_owned();
        let name = section.required_string("name", "write name = \"acme\"");
        let flows = section
            .section("flow")
            .map(Section::named_sections)
            .unwrap_or_default();
        section.finish();
        let Some(name) = name else { continue };
        check_name(source, name.at, &name.key, &name.value);
        if tenants.iter().any(|other| other.name == name.value) {
            source.problem(&name, "is already a tenant", "give each tenant a name of its own");
        }
        if flows.is_empty() {
            let example = format!("write [tenant.flow.hello] below {path} with file = \"hello.wasm\"");
            source.note(
                at,
                path,
                format!("tenant {:?} has no flow; {example}", name.value),
            );
        }
        flows_total += flows.len();
        let flows = flows
            .into_iter()
            .map(|(name, section)| read_flow(source, name, section))
            .collect();
        tenants.push(Tenant {
            name: name.value,
            flows,
        });
    }
    if flows_total > limits.host.flows_max {
        let text = format!(
            "{flows_total} flows; raise limits.flows_max ({})",
            limits.host.flows_max
        );
        source.note(0, "tenant".to_owned(), text);
    }
    tenants
}

fn read_flow(source: &Source<'_>, name: String, mut section: Section<'_, '_>) -> Flow {
    check_name(source, section.at(), section.path(), &name);
    let file = section.required_string("file", "write file = \"flow.wasm\"");
    let auto_ring = section.boolean("auto_ring").unwrap_or(true);
    let trap_code = section
        .number("trap_code")
        .map_or(500, |code| match u16::try_from(code.value) {
            Ok(503) => {
                let text =
                    "503 makes proxies take the whole host for dead; write 500 or another code".to_owned();
                source.note(code.at, code.key, text);
                500
            }
            Ok(value) if (400..700).contains(&value) => value,
            _ => {
                let text = format!(
                    "{} is not a final failure; write a status from 400 to 699",
                    code.value
                );
                source.note(code.at, code.key, text);
                500
            }
        });
    let config = section
        .section("config")
        .map(Section::pairs)
        .unwrap_or_default()
        .into_iter()
        .collect();
    section.finish();
    // Kept even when the file is missing: the problem is noted, and routes to this flow are not a second one.
    let file = source.path(&file.map(|file| file.value).unwrap_or_default());
    Flow {
        name,
        file,
        auto_ring,
        trap_code,
        config,
    }
}

/// Names stand in logs, metrics and file names, so they are plain.
fn check_name(source: &Source<'_>, at: usize, key: &str, name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let text = format!("{name:?} is not a name; write 1 to 64 letters, digits, '-', '_' or '.'");
        source.note(at, key.to_owned(), text);
    }
}
