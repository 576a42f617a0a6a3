//! Configuration: a TOML file read into checked types, and the one table of limits.
//!
//! Knows nothing of sockets or WebAssembly; whether a flow's file loads is for the loader to say, because a broken
//! flow must not stop the others. A leaf that every layer may use.
//!
//! The operator's file may name a folder of tenant files, one a tenant. A mistake in the operator's file is a mistake of
//! the whole; one in a tenant's file takes that tenant out ([`Config::left_out`]) and no other, unless whoever reads wants
//! all or nothing ([`Config::load_whole`]).
//!
//! Invariants: a [`Config`] holds nothing unchecked, names of tenants and flows are unique, and every route leads to a
//! flow that exists. An error names the file, the line, the key and the fix, and all errors of all files come at once.
//!
//! Entry point: [`Config::load`].

mod admin;
mod budget;
mod capability;
mod cidr;
mod claims;
mod credential;
mod cron;
mod dial_rule;
mod dialling;
mod drain;
mod error;
mod folder;
mod grants;
mod hep;
mod job;
pub mod limits;
mod listen;
mod metrics;
mod number;
mod on_trap;
mod origin;
mod otel;
mod policy;
mod premium;
mod reader;
mod records;
mod route;
pub mod schema;
mod shape;
mod tenant;
mod tls;
mod trunk;

use std::path::{Path, PathBuf};

pub use admin::{Admin, AdminTcp, admin_socket};
pub use budget::Budget;
pub use capability::{Capabilities, Capability};
pub use cidr::Cidr;
pub use credential::{Credential, Secret};
pub use cron::Cron;
pub use dial_rule::{DialRule, HostRule, UserRule};
pub use dialling::Dialling;
pub use drain::{Drain, DrainTarget};
pub use error::{ConfigError, Problem};
pub use grants::{GrantLine, Granted};
pub use hep::Hep;
pub use job::{Job, Start};
pub use limits::Limits;
pub use listen::{Listen, Transport};
pub use metrics::Metrics;
pub use number::NumberRule;
pub use on_trap::OnTrap;
pub use origin::Origin;
pub use otel::Otel;
pub use policy::Policy;
pub use premium::PremiumList;
pub use records::{RecordStore, Records};
pub use route::{Miss, Route, RouteTarget};
pub use tenant::{Flow, Tenant};
pub use tls::Tls;
pub use trunk::{Proxy, Trunk, TrunkNumber};

use reader::{Section, Source};

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one line an event.
    #[default]
    Text,
    /// For machines: one JSON object an event.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// `format`, `text` by default.
    pub format: LogFormat,
    /// `level`: a level or a filter such as `info,callbox::wire=debug`. `info` when absent.
    pub level: Option<String>,
    /// `redact`: numbers and addresses stand as tags.
    pub redact: bool,
    /// `digits`: what callers type may be read.
    pub digits: bool,
}

/// A whole configuration file, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// `listen`: never empty.
    pub listen: Vec<Listen>,
    /// `[tls]`: None has no listener of TLS, and calls nobody by it.
    pub tls: Option<Tls>,
    /// `user_agent`: the User-Agent and Server header; empty leaves both out.
    pub user_agent: String,
    /// `cache_dir`: where compiled flows are kept. None means the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// `state_dir`: what the host keeps over its restarts. `.callbox` beside the configuration when nothing is said.
    pub state_dir: PathBuf,
    /// `[admin]`
    pub admin: Admin,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[log]`
    pub log: Log,
    /// `[records]`
    pub records: Records,
    /// `[drain]`
    pub drain: Drain,
    /// `[hep]`: None copies no message.
    pub hep: Option<Hep>,
    /// `[otel]`: None traces no call.
    pub otel: Option<Otel>,
    /// `[limits]` and its sub-tables.
    pub limits: Limits,
    /// `[dialling]`
    pub dialling: Dialling,
    /// `[[tenant]]`, then the files of the folder `tenants` in the order of their names.
    pub tenants: Vec<Tenant>,
    /// The first that matches decides: `[[route]]` in the order of the file, then each tenant's own.
    pub routes: Vec<Route>,
    /// What is wrong in tenant files. Their tenants are not among the others; empty when all is well.
    pub left_out: Vec<Problem>,
    /// What is not wrong but may not be meant.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads and checks a file. Relative paths in it are taken from the folder it is in.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
            file: file.to_owned(),
            error,
        })?;
        Self::parse(file, &text)
    }

    /// The same, and a mistake in a tenant's file is an error too.
    pub fn load_whole(file: &Path) -> Result<Self, ConfigError> {
        let config = Self::load(file)?;
        match config.left_out.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::Wrong {
                problems: config.left_out,
            }),
        }
    }

    /// The same as [`Config::load`] for text that is already in memory; `file` is named in errors and gives relative paths their folder.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source::new(file, text);
        let Some(root) = source.root() else {
            return Err(source.into_error());
        };
        let config = Self::read(file, &source, root);
        if source.has_problems() {
            let mut problems = source.into_problems();
            problems.extend(config.left_out);
            return Err(ConfigError::Wrong { problems });
        }
        Ok(config)
    }

    /// Asks for every key there is; what is wrong is noted in `source`, and then the result is not to be used.
    fn read(file: &Path, source: &Source<'_>, mut root: Section<'_, '_>) -> Self {
        let listen = root.required_strings("listen", "write listen = [\"udp:127.0.0.1:5060\"]");
        let secure = listen
            .iter()
            .find(|text| text.value.to_ascii_lowercase().starts_with("tls:"));
        let secure = secure.cloned();
        let listen: Vec<Listen> = listen
            .into_iter()
            .filter_map(|text| source.parsed(text))
            .collect();
        let tls = root.section("tls");
        if let (Some(listener), None) = (&secure, &tls) {
            let fix = "write [tls] with certificate = \"PATH\" and key = \"PATH\"";
            source.problem(listener, "has no certificate", fix);
        }
        let tls = tls::read(source, tls);
        let user_agent = root.string("user_agent").map(|text| {
            if text.value.chars().any(char::is_control) {
                source.problem(&text, "has a control character", "write one line of text");
            }
            text.value
        });
        let cache_dir = root.string("cache_dir").map(|path| source.path(&path.value));
        let state_dir = root.string("state_dir").map(|path| path.value);
        let state_dir = admin::state_folder(source, state_dir.as_deref());
        let admin = admin::read(source, root.section("admin"), &state_dir);
        let metrics = metrics::read(source, root.section("metrics"));
        let log = Self::log(source, root.section("log"));
        let records = records::read(source, root.section("records"));
        let drain = drain::read(source, root.section("drain"));
        let hep = hep::read(source, root.section("hep"));
        let otel = otel::read(source, root.section("otel"));
        let limits = Self::limits(source, root.section("limits"));
        let dialling = dialling::read(source, root.section("dialling"));
        let ceiling = grants::ceiling(source, root.section("ceiling"));
        let common = tenant::Common {
            limits: &limits.tenant,
            ceiling: &ceiling,
        };
        let mut everyone = folder::Everyone::of(tenant::read(source, root.sections("tenant"), &common));
        let folder = root.string("tenants");
        let claims = claims::read(source, root.named_sections("claims"));
        if let Some(folder) = folder {
            everyone.read_folder(source, &folder, claims.as_ref(), &common, &limits);
        }
        everyone.compare_transports(&listen);
        let routes = root.sections("route");
        root.finish();
        let everyone = everyone.with_routes(source, routes, &limits);
        Self {
            file: file.to_owned(),
            listen,
            tls,
            user_agent: user_agent
                .unwrap_or_else(|| concat!("callbox/", env!("CARGO_PKG_VERSION")).to_owned()),
            cache_dir,
            state_dir,
            admin,
            metrics,
            log,
            records,
            drain,
            hep,
            otel,
            limits,
            dialling,
            tenants: everyone.tenants,
            routes: everyone.routes,
            left_out: everyone.left_out,
            warnings: everyone.warnings,
        }
    }

    fn log(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Log {
        let mut log = Log::default();
        let Some(mut section) = section else { return log };
        if let Some(format) = section.string("format") {
            match format.value.as_str() {
                "text" => log.format = LogFormat::Text,
                "json" => log.format = LogFormat::Json,
                _ => source.problem(&format, "is not a format", "write \"text\" or \"json\""),
            }
        }
        log.level = section.string("level").map(|level| level.value);
        log.redact = section.boolean("redact").unwrap_or_default();
        log.digits = section.boolean("digits").unwrap_or_default();
        section.finish();
        log
    }

    fn limits(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Limits {
        let mut limits = Limits::default();
        let Some(mut section) = section else { return limits };
        let groups: Vec<_> = limits::GROUPS
            .iter()
            .filter_map(|(group, rows)| Some((group, rows, group.strip_prefix("limits.")?)))
            .map(|(group, rows, name)| (group, rows, section.section(name)))
            .collect();
        source.limits(Some(section), limits::HostLimits::ROWS, |name, value| {
            limits.host.set(name, value)
        });
        for (group, rows, section) in groups {
            source.limits(section, rows, |name, value| limits.set(group, name, value));
        }
        limits
    }
}

#[cfg(test)]
mod tests;
