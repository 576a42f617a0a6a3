//! `[[tenant]]`: whose flows there are, where they may call, and as whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use super::credential::{self, Credential};
use super::limits::{Limits, TenantLimits};
use super::on_trap::{self, OnTrap};
use super::origin::Origin;
use super::policy::{self, Policy};
use super::reader::{Located, Section, Source};
use super::route::{self, FlowNumbers, Route, Scope};
use super::trunk::{self, Trunk};
use super::{Capability, DialRule, Granted, Job};

/// A customer of this host: a name and its flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Unique in the file.
    pub name: String,
    /// Unique names within the tenant.
    pub flows: Vec<Flow>,
    /// `dial`: where its flows may call. Empty, the default, is nowhere: a flow is somebody else's code, and calls
    /// cost money.
    pub dial: Vec<DialRule>,
    /// `caller_ids`: the user parts that its flows may put into From; the first is taken when a flow names none. When
    /// empty the tenant's name stands there and no flow can choose.
    pub caller_ids: Vec<String>,
    /// `[tenant.credential.NAME]`: logins that flows use by name.
    pub credentials: Vec<Credential>,
    /// `[tenant.trunk.NAME]`: outbound proxies, and what may be dialled through them.
    pub trunks: Vec<Trunk>,
    /// `[tenant.limits]`: what its flows have together; what it does not say is as in `[limits.tenant]`.
    pub limits: TenantLimits,
    /// What bounds `dial`: denials, dear numbers, headers, media, the budget.
    pub policy: Policy,
    /// `grants`: what its flows may do, within `[ceiling]`.
    pub granted: Granted,
}

impl Tenant {
    /// Whether another flow hands its calls over to this one.
    #[must_use]
    pub fn is_fallback(&self, flow: &str) -> bool {
        let mut named = self.flows.iter().flat_map(|flow| flow.on_trap.fallbacks());
        named.any(|name| name == flow)
    }
}

/// One flow of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The name that routes use.
    pub name: String,
    /// The component (or the core module with an embedded component type).
    pub file: PathBuf,
    /// `watch`: the file is taken as a new version when it changes. Default true.
    pub watch: bool,
    /// Whether 180 is sent before the flow runs, when it does not do so itself. Default true.
    pub auto_ring: bool,
    /// The status that the caller gets when the flow traps before it answered.
    ///
    /// 500 by default and never 503: many proxies take a 503 from one call as "this whole host is down" and send
    /// everybody's calls elsewhere (RFC 3261 §21.5.4), so one tenant's broken flow would silence all the others.
    /// `trap_code`, or `code` in the table `on_trap`.
    pub trap_code: u16,
    /// `[tenant.flow.NAME.on_trap]`: who takes a call over.
    pub on_trap: OnTrap,
    /// What `session.config` returns: text by key.
    pub config: BTreeMap<String, String>,
    /// `[tenant.flow.NAME.job]`: the flow is a job. One without this table may be a job all the same, for who asks for it.
    pub job: Option<Job>,
    /// `grants`: what it may do, within what its tenant may.
    pub granted: Granted,
}

/// A tenant as its table has it, before it is known which calls are whose.
pub(super) struct Entry {
    pub(super) tenant: Tenant,
    /// Where the table begins.
    pub(super) origin: Origin,
    /// Its own routes; [`Route::tenant`] is still to be filled in.
    pub(super) routes: Vec<Route>,
}

/// What the operator's file says for all tenants.
pub(super) struct Common<'a> {
    /// `[limits.tenant]`
    pub(super) limits: &'a TenantLimits,
    /// `[ceiling]`
    pub(super) ceiling: &'a Granted,
}

/// Every `[[tenant]]` of the operator's file.
pub(super) fn read(source: &Source<'_>, sections: Vec<Section<'_, '_>>, common: &Common<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for mut section in sections {
        let name = section.required_string("name", "write name = \"acme\"");
        let entry = read_one(
            source,
            name.as_ref().map_or("", |name| name.value.as_str()),
            section,
            common,
        );
        let Some(name) = name else { continue };
        check_name(source, name.at, &name.key, &name.value);
        if entries.iter().any(|other| other.tenant.name == name.value) {
            source.problem(&name, "is already a tenant", "give each tenant a name of its own");
        }
        entries.push(entry);
    }
    entries
}

/// One tenant: the one place that knows its keys, wherever the table stands. Every key is asked for here or by what this
/// calls, whatever the others say, so that the schema can be read off.
pub(super) fn read_one(
    source: &Source<'_>,
    name: &str,
    mut section: Section<'_, '_>,
    common: &Common<'_>,
) -> Entry {
    let at = section.at();
    let path = section.path().to_owned();
    let dial = section.strings("dial").unwrap_or_default();
    let dial: Vec<DialRule> = dial.into_iter().filter_map(|rule| source.parsed(rule)).collect();
    let policy = policy::read(source, &mut section);
    let caller_ids = section.strings("caller_ids").unwrap_or_default();
    let caller_ids = caller_ids
        .into_iter()
        .filter_map(|id| source.parsed::<CallerId>(id))
        .map(|id| id.0)
        .collect();
    let scope = Scope::read(source, &mut section);
    let granted = common.ceiling.for_tenant(source, &mut section);
    let flows = section.named_sections("flow");
    let credentials = section.named_sections("credential");
    let trunks = section.named_sections("trunk");
    let routes = section.sections("route");
    let mut limits = common.limits.clone();
    source.limits(section.section("limits"), TenantLimits::ROWS, |name, value| {
        limits.set(name, value)
    });
    section.finish();
    let credentials = credential::read(source, credentials);
    let trunks = trunk::read(source, trunks, &credentials);
    policy::check_trunks(source, (at, &path), dial.iter().chain(&policy.deny), &trunks);
    if flows.is_empty() {
        let fix = match path.as_str() {
            "" => "write [flow.hello]".to_owned(),
            path => format!("write [tenant.flow.hello] below {path}"),
        };
        let text = format!("tenant {name:?} has no flow; {fix} with file = \"hello.wasm\"");
        source.note(at, path, text);
    }
    let (mut numbers, mut links) = (Vec::new(), Vec::new());
    let flows: Vec<Flow> = flows
        .into_iter()
        .enumerate()
        .map(|(position, (name, section))| {
            read_flow(
                source,
                name,
                section,
                &granted,
                position,
                (&mut numbers, &mut links),
            )
        })
        .collect();
    on_trap::check(source, &flows, &links);
    let tenant = Tenant {
        name: name.to_owned(),
        flows,
        dial,
        caller_ids,
        credentials,
        trunks,
        limits,
        policy,
        granted,
    };
    Entry {
        routes: route::read_own(source, routes, &scope, &tenant, numbers),
        origin: source.origin(at),
        tenant,
    }
}

/// Notes that there are more flows than there may be.
pub(super) fn check_count(source: &Source<'_>, entries: &[Entry], limits: &Limits) {
    let flows: usize = entries.iter().map(|entry| entry.tenant.flows.len()).sum();
    if flows > limits.host.flows_max {
        let text = format!(
            "{flows} flows; raise limits.flows_max ({})",
            limits.host.flows_max
        );
        source.note(0, "tenant".to_owned(), text);
    }
}

/// A user part that needs no escape in a URI.
pub(super) struct CallerId(pub(super) String);

impl FromStr for CallerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err(
                "is not a caller id; write the user part of a SIP URI, as in \"+4930123456\"".to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

fn read_flow(
    source: &Source<'_>,
    name: String,
    mut section: Section<'_, '_>,
    granted: &Granted,
    position: usize,
    (numbers, links): (&mut Vec<FlowNumbers>, &mut Vec<on_trap::Link>),
) -> Flow {
    check_name(source, section.at(), section.path(), &name);
    if let Some(texts) = section.strings("numbers") {
        let at = texts.first().map_or(section.at(), |text| text.at);
        numbers.push(FlowNumbers {
            flow: position,
            origin: source.origin(at),
            numbers: texts.into_iter().filter_map(|text| source.parsed(text)).collect(),
        });
    }
    let file = section.required_string("file", "write file = \"flow.wasm\"");
    let watch = section.boolean("watch").unwrap_or(true);
    let auto_ring = section.boolean("auto_ring").unwrap_or(true);
    let (on_trap, code) = on_trap::read(section.section("on_trap"), &name, links);
    let trap_code = match (section.number("trap_code"), code) {
        (Some(_), Some(code)) => {
            let text = "trap_code says the same; keep one of the two".to_owned();
            source.note(code.at, code.key, text);
            TRAP_CODE
        }
        (one, other) => one
            .or(other)
            .map_or(TRAP_CODE, |code| read_trap_code(source, code)),
    };
    let config = section
        .section("config")
        .map(Section::pairs)
        .unwrap_or_default()
        .into_iter()
        .collect();
    let job = section
        .section("job")
        .map(|section| super::job::read(source, section));
    let granted = granted.for_flow(source, &mut section);
    if let Some((whose, line)) = granted
        .decided_by(Capability::Job)
        .filter(|(_, line)| job.is_some() && !line.set.has(Capability::Job))
    {
        let text = format!(
            "it has a job, and \"job\" is not granted by {whose}: take the job away, or add \"job\" to grants at {}",
            line.at
        );
        source.note(section.at(), section.path().to_owned(), text);
    }
    section.finish();
    // Kept even when the file is missing: the problem is noted, and routes to this flow are not a second one.
    let file = source.path(&file.map(|file| file.value).unwrap_or_default());
    Flow {
        name,
        file,
        watch,
        auto_ring,
        trap_code,
        on_trap,
        config,
        job,
        granted,
    }
}

/// What the caller gets when nothing is said.
const TRAP_CODE: u16 = 500;

fn read_trap_code(source: &Source<'_>, code: Located<u64>) -> u16 {
    match u16::try_from(code.value) {
        Ok(503) => {
            let text = "503 makes proxies take the whole host for dead; write 500 or another code".to_owned();
            source.note(code.at, code.key, text);
            TRAP_CODE
        }
        Ok(value) if (400..700).contains(&value) => value,
        _ => {
            let text = format!(
                "{} is not a final failure; write a status from 400 to 699",
                code.value
            );
            source.note(code.at, code.key, text);
            TRAP_CODE
        }
    }
}

/// Names stand in logs, metrics and file names, so they are plain.
pub(super) fn check_name(source: &Source<'_>, at: usize, key: &str, name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let text = format!("{name:?} is not a name; write 1 to 64 letters, digits, '-', '_' or '.'");
        source.note(at, key.to_owned(), text);
    }
}
