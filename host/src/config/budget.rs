//! `[tenant.budget]`: what a tenant's calls may cost a day, and how long one may last.
//!
//! Entry type: [`Budget`]. Nothing is bounded where nothing is said.

use super::reader::Section;

/// Bounds on the calls that a tenant's flows place. Days are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// `minutes_per_day`: minutes of all answered calls out together.
    pub minutes_per_day: Option<u64>,
    /// `dials_per_day`: INVITEs out, redirections that are followed included.
    pub dials_per_day: Option<u64>,
    /// `call_max_s`: seconds from the answer of a call out to its end.
    pub call_max_s: Option<u64>,
}

pub(super) fn read(section: Option<Section<'_, '_>>) -> Budget {
    let Some(mut section) = section else {
        return Budget::default();
    };
    let budget = Budget {
        minutes_per_day: section.number_within("minutes_per_day", 1..=10_000_000),
        dials_per_day: section.number_within("dials_per_day", 1..=100_000_000),
        call_max_s: section.number_within("call_max_s", 1..=604_800),
    };
    section.finish();
    budget
}
