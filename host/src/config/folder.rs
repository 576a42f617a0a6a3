//! `tenants = "FOLDER"`: each `NAME.toml` in it is a tenant, and whose calls are whose when there are many.
//!
//! Knows no sockets and no flows' files. Entry type: [`Everyone`]. Invariants: tenant files are read in the order of their
//! names, and that order decides nothing but which of two that claim the same is left out; what is wrong in one takes out
//! that tenant and no other.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::claims::Claims;
use super::error::Problem;
use super::limits::Limits;
use super::listen::Listen;
use super::number::{NumberRule, Overlap};
use super::reader::{Located, Section, Source};
use super::route::{self, Route};
use super::tenant::{self, Common, Entry, Tenant};

/// The longest file of a tenant. One with a thousand routes is a tenth of it.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Tenants of the operator's file and of the folder, as they are being put together.
pub(super) struct Everyone {
    entries: Vec<Entry>,
    /// Tenants of whom something is wrong.
    absent: Vec<String>,
    left_out: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// The outcome.
pub(super) struct Checked {
    pub(super) tenants: Vec<Tenant>,
    pub(super) routes: Vec<Route>,
    pub(super) left_out: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Everyone {
    /// The tenants of the operator's file.
    pub(super) fn of(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            absent: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Warns of trunks that no listener can be used for: it may be named on the command line, or forgotten.
    pub(super) fn compare_transports(&mut self, listen: &[Listen]) {
        for Entry { tenant, origin, .. } in &self.entries {
            let lost = tenant
                .trunks
                .iter()
                .filter_map(|trunk| trunk.unreachable(listen, origin));
            self.warnings.extend(lost);
        }
    }

    /// Adds the tenants of a folder. That it cannot be read is a mistake of the operator's file.
    pub(super) fn read_folder(
        &mut self,
        source: &Source<'_>,
        folder: &Located<String>,
        claims: Option<&Claims>,
        common: &Common<'_>,
        limits: &Limits,
    ) {
        let files = match tenant_files(&source.path(&folder.value)) {
            Ok(files) => files,
            Err(error) => {
                let wrong = format!("cannot be read: {error}");
                source.problem(folder, &wrong, "name a folder with a file for each tenant");
                return;
            }
        };
        if files.len() > limits.host.tenants_max {
            let wrong = format!("has {} tenant files", files.len());
            let fix = format!("raise limits.tenants_max ({})", limits.host.tenants_max);
            source.problem(folder, &wrong, &fix);
            return;
        }
        for (name, file) in files {
            match self.read_file(&name, &file, claims, common) {
                Ok(entry) => self.entries.push(entry),
                Err(problems) => {
                    self.left_out.extend(problems);
                    self.absent.push(name);
                }
            }
        }
    }

    fn read_file(
        &self,
        name: &str,
        file: &Path,
        claims: Option<&Claims>,
        common: &Common<'_>,
    ) -> Result<Entry, Vec<Problem>> {
        let text = read_text(file).map_err(|error| {
            vec![Problem {
                file: file.into(),
                line: 1,
                key: String::new(),
                text: format!("cannot be read: {error}; make it a text file that this user may read"),
            }]
        })?;
        let source = Source::new(file, &text);
        let Some(root) = source.root() else {
            return Err(source.into_problems());
        };
        let entry = tenant::read_one(&source, name, root, common);
        tenant::check_name(&source, 0, "", name);
        if let Some(other) = self.entries.iter().find(|other| other.tenant.name == name) {
            let text = format!(
                "the tenant {name:?} is in {} already; give this file another name",
                other.origin
            );
            source.note(0, String::new(), text);
        }
        let refused = entry
            .routes
            .iter()
            .filter_map(|route| claims?.refuse(name, route));
        let refused: Vec<Problem> = refused.collect();
        match source.has_problems() || !refused.is_empty() {
            false => Ok(entry),
            true => Err(source.into_problems().into_iter().chain(refused).collect()),
        }
    }

    /// Finds who claims what another has, reads the operator's routes, and puts all routes in their order.
    pub(super) fn with_routes(
        mut self,
        source: &Source<'_>,
        sections: Vec<Section<'_, '_>>,
        limits: &Limits,
    ) -> Checked {
        self.settle_claims(source);
        let known: Vec<&Tenant> = self.entries.iter().map(|entry| &entry.tenant).collect();
        let mut routes = route::read(source, sections, &known, &self.absent);
        tenant::check_count(source, &self.entries, limits);
        let mut tenants = Vec::with_capacity(self.entries.len());
        for (position, entry) in self.entries.into_iter().enumerate() {
            tenants.push(entry.tenant);
            routes.extend(entry.routes.into_iter().map(|route| Route {
                tenant: position,
                ..route
            }));
        }
        if routes.len() > limits.host.routes_max {
            let text = format!(
                "{} routes; raise limits.routes_max ({})",
                routes.len(),
                limits.host.routes_max
            );
            source.note(0, "route".to_owned(), text);
        }
        Checked {
            tenants,
            routes,
            left_out: self.left_out,
            warnings: self.warnings,
        }
    }

    /// Leaves out who claims what an earlier one has claimed.
    fn settle_claims(&mut self, source: &Source<'_>) {
        let mut claimed = Claimed::default();
        let mut kept = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let mut problems = Vec::new();
            for route in &entry.routes {
                match claimed.meeting(route) {
                    Some((Overlap::Yes, other)) => problems.push(conflict(route, other)),
                    Some((_, other)) => self.warnings.push(perhaps(route, other)),
                    None => {}
                }
            }
            if problems.is_empty() {
                claimed.add(&entry);
                kept.push(entry);
            } else if entry.origin.file == source.origin(0).file {
                // Both are the operator's.
                problems.into_iter().for_each(|problem| source.add(problem));
                kept.push(entry);
            } else {
                self.absent.push(entry.tenant.name);
                self.left_out.extend(problems);
            }
        }
        self.entries = kept;
    }
}

/// What tenants have claimed so far.
#[derive(Default)]
struct Claimed {
    routes: Vec<Claim>,
    /// Those with whole numbers, by number.
    exact: HashMap<String, Vec<usize>>,
    /// All others.
    wide: Vec<usize>,
}

struct Claim {
    tenant: String,
    route: Route,
}

impl Claimed {
    fn add(&mut self, entry: &Entry) {
        for route in &entry.routes {
            let position = self.routes.len();
            self.routes.push(Claim {
                tenant: entry.tenant.name.clone(),
                route: route.clone(),
            });
            match &route.number {
                NumberRule::Exact(numbers) => {
                    for number in numbers {
                        self.exact.entry(number.clone()).or_default().push(position);
                    }
                }
                _ => self.wide.push(position),
            }
        }
    }

    /// The first that meets this route for certain, or else the first that may.
    fn meeting(&self, route: &Route) -> Option<(Overlap, &Claim)> {
        let positions: Vec<usize> = match &route.number {
            NumberRule::Exact(numbers) => {
                let same = numbers.iter().filter_map(|number| self.exact.get(number));
                same.flatten().chain(&self.wide).copied().collect()
            }
            _ => (0..self.routes.len()).collect(),
        };
        let mut perhaps = None;
        for claim in positions
            .into_iter()
            .filter_map(|position| self.routes.get(position))
        {
            match claim.route.overlap(route) {
                Overlap::Yes => return Some((Overlap::Yes, claim)),
                Overlap::Perhaps if perhaps.is_none() => perhaps = Some((Overlap::Perhaps, claim)),
                Overlap::Perhaps | Overlap::No => {}
            }
        }
        perhaps
    }
}

fn conflict(route: &Route, other: &Claim) -> Problem {
    told(
        route,
        format!(
            "takes {route}, and {} takes {} for tenant {:?}: a call cannot be both's; take one away, or give both domains or sources of their own",
            other.route.origin, other.route, other.tenant
        ),
    )
}

fn perhaps(route: &Route, other: &Claim) -> Problem {
    told(
        route,
        format!(
            "takes {route}, and {} takes {} for tenant {:?}, which gets the calls that are both's, if there are any",
            other.route.origin, other.route, other.tenant
        ),
    )
}

fn told(route: &Route, text: String) -> Problem {
    Problem {
        file: route.origin.file.clone(),
        line: route.origin.line,
        key: "route".to_owned(),
        text,
    }
}

/// The tenant files of a folder by the names of their tenants. What editors and copies leave behind is none.
fn tenant_files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(".toml"))
            && !name.starts_with(['.', '#'])
        {
            files.push((name.to_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is longer than {FILE_MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
