//! `[[route]]`: which call goes to which flow, or waits for which service.
//!
//! Routes stand in the operator's file, where each names its tenant, or in a tenant's table, where all are the tenant's.
//! Entry type: [`Route`]. Invariant: which routes a call passes, and why, is said by [`Route::miss`] and nothing else.

use std::fmt;
use std::net::IpAddr;

use super::error::did_you_mean;
use super::number::{self, Number, NumberRule, Overlap};
use super::origin::Origin;
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
    /// Where it stands.
    pub origin: Origin,
}

/// What answers the calls of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// `flow`: a new instance of it, by position in [`Tenant::flows`].
    Flow(usize),
    /// `service`: a session of the tenant that accepts calls of this name, now or soon.
    Service(String),
}

/// The first thing in which a call is not one of a route's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// The user part of the Request-URI.
    Number,
    /// Its host part.
    Domain,
    /// The address that the request came from.
    Source,
}

impl Route {
    /// Why a call does not take this route; none when it does.
    #[must_use]
    pub fn miss(&self, user: &str, domain: &str, source: IpAddr) -> Option<Miss> {
        if !self.number.matches(user) {
            return Some(Miss::Number);
        }
        if !self.domains.is_empty() && !self.domains.iter().any(|own| own == domain) {
            return Some(Miss::Domain);
        }
        if !self.sources.is_empty() && !self.sources.iter().any(|range| range.contains(source)) {
            return Some(Miss::Source);
        }
        None
    }

    /// Whether some call passes both.
    pub(super) fn overlap(&self, other: &Self) -> Overlap {
        let apart = |named: bool, meet: bool| named && !meet;
        let domains = !self.domains.is_empty() && !other.domains.is_empty();
        let sources = !self.sources.is_empty() && !other.sources.is_empty();
        if apart(
            domains,
            self.domains.iter().any(|own| other.domains.contains(own)),
        ) || apart(
            sources,
            self.sources
                .iter()
                .any(|own| other.sources.iter().any(|range| range.overlaps(own))),
        ) {
            return Overlap::No;
        }
        self.number.overlap(&other.number)
    }
}

impl fmt::Display for Route {
    /// Its conditions: `100, 101 at acme.example from 10.0.0.0/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)?;
        if !self.domains.is_empty() {
            write!(f, " at {}", self.domains.join(", "))?;
        }
        for (position, range) in self.sources.iter().enumerate() {
            write!(f, "{}{range}", if position == 0 { " from " } else { ", " })?;
        }
        Ok(())
    }
}

/// The routes of the operator's file. One to a tenant that is `absent` is left out: what is wrong there is said already.
pub(super) fn read(
    source: &Source<'_>,
    sections: Vec<Section<'_, '_>>,
    tenants: &[&Tenant],
    absent: &[String],
) -> Vec<Route> {
    sections
        .into_iter()
        .filter_map(|mut section| {
            let conditions = Conditions::read(source, &mut section);
            let tenant = section.required_string("tenant", "name a [[tenant]]");
            let ends = Ends::read(section);
            let named = tenant?;
            if absent.contains(&named.value) {
                return None;
            }
            let names = tenants.iter().map(|tenant| tenant.name.as_str());
            let position = find(source, &named, "is not a tenant", names)?;
            let to = ends.target(source, tenants.get(position)?)?;
            Some(conditions.route(position, to))
        })
        .collect()
}

/// Numbers that a flow's table names: the short form of a route.
pub(super) struct FlowNumbers {
    /// The flow, by position in [`Tenant::flows`].
    pub(super) flow: usize,
    pub(super) origin: Origin,
    pub(super) numbers: Vec<Number>,
}

/// What a tenant's table says for all its own routes that say nothing themselves.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) domains: Vec<String>,
    pub(super) sources: Vec<Cidr>,
}

impl Scope {
    /// Reads `domains` and `sources`.
    pub(super) fn read(source: &Source<'_>, section: &mut Section<'_, '_>) -> Self {
        Self {
            domains: domains(section, "domains"),
            sources: sources(source, section, "sources"),
        }
    }

    fn over(&self, mut route: Route) -> Route {
        if route.domains.is_empty() {
            route.domains.clone_from(&self.domains);
        }
        if route.sources.is_empty() {
            route.sources.clone_from(&self.sources);
        }
        route
    }
}

/// The routes of a tenant's table: those that are written out, in their order; then the numbers of its flows, whole
/// numbers before beginnings and longer beginnings before shorter ones. [`Route::tenant`] is filled in when all tenants
/// are known.
pub(super) fn read_own(
    source: &Source<'_>,
    sections: Vec<Section<'_, '_>>,
    scope: &Scope,
    tenant: &Tenant,
    numbers: Vec<FlowNumbers>,
) -> Vec<Route> {
    let mut routes: Vec<Route> = sections
        .into_iter()
        .filter_map(|mut section| {
            let conditions = Conditions::read(source, &mut section);
            let to = Ends::read(section).target(source, tenant)?;
            Some(scope.over(conditions.route(0, to)))
        })
        .collect();
    let mut beginnings: Vec<(String, usize, Origin)> = Vec::new();
    let short = |number, flow, origin| {
        scope.over(Route {
            number,
            domains: Vec::new(),
            sources: Vec::new(),
            tenant: 0,
            to: RouteTarget::Flow(flow),
            origin,
        })
    };
    for FlowNumbers {
        flow,
        origin,
        numbers,
    } in numbers
    {
        let mut whole = Vec::new();
        for number in numbers {
            match number {
                Number::Exact(number) => whole.push(number),
                Number::Beginning(text) => beginnings.push((text, flow, origin.clone())),
            }
        }
        if !whole.is_empty() {
            routes.push(short(NumberRule::Exact(whole), flow, origin));
        }
    }
    beginnings.sort_by_key(|(text, ..)| std::cmp::Reverse(text.len()));
    routes.extend(
        beginnings
            .into_iter()
            .map(|(text, flow, origin)| short(NumberRule::Prefix(vec![text]), flow, origin)),
    );
    routes
}

/// What a route asks of a call.
struct Conditions {
    number: NumberRule,
    domains: Vec<String>,
    sources: Vec<Cidr>,
    origin: Origin,
}

impl Conditions {
    fn read(source: &Source<'_>, section: &mut Section<'_, '_>) -> Self {
        Self {
            number: number::read(source, section),
            domains: domains(section, "domain"),
            sources: sources(source, section, "source"),
            origin: source.origin(section.at()),
        }
    }

    fn route(self, tenant: usize, to: RouteTarget) -> Route {
        Route {
            number: self.number,
            domains: self.domains,
            sources: self.sources,
            tenant,
            to,
            origin: self.origin,
        }
    }
}

fn domains(section: &mut Section<'_, '_>, key: &str) -> Vec<String> {
    let domains = section.strings(key).unwrap_or_default();
    domains
        .into_iter()
        .map(|domain| domain.value.to_ascii_lowercase())
        .collect()
}

fn sources(source: &Source<'_>, section: &mut Section<'_, '_>, key: &str) -> Vec<Cidr> {
    let sources = section.strings(key).unwrap_or_default();
    sources
        .into_iter()
        .filter_map(|range| source.parsed(range))
        .collect()
}

/// Where a route leads, by name.
struct Ends {
    flow: Option<Located<String>>,
    service: Option<Located<String>>,
    at: usize,
    path: String,
}

impl Ends {
    /// Takes the last keys of a route.
    fn read(mut section: Section<'_, '_>) -> Self {
        let flow = section.string("flow");
        let service = section.string("service");
        let (at, path) = (section.at(), section.path().to_owned());
        section.finish();
        Self {
            flow,
            service,
            at,
            path,
        }
    }

    fn target(self, source: &Source<'_>, tenant: &Tenant) -> Option<RouteTarget> {
        match (self.flow, self.service) {
            (Some(flow), None) => {
                let flows = tenant.flows.iter().map(|flow| flow.name.as_str());
                let wrong = format!("is not a flow of {:?}", tenant.name);
                find(source, &flow, &wrong, flows).map(RouteTarget::Flow)
            }
            (None, Some(service)) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,".contains(&byte);
                let name = &service.value;
                if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                    let fix = "write 1 to 64 letters, digits, '-', '_', '.' or ','";
                    source.problem(&service, "is not a name", fix);
                }
                Some(RouteTarget::Service(service.value))
            }
            (None, None) => {
                let text = "leads nowhere; name a flow of the tenant (flow = \"…\") or a service that its sessions accept \
                            (service = \"…\")";
                source.note(self.at, self.path, text.to_owned());
                None
            }
            (Some(_), Some(_)) => {
                let text = "has both flow and service; write a route for each";
                source.note(self.at, self.path, text.to_owned());
                None
            }
        }
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
