//! `[otel]`: the collector that gets a trace of calls.
//!
//! Knows nothing of the protocol. Entry type: [`Otel`].

use super::reader::{Located, Section, Source};

/// All calls, in parts of a million.
const WHOLE: u32 = 1_000_000;

/// `[otel]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otel {
    /// `HOST:PORT` of `endpoint`.
    pub authority: String,
    /// What stands before `/v1/traces` in `endpoint`: empty, or a path that begins with a slash.
    pub base: String,
    /// `sample`: calls that are traced, in parts of a million; all when nothing is said.
    pub sample: u32,
    /// `host_calls`: those of them whose host calls are spans too, in parts of a million; none when nothing is said.
    pub host_calls: u32,
    /// `service`: what this host is called; `callbox` when nothing is said.
    pub service: String,
    /// `include_numbers`: spans hold numbers and URIs, and a flow's own words.
    pub include_numbers: bool,
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Option<Otel> {
    let mut section = section?;
    let endpoint = section.required_string("endpoint", "write endpoint = \"http://127.0.0.1:4318\"");
    let share =
        |text: Option<Located<String>>, otherwise| text.map_or(Some(otherwise), |it| share(source, &it));
    let sample = share(section.string("sample"), WHOLE);
    let host_calls = share(section.string("host_calls"), 0);
    let service = section.string("service").map(|text| {
        if text.value.is_empty() || text.value.len() > 256 || text.value.chars().any(char::is_control) {
            source.problem(&text, "is no name", "write one line of text, 256 bytes at most");
        }
        text.value
    });
    let include_numbers = section.boolean("include_numbers").unwrap_or_default();
    section.finish();
    let (authority, base) = endpoint_of(source, &endpoint?)?;
    Some(Otel {
        authority,
        base,
        sample: sample?,
        host_calls: host_calls?,
        service: service.unwrap_or_else(|| "callbox".to_owned()),
        include_numbers,
    })
}

fn endpoint_of(source: &Source<'_>, text: &Located<String>) -> Option<(String, String)> {
    if text.value.starts_with("https:") {
        let fix = "have a collector on this machine or network that takes http:// and sends on by TLS";
        source.problem(text, "asks for TLS, which this version does not have", fix);
        return None;
    }
    let parsed = text.value.strip_prefix("http://").and_then(|rest| {
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let plain_path = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
        let (host, port) = authority.rsplit_once(':')?;
        let good = !host.is_empty()
            && port.parse::<u16>().is_ok_and(|port| port != 0)
            && authority.chars().all(plain)
            && path.chars().all(plain_path);
        good.then(|| (authority.to_owned(), path.trim_end_matches('/').to_owned()))
    });
    if parsed.is_none() {
        let fix = "write http://HOST:PORT, as in \"http://127.0.0.1:4318\"; /v1/traces is added";
        source.problem(text, "is not where a collector takes OTLP by HTTP", fix);
    }
    parsed
}

/// `10%`, `0.5%`, in parts of a million.
fn share(source: &Source<'_>, text: &Located<String>) -> Option<u32> {
    let percent = text.value.strip_suffix('%').map(str::trim);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = percent.and_then(|percent| {
        let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
        if !digits(whole) || !digits(part) || part.is_empty() || part.len() > 4 {
            return None;
        }
        let part = format!("{part:0<4}").parse::<u32>().ok()?;
        let whole = whole.parse::<u32>().ok()?.checked_mul(WHOLE / 100)?;
        whole.checked_add(part).filter(|share| *share <= WHOLE)
    });
    if parsed.is_none() {
        let fix = "write \"0%\" to \"100%\", with four digits after the point at most";
        source.problem(text, "is no share", fix);
    }
    parsed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Option<Otel>, String> {
        let text = format!("listen = \"udp:127.0.0.1:0\"\n{lines}\n");
        Config::parse(Path::new("/etc/callbox.toml"), &text)
            .map(|config| config.otel)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_and_shares() {
        assert_eq!(parse("").unwrap(), None);
        let plain = parse("[otel]\nendpoint = \"http://127.0.0.1:4318\"")
            .unwrap()
            .unwrap();
        assert_eq!((&*plain.authority, &*plain.base), ("127.0.0.1:4318", ""));
        assert_eq!(
            (plain.sample, plain.host_calls, &*plain.service),
            (WHOLE, 0, "callbox")
        );
        assert!(!plain.include_numbers);
        let full = "[otel]\nendpoint = \"http://[::1]:80/otlp/\"\nsample = \"10%\"\nhost_calls = \"0.0125%\"\n\
                    service = \"edge\"\ninclude_numbers = true";
        let full = parse(full).unwrap().unwrap();
        assert_eq!((&*full.authority, &*full.base), ("[::1]:80", "/otlp"));
        assert_eq!(
            (full.sample, full.host_calls, &*full.service),
            (100_000, 125, "edge")
        );
        assert!(full.include_numbers);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_fix() {
        for (lines, expected) in [
            ("endpoint = \"https://a:4318\"", "asks for TLS"),
            ("endpoint = \"a:4318\"", "http://HOST:PORT"),
            ("endpoint = \"http://a\"", "http://HOST:PORT"),
            ("endpoint = \"http://a:1/x y\"", "http://HOST:PORT"),
            ("endpoint = \"http://a:1\"\nsample = \"10\"", "is no share"),
            ("endpoint = \"http://a:1\"\nsample = \"101%\"", "is no share"),
            ("endpoint = \"http://a:1\"\nhost_calls = \"-1%\"", "is no share"),
            (
                "endpoint = \"http://a:1\"\nhost_calls = \"0.00001%\"",
                "is no share",
            ),
            (
                "endpoint = \"http://a:1\"\nsample = \"4294967295%\"",
                "is no share",
            ),
            ("endpoint = \"http://a:1\"\nservice = \"\"", "is no name"),
            (
                "endpoint = \"http://a:1\"\nsampel = \"1%\"",
                "did you mean sample",
            ),
            ("sample = \"1%\"", "otel.endpoint: is missing"),
        ] {
            let error = parse(&format!("[otel]\n{lines}")).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }
}
