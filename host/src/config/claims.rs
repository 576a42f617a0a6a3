//! `[claims.NAME]`: which domains and numbers the file of a tenant may route to itself.
//!
//! Deliberately knows nothing of the operator's own routes, which are the operator's word already. Entry type: [`Claims`].
//! Invariant: once one tenant has a row, a tenant without one may claim nothing.

use super::error::Problem;
use super::number::Number;
use super::origin::Origin;
use super::reader::{Section, Source};
use super::route::Route;

/// Every row.
pub(super) struct Claims(Vec<Claim>);

struct Claim {
    tenant: String,
    /// In lower case; `*.example.com` is every domain below, `*` every domain.
    domains: Vec<String>,
    numbers: Vec<Number>,
    origin: Origin,
}

/// The rows of the operator's file; none when it has none, and then nobody is held to anything.
pub(super) fn read(source: &Source<'_>, sections: Vec<(String, Section<'_, '_>)>) -> Option<Claims> {
    let rows: Vec<Claim> = sections
        .into_iter()
        .map(|(tenant, mut section)| {
            let domains = section.strings("domains");
            let numbers = section.strings("numbers");
            let (at, path) = (section.at(), section.path().to_owned());
            section.finish();
            if domains.is_none() && numbers.is_none() {
                let text = "grants nothing; write domains = [\"acme.example\"] or numbers = [\"+4930123*\"]";
                source.note(at, path, text.to_owned());
            }
            Claim {
                tenant,
                domains: domains
                    .unwrap_or_default()
                    .into_iter()
                    .map(|domain| domain.value.to_ascii_lowercase())
                    .collect(),
                numbers: numbers
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|number| source.parsed(number))
                    .collect(),
                origin: source.origin(at),
            }
        })
        .collect();
    (!rows.is_empty()).then_some(Claims(rows))
}

impl Claims {
    /// What is wrong with a route of this tenant's file. A route is the tenant's when all its domains are, or all its
    /// numbers.
    pub(super) fn refuse(&self, tenant: &str, route: &Route) -> Option<Problem> {
        let row = self.0.iter().find(|row| row.tenant == tenant);
        if row.is_some_and(|row| row.owns(route)) {
            return None;
        }
        let granted = match row {
            None => format!(
                "there is no [claims.{tenant}] in the operator's file, which has others ({})",
                self.0
                    .first()
                    .map(|row| row.origin.to_string())
                    .unwrap_or_default()
            ),
            Some(row) => {
                let numbers = row.numbers.iter().map(Number::to_string);
                let all: Vec<String> = row.domains.iter().cloned().chain(numbers).collect();
                format!("{} grants {}", row.origin, all.join(", "))
            }
        };
        Some(Problem {
            file: route.origin.file.clone(),
            line: route.origin.line,
            key: "route".to_owned(),
            text: format!(
                "takes {route}, which this tenant may not claim; {granted}: change the route, or have the operator add to it"
            ),
        })
    }
}

impl Claim {
    fn owns(&self, route: &Route) -> bool {
        let domain = |domain: &String| self.domains.iter().any(|own| holds(own, domain));
        (!route.domains.is_empty() && route.domains.iter().all(domain)) || route.number.within(&self.numbers)
    }
}

fn holds(own: &str, domain: &str) -> bool {
    match own.strip_prefix('*') {
        Some("") => true,
        Some(below) if below.starts_with('.') => domain.ends_with(below),
        _ => own == domain,
    }
}
