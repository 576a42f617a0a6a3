//! Configuration: a TOML file read into checked types, and the one table of limits.
//!
//! Knows nothing of sockets or WebAssembly; whether a flow's file loads is for the loader to say, because a broken
//! flow must not stop the others. A leaf that every layer may use.
//!
//! Invariants: a [`Config`] holds nothing unchecked, names of tenants and flows are unique, and every route leads to a
//! flow that exists. An error names the file, the line, the key and the fix, and all errors of a file come at once.
//!
//! Entry point: [`Config::load`].

mod cidr;
mod credential;
mod cron;
mod error;
mod job;
pub mod limits;
mod listen;
mod reader;
mod route;
mod tenant;
mod trunk;

use std::path::{Path, PathBuf};

pub use cidr::Cidr;
pub use credential::{Credential, Secret};
pub use cron::Cron;
pub use error::{ConfigError, Problem};
pub use job::{Job, Start};
pub use limits::Limits;
pub use listen::{Listen, Transport};
pub use route::{NumberRule, Route, RouteTarget};
pub use tenant::{DialRule, Flow, Tenant};
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
}

/// A whole configuration file, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// `listen`: never empty.
    pub listen: Vec<Listen>,
    /// `user_agent`: the User-Agent and Server header; empty leaves both out.
    pub user_agent: String,
    /// `cache_dir`: where compiled flows are kept. None means the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// `state_dir`: what the host keeps over its restarts. `.callbox` beside the configuration when nothing is said.
    pub state_dir: PathBuf,
    /// `[log]`
    pub log: Log,
    /// `[limits]` and its sub-tables.
    pub limits: Limits,
    /// `[[tenant]]`
    pub tenants: Vec<Tenant>,
    /// `[[route]]`, in the order of the file: the first that matches decides.
    pub routes: Vec<Route>,
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

    /// The same for text that is already in memory; `file` is named in errors and gives relative paths their folder.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source::new(file, text);
        let Some(mut root) = source.root() else {
            return Err(source.into_error());
        };

        let listen = root.required_strings("listen", "write listen = [\"udp:127.0.0.1:5060\"]");
        let listen: Vec<Listen> = listen
            .into_iter()
            .filter_map(|text| source.parsed(text))
            .collect();
        let user_agent = root.string("user_agent").map(|text| {
            if text.value.chars().any(char::is_control) {
                source.problem(&text, "has a control character", "write one line of text");
            }
            text.value
        });
        let cache_dir = root.string("cache_dir").map(|path| source.path(&path.value));
        let state_dir = root.string("state_dir").map(|path| path.value);
        let state_dir = source.path(state_dir.as_deref().unwrap_or(".callbox"));
        let log = Self::log(&source, root.section("log"));
        let limits = Self::limits(&source, root.section("limits"));
        let tenants = tenant::read(&source, root.sections("tenant"), &limits.tenant);
        tenant::check_count(&source, &tenants, &limits);
        let routes = route::read(&source, root.sections("route"), &tenants, &limits);
        root.finish();

        if source.has_problems() {
            return Err(source.into_error());
        }
        Ok(Self {
            file: file.to_owned(),
            listen,
            user_agent: user_agent
                .unwrap_or_else(|| concat!("callbox/", env!("CARGO_PKG_VERSION")).to_owned()),
            cache_dir,
            state_dir,
            log,
            limits,
            tenants,
            routes,
        })
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
        section.finish();
        log
    }

    fn limits(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Limits {
        let mut limits = Limits::default();
        let Some(mut section) = section else { return limits };
        let sip = section.section("sip");
        let wire = section.section("wire");
        let call = section.section("call");
        let plugin = section.section("plugin");
        let tenant = section.section("tenant");
        source.limits(Some(section), limits::HostLimits::ROWS, |name, value| {
            limits.host.set(name, value)
        });
        source.limits(sip, limits::SipLimits::ROWS, |name, value| {
            limits.sip.set(name, value)
        });
        source.limits(wire, limits::WireLimits::ROWS, |name, value| {
            limits.wire.set(name, value)
        });
        source.limits(call, limits::CallLimits::ROWS, |name, value| {
            limits.call.set(name, value)
        });
        source.limits(plugin, limits::PluginLimits::ROWS, |name, value| {
            limits.plugin.set(name, value)
        });
        source.limits(tenant, limits::TenantLimits::ROWS, |name, value| {
            limits.tenant.set(name, value)
        });
        limits
    }
}

#[cfg(test)]
mod tests;
