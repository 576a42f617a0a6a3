//! `[dialling]`: what holds for the numbers of every tenant.
//!
//! Entry type: [`Dialling`].

use super::premium::PremiumList;
use super::reader::{Section, Source};

/// Rules about numbers that are the operator's, not a tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialling {
    /// The dear numbers that are denied; none with `premium = "allow"`. The shipped list, or that of `premium_file`.
    pub premium: Option<PremiumList>,
    /// `international_prefixes`: what stands for `+` in numbers that are dialled without it. `00` when nothing is said.
    pub international_prefixes: Vec<String>,
}

impl Default for Dialling {
    fn default() -> Self {
        Self {
            premium: Some(PremiumList::shipped()),
            international_prefixes: vec!["00".to_owned()],
        }
    }
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Dialling {
    let mut dialling = Dialling::default();
    let Some(mut section) = section else {
        return dialling;
    };
    let allowed = section
        .string("premium")
        .is_some_and(|premium| match premium.value.as_str() {
            "allow" => true,
            "deny" => false,
            _ => {
                source.problem(&premium, "is neither", "write \"deny\" or \"allow\"");
                false
            }
        });
    if let Some(file) = section.string("premium_file") {
        let path = source.path(&file.value);
        let list = std::fs::read_to_string(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse());
        match list {
            Ok(list) => dialling.premium = Some(list),
            Err(error) => source.problem(
                &file,
                &format!("cannot be used: {error}"),
                "write one beginning of a number a line, as +1900",
            ),
        }
    }
    if allowed {
        dialling.premium = None;
    }
    if let Some(prefixes) = section.strings("international_prefixes") {
        dialling.international_prefixes.clear();
        for prefix in prefixes {
            let digits = !prefix.value.is_empty() && prefix.value.bytes().all(|byte| byte.is_ascii_digit());
            match digits && prefix.value.len() <= 8 {
                true => dialling.international_prefixes.push(prefix.value),
                false => source.problem(&prefix, "is not a prefix", "write the digits, as in \"00\""),
            }
        }
    }
    section.finish();
    dialling
}
