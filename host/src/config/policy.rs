//! What bounds the calls of a tenant beyond `dial`: `deny`, `allow_premium`, `headers`, `media`, `[tenant.budget]`.
//!
//! Knows what is written, not what it means for a call: tenant/ judges. Entry type: [`Policy`].

use super::budget::{self, Budget};
use super::reader::{Section, Source};
use super::trunk::{Trunk, TrunkNumber};
use super::{Cidr, DialRule};

/// Headers that claim who calls, who pays, or who was called before: only what is granted by name may be set.
pub(super) const IDENTITY_HEADERS: &[&str] = &[
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "P-Charge-Info",
    "Diversion",
    "History-Info",
    "Identity",
];

/// Bounds on a tenant's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// `deny`: where its flows may not call, whatever `dial` and the trunks say.
    pub deny: Vec<DialRule>,
    /// `allow_premium`: numbers of the list of dear ones that it may call all the same.
    pub allow_premium: Vec<TrunkNumber>,
    /// `headers`: those of `IDENTITY_HEADERS` that its flows may set, in the list's spelling.
    pub headers: Vec<&'static str>,
    /// With `sdp_egress = "tenant"`, `media`: the only addresses that its flows may name for media.
    pub media: Option<Vec<Cidr>>,
    /// `[tenant.budget]`
    pub budget: Budget,
}

/// Reads the keys of a tenant's table.
pub(super) fn read(source: &Source<'_>, section: &mut Section<'_, '_>) -> Policy {
    let deny = section.strings("deny").unwrap_or_default();
    let allow_premium = section.strings("allow_premium").unwrap_or_default();
    let headers = section.strings("headers").unwrap_or_default();
    let egress = section.string("sdp_egress");
    let media = section.strings("media");
    let at = section.at();
    let place = section.full("media");
    let budget = budget::read(section.section("budget"));
    let bounded = egress.is_some_and(|egress| match egress.value.as_str() {
        "tenant" => true,
        "any" => false,
        _ => {
            source.problem(&egress, "is neither", "write \"any\" or \"tenant\"");
            false
        }
    });
    match (bounded, &media) {
        (true, None) => {
            let text = "is missing; write the addresses that sdp_egress = \"tenant\" shall allow, as in \"203.0.113.0/24\"";
            source.note(at, place, text.to_owned());
        }
        (false, Some(_)) => {
            let text = "has no effect; write sdp_egress = \"tenant\" beside it";
            source.note(at, place, text.to_owned());
        }
        _ => {}
    }
    let media = media.map(|ranges| {
        ranges
            .into_iter()
            .filter_map(|range| source.parsed(range))
            .collect()
    });
    Policy {
        deny: deny.into_iter().filter_map(|rule| source.parsed(rule)).collect(),
        allow_premium: allow_premium
            .into_iter()
            .filter_map(|number| source.parsed(number))
            .collect(),
        headers: headers
            .into_iter()
            .filter_map(|header| {
                let known = IDENTITY_HEADERS
                    .iter()
                    .find(|known| known.eq_ignore_ascii_case(&header.value));
                if known.is_none() {
                    let fix = format!("known here: {}", IDENTITY_HEADERS.join(", "));
                    source.problem(&header, "is not a header that is granted", &fix);
                }
                known.copied()
            })
            .collect(),
        media: media.filter(|_| bounded),
        budget,
    }
}

/// A rule about a trunk that the tenant does not have would allow nothing, or deny nothing.
pub(super) fn check_trunks<'a>(
    source: &Source<'_>,
    (at, path): (usize, &str),
    rules: impl Iterator<Item = &'a DialRule>,
    trunks: &[Trunk],
) {
    for rule in rules {
        if let DialRule::Trunk(name) = rule
            && !trunks.iter().any(|trunk| trunk.name == *name)
        {
            let table = match path {
                "" => format!("[trunk.{name}]"),
                _ => format!("[tenant.trunk.{name}]"),
            };
            let text = format!("no trunk {name:?}, which a rule names; write {table}, or take the rule away");
            source.note(at, path.to_owned(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Config, String> {
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[[tenant]]\nname = \"acme\"\n{lines}\n[tenant.flow.f]\nfile = \"f.wasm\"\n"
        );
        Config::parse(Path::new("callbox.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            "dial = \"*\"\ndeny = [\"10.0.0.0/8\", \"trunk:main\"]\nallow_premium = \"+49900*\"\n\
             headers = [\"p-asserted-identity\"]\nsdp_egress = \"tenant\"\nmedia = [\"203.0.113.0/24\"]\n\
             budget = { minutes_per_day = 60, dials_per_day = 100, call_max_s = 600 }\n\
             [tenant.trunk.main]\nproxy = \"udp:192.0.2.1:5060\"\n",
        )
        .unwrap();
        let policy = &config.tenants.first().unwrap().policy;
        assert_eq!((policy.deny.len(), policy.allow_premium.len()), (2, 1));
        assert_eq!(policy.headers, ["P-Asserted-Identity"]);
        assert_eq!(policy.media.as_ref().map(Vec::len), Some(1));
        let budget = policy.budget;
        assert_eq!(
            (budget.minutes_per_day, budget.dials_per_day, budget.call_max_s),
            (Some(60), Some(100), Some(600))
        );
        assert_eq!(
            parse("").unwrap().tenants.first().unwrap().policy,
            Policy::default()
        );
    }

    #[test]
    fn mistakes_name_the_key_and_the_fix() {
        for (lines, key, fix) in [
            ("deny = \"a b\"", "tenant[0].deny", "trunk:NAME"),
            ("dial = \"trunk:main\"", "tenant[0]", "[tenant.trunk.main]"),
            ("headers = \"Via\"", "tenant[0].headers", "P-Asserted-Identity"),
            ("sdp_egress = \"some\"", "tenant[0].sdp_egress", "\"tenant\""),
            ("sdp_egress = \"tenant\"", "tenant[0].media", "203.0.113.0/24"),
            ("media = \"203.0.113.0/24\"", "tenant[0].media", "sdp_egress"),
            (
                "budget.minutes_per_day = 0",
                "tenant[0].budget.minutes_per_day",
                "write 1 to",
            ),
            (
                "budget.minutes = 1",
                "tenant[0].budget.minutes",
                "minutes_per_day",
            ),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(key) && error.contains(fix), "{lines}: {error}");
        }
    }

    #[test]
    fn the_list_of_dear_numbers_is_the_operators_to_choose() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dear.txt");
        let read = |lines: &str, text: &str| {
            std::fs::write(&list, text).unwrap();
            let config = format!(
                "listen = \"udp:127.0.0.1:0\"\n[dialling]\n{}\n[[tenant]]\nname = \"a\"\nflow.f.file = \"f.wasm\"\n",
                lines.replace("LIST", &format!("premium_file = {list:?}"))
            );
            Config::parse(Path::new("callbox.toml"), &config).map_err(|error| error.to_string())
        };
        let premium = |lines: &str| read(lines, "+7\n").unwrap().dialling.premium;
        assert_eq!(premium("premium = \"allow\"\nLIST"), None);
        let own = premium("LIST").unwrap();
        assert_eq!((own.entry_of("+79"), own.entry_of("+1900")), (Some("+7"), None));
        assert!(premium("premium = \"deny\"").unwrap().entry_of("+1900").is_some());
        assert!(read("LIST", "nine\n").unwrap_err().contains("line 1"));
        assert!(
            read("premium = \"maybe\"", "")
                .unwrap_err()
                .contains("write \"deny\" or \"allow\"")
        );
        assert!(
            read("international_prefixes = [\"+\"]", "")
                .unwrap_err()
                .contains("international_prefixes")
        );
        let config = read("international_prefixes = [\"011\"]", "").unwrap();
        assert_eq!(config.dialling.international_prefixes, ["011"]);
    }
}
