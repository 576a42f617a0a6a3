//! Who would answer a call if it came now: the route that takes it, and the versions that its flow's calls get.
//!
//! Looks and changes nothing: what a call would find besides (a quota that is full, a session that waits for it) is not asked. Entry
//! point: [`Directory::who_answers`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::plan::Answerer;
use super::versions::Choice;

/// Who answers a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// Whose call it is.
    pub tenant: String,
    /// The conditions of the route that takes it, as `100 at acme.example`.
    pub route: String,
    /// Where that route is written: file and line.
    pub origin: String,
    /// The flow; none where a service takes the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The service whose sessions take the call; none where a flow does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What calls of the flow get that are like this one. Empty while nothing is loaded: 500.
    pub versions: Vec<Choice>,
}

impl Directory {
    /// Who answers a call to this user part and domain, from this address and of this caller's number; none: 404, unless a session
    /// holds a registration that the call names.
    #[must_use]
    pub fn who_answers(&self, user: &str, domain: &str, source: IpAddr, caller: &str) -> Option<Answering> {
        let plan = self.plan();
        let target = plan.target(user, domain, source)?;
        let (account, flow, service) = match &target.to {
            Answerer::Flow(found) => (&found.account, Some(&found.flow), None),
            Answerer::Service { account, name } => (account, None, Some(name.to_string())),
        };
        Some(Answering {
            tenant: account.name.to_string(),
            route: target.route.to_string(),
            origin: target.route.origin.to_string(),
            flow: flow.map(|flow| flow.name.to_string()),
            service,
            versions: flow.map_or_else(Vec::new, |flow| flow.versions.choices(user, caller)),
        })
    }
}
