//! `[[route]]`: which call goes to which flow, or waits for which service.

use std::fmt;

use regex::Regex;

use super::error::did_you_mean;
use super::limits::Limits;
use super::reader::{Located, Section, Source};
use super::{Cidr, Tenant};

/// One route. What it does not name it does not ask about; a route without any condition takes every call.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which user parts of the Request-URI.
    pub number: NumberRule,
    /// Host parts of the Request-URI, in lower case. Empty takes all.
    pub domains: Vec<String>,
    /// Where the request came from. Empty takes all.
    pub sources: Vec<Cidr>,
    /// The tenant, by position in [`super::Config::tenants`].
    pub tenant: usize,
    /// What answers.
    pub to: RouteTarget,
    /// The line of the file, for messages about the route.
    pub line: usize,
}

/// What answers the calls of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// `flow`: a new instance of it, by position in [`Tenant::flows`].
    Flow(usize),
    /// `service`: a session of the tenant that accepts calls of this name, now or soon.
    Service(String),
}

/// What a route asks of the user part of the Request-URI, escapes decoded.
#[derive(Debug, Clone, Default)]
pub enum NumberRule {
    /// Nothing; a Request-URI without a user part passes too.
    #[default]
    Any,
    /// `number`: equal to one of these.
    Exact(Vec<String>),
    /// `number_prefix`: begins with one of these.
    Prefix(Vec<String>),
    /// `number_pattern`: matches this regular expression as a whole.
    Pattern(Regex),
}

impl NumberRule {
    /// Whether the user part passes.
    pub fn matches(&self, user: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(numbers) => numbers.iter().any(|number| number == user),
            Self::Prefix(prefixes) => prefixes.iter().any(|prefix| user.starts_with(prefix.as_str())),
            Self::Pattern(pattern) => pattern.is_match(user),
        }
    }
}

impl fmt::Display for NumberRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any number"),
            Self::Exact(numbers) => f.write_str(&numbers.join(", ")),
            Self::Prefix(prefixes) => write!(f, "{}…", prefixes.join("…, ")),
            Self::Pattern(pattern) => write!(f, "/{pattern}/"),
        }
    }
}

pub(super) fn read(
    source: &Source<'_>,
    sections: Vec<Section<'_, '_>>,
    tenants: &[Tenant],
    limits: &Limits,
) -> Vec<Route> {
    if sections.len() > limits.host.routes_max {
        let text = format!(
            "{} routes; raise limits.routes_max ({})",
            sections.len(),
            limits.host.routes_max
        );
        source.note(0, "route".to_owned(), text);
    }
    sections
        .into_iter()
        .filter_map(|section| read_route(source, section, tenants))
        .collect()
}

fn read_route(source: &Source<'_>, mut section: Section<'_, '_>, tenants: &[Tenant]) -> Option<Route> {
    let line = source.line(section.at());
    let number = read_number(source, &mut section);
    let domains = section.strings("domain").unwrap_or_default();
    let domains = domains
        .into_iter()
        .map(|domain| domain.value.to_ascii_lowercase())
        .collect();
    let sources = section.strings("source").unwrap_or_default();
    let sources = sources
        .into_iter()
        .filter_map(|range| source.parsed(range))
        .collect();
    let tenant = section.required_string("tenant", "name a [[tenant]]");
    let flow = section.string("flow");
    let service = section.string("service");
    let (at, path) = (section.at(), section.path().to_owned());
    section.finish();

    let tenant_name = tenant?;
    let names = tenants.iter().map(|tenant| tenant.name.as_str());
    let tenant = find(source, &tenant_name, "is not a tenant", names)?;
    let to = match (flow, service) {
        (Some(flow), None) => {
            let flows = tenants.get(tenant)?.flows.iter().map(|flow| flow.name.as_str());
            let wrong = format!("is not a flow of {:?}", tenant_name.value);
            RouteTarget::Flow(find(source, &flow, &wrong, flows)?)
        }
        (None, Some(service)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,".contains(&byte);
            let name = &service.value;
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                let fix = "write 1 to 64 letters, digits, '-', '_', '.' or ','";
                source.problem(&service, "is not a name", fix);
            }
            RouteTarget::Service(service.value)
        }
        (None, None) => {
            let text = "leads nowhere; name a flow of the tenant (flow = \"…\") or a service that its sessions accept \
                        (service = \"…\")";
            source.note(at, path, text.to_owned());
            return None;
        }
        (Some(_), Some(_)) => {
            source.note(
                at,
                path,
                "has both flow and service; write a route for each".to_owned(),
            );
            return None;
        }
    };
    Some(Route {
        number,
        domains,
        sources,
        tenant,
        to,
        line,
    })
}

fn read_number(source: &Source<'_>, section: &mut Section<'_, '_>) -> NumberRule {
    let at = section.at();
    let path = section.path().to_owned();
    let exact = section.strings("number");
    let prefix = section.strings("number_prefix");
    let pattern = section.string("number_pattern");
    if [exact.is_some(), prefix.is_some(), pattern.is_some()]
        .into_iter()
        .filter(|given| *given)
        .count()
        > 1
    {
        let text = "has more than one of number, number_prefix and number_pattern; write a route for each";
        source.note(at, path, text.to_owned());
    }
    let values = |found: Vec<Located<String>>| found.into_iter().map(|number| number.value).collect();
    if let Some(pattern) = pattern {
        // Anchored, because a number that merely contains a shorter one is another number.
        match Regex::new(&format!("^(?:{})$", pattern.value)) {
            Ok(regex) => return NumberRule::Pattern(regex),
            Err(error) => {
                let error = error.to_string();
                let reason = error
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                let wrong = format!("is not a regular expression ({reason})");
                source.problem(&pattern, &wrong, "write one as in \"49[0-9]{6,}\"");
            }
        }
    }
    match (exact, prefix) {
        (Some(numbers), _) => NumberRule::Exact(values(numbers)),
        (None, Some(prefixes)) => NumberRule::Prefix(values(prefixes)),
        (None, None) => NumberRule::Any,
    }
}

fn find<'a>(
    source: &Source<'_>,
    name: &Located<String>,
    wrong: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<usize> {
    let found = known.clone().position(|candidate| candidate == name.value);
    if found.is_none() {
        let fix = match did_you_mean(&name.value, known.clone()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
        };
        source.problem(name, wrong, &fix);
    }
    found
}
