//! `grants = […]`: what the operator's ceiling, a tenant and a flow say of it, each within the one before.
//!
//! An absent key takes over what is there already: all there is for `[ceiling]`, the ceiling for a tenant, the tenant's
//! for a flow. `grants = []` is nothing. Entry type: [`Granted`]. Invariant: what is granted to a flow is granted to its
//! tenant, and that is within the ceiling; a file that says otherwise is refused with both lines.

use super::capability::{Capabilities, Capability};
use super::origin::Origin;
use super::reader::{Section, Source};

/// What a `grants` line says.
#[derive(Debug, Clone)]
pub struct GrantLine {
    /// What is in it.
    pub set: Capabilities,
    /// Where it stands.
    pub at: Origin,
}

/// A line that has only moved says what it said: a reload must not tell of a change.
impl PartialEq for GrantLine {
    fn eq(&self, other: &Self) -> bool {
        self.set == other.set
    }
}

impl Eq for GrantLine {}

/// The lines that together decide what a flow may do. Each that is there is within those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// `[ceiling] grants`
    pub ceiling: Option<GrantLine>,
    /// `grants` of the tenant.
    pub tenant: Option<GrantLine>,
    /// `[tenant.flow.NAME] grants`
    pub flow: Option<GrantLine>,
}

impl Granted {
    /// What comes of them.
    #[must_use]
    pub fn set(&self) -> Capabilities {
        self.lines()
            .fold(Capabilities::ALL, |set, (_, line)| set.both(line.set))
    }

    /// The line that decides about a capability: the outermost that withholds it, or the innermost that grants it. None
    /// where no line says anything.
    #[must_use]
    pub fn decided_by(&self, capability: Capability) -> Option<(&'static str, &GrantLine)> {
        self.lines()
            .find(|(_, line)| !line.set.has(capability))
            .or_else(|| self.lines().last())
    }

    fn lines(&self) -> impl Iterator<Item = (&'static str, &GrantLine)> {
        let named = [
            ("[ceiling]", &self.ceiling),
            ("the tenant", &self.tenant),
            ("the flow", &self.flow),
        ];
        named
            .into_iter()
            .filter_map(|(whose, line)| Some((whose, line.as_ref()?)))
    }

    /// The same for a tenant's `grants`, if it has that key.
    pub(super) fn for_tenant(&self, source: &Source<'_>, section: &mut Section<'_, '_>) -> Self {
        Self {
            tenant: read_line(source, section, self),
            ..self.clone()
        }
    }

    /// The same for a flow's `grants`, if it has that key.
    pub(super) fn for_flow(&self, source: &Source<'_>, section: &mut Section<'_, '_>) -> Self {
        Self {
            flow: read_line(source, section, self),
            ..self.clone()
        }
    }
}

/// `[ceiling]`
pub(super) fn ceiling(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Granted {
    let mut granted = Granted::default();
    if let Some(mut section) = section {
        granted.ceiling = read_line(source, &mut section, &granted);
        section.finish();
    }
    granted
}

/// Reads `grants` of a section, all of which must be within what is granted already.
fn read_line(source: &Source<'_>, section: &mut Section<'_, '_>, within: &Granted) -> Option<GrantLine> {
    let names = section.strings_or_none("grants")?;
    let at = source.origin(names.at);
    let mut set = Capabilities::NONE;
    for name in names.value {
        let (at, key) = (name.at, name.key.clone());
        let Some(capability) = source.parsed::<Capability>(name) else {
            continue;
        };
        if let Some((whose, line)) = within.lines().find(|(_, line)| !line.set.has(capability)) {
            let text = format!(
                "\"{capability}\" is not granted by {whose}: take it away here, or add it to grants at {}",
                line.at
            );
            source.note(at, key, text);
        }
        set = set.with(capability);
    }
    Some(GrantLine { set, at })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    fn parse(ceiling: &str, tenant: &str, flow: &str) -> Result<Config, ConfigError> {
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[ceiling]\n{ceiling}\n[[tenant]]\nname = \"acme\"\n{tenant}\n\
             [tenant.flow.ivr]\nfile = \"f.wasm\"\n{flow}\n"
        );
        Config::parse(Path::new("callbox.toml"), &text)
    }

    fn granted(ceiling: &str, tenant: &str, flow: &str) -> Granted {
        parse(ceiling, tenant, flow).unwrap().tenants[0].flows[0]
            .granted
            .clone()
    }

    fn names(granted: &Granted) -> Vec<&'static str> {
        granted.set().iter().map(Capability::name).collect()
    }

    #[test]
    fn what_is_absent_takes_over_what_is_granted_already() {
        assert_eq!(granted("", "", "").set(), Capabilities::ALL);
        let ceiling = "grants = [\"dial\", \"spawn\", \"job\"]";
        assert_eq!(names(&granted(ceiling, "", "")), ["dial", "spawn", "job"]);
        let tenant = "grants = [\"job\", \"dial\"]";
        assert_eq!(names(&granted(ceiling, tenant, "")), ["dial", "job"]);
        assert_eq!(names(&granted(ceiling, "", "grants = \"dial\"")), ["dial"]);
        assert_eq!(names(&granted(ceiling, tenant, "grants = []")), [""; 0]);
        assert_eq!(names(&granted("", "grants = []", "")), [""; 0]);
    }

    #[test]
    fn a_line_that_has_moved_has_not_changed() {
        let here = granted("", "grants = \"dial\"", "");
        assert_eq!(here, granted("\n\n", "grants = [\"dial\"]", ""));
        assert_ne!(here, granted("", "grants = \"spawn\"", ""));
    }

    #[test]
    fn the_line_that_decides_is_known() {
        let granted = granted(
            "grants = [\"dial\", \"send\"]",
            "grants = [\"dial\"]",
            "grants = [\"dial\"]",
        );
        let by = |capability| {
            let (whose, line) = granted.decided_by(capability).unwrap();
            (whose, line.at.line)
        };
        assert_eq!(by(Capability::Spawn), ("[ceiling]", 3));
        assert_eq!(by(Capability::Send), ("the tenant", 6));
        assert_eq!(by(Capability::Dial), ("the flow", 9));
        assert_eq!(Granted::default().decided_by(Capability::Dial), None);
    }

    #[test]
    fn who_asks_for_more_than_is_granted_is_told_both_lines() {
        for (ceiling, tenant, flow, expected) in [
            (
                "grants = [\"dial\"]",
                "grants = [\"dial\", \"registration\"]",
                "",
                "callbox.toml:6: tenant[0].grants[1]: \"registration\" is not granted by [ceiling]: take it away here, \
                 or add it to grants at callbox.toml:3",
            ),
            (
                "",
                "grants = []",
                "grants = \"spawn\"",
                "callbox.toml:9: tenant[0].flow.ivr.grants: \"spawn\" is not granted by the tenant: take it away here, \
                 or add it to grants at callbox.toml:6",
            ),
            (
                "grants = [\"dail\"]",
                "",
                "",
                "callbox.toml:3: ceiling.grants[0]: \"dail\" is nothing that can be granted; did you mean dial?",
            ),
            ("grant = []", "", "", "did you mean grants?"),
        ] {
            let error = parse(ceiling, tenant, flow).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
