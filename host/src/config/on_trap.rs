//! `[tenant.flow.NAME.on_trap]`: what becomes of a call whose flow traps.

use super::Flow;
use super::reader::{Located, Section, Source};

/// Who takes a call over whose flow has trapped, or is not loaded: other flows of the same tenant, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnTrap {
    /// `fallback`: of a call that was not answered, and of every call while the flow is not loaded. None: the caller gets
    /// `code`, or 500 while it is not loaded.
    pub fallback: Option<String>,
    /// `answered_fallback`: of a call that was answered. None: BYE.
    pub answered_fallback: Option<String>,
}

impl OnTrap {
    /// The flows that may take a call over.
    pub fn fallbacks(&self) -> impl Iterator<Item = &str> {
        let all = [&self.fallback, &self.answered_fallback];
        all.into_iter().filter_map(|name| name.as_deref())
    }
}

/// A flow and one that it names.
pub(super) struct Link {
    from: String,
    to: Located<String>,
}

/// The status of the table's `code`, if it has one.
pub(super) type Code = Option<Located<u64>>;

/// Reads the table of one flow. What it names is checked by [`check`], when all flows are known.
pub(super) fn read(section: Option<Section<'_, '_>>, flow: &str, links: &mut Vec<Link>) -> (OnTrap, Code) {
    let Some(mut section) = section else {
        return (OnTrap::default(), None);
    };
    let code = section.number("code");
    let mut named = |key: &str| {
        let to = section.string(key)?;
        let name = to.value.clone();
        links.push(Link {
            from: flow.to_owned(),
            to,
        });
        Some(name)
    };
    let fallback = named("fallback");
    let answered_fallback = named("answered_fallback");
    section.finish();
    let on_trap = OnTrap {
        fallback,
        answered_fallback,
    };
    (on_trap, code)
}

/// Checks that fallbacks are flows of the tenant that take calls, and lead to nobody who leads back.
pub(super) fn check(source: &Source<'_>, flows: &[Flow], links: &[Link]) {
    for Link { from, to } in links {
        let Some(fallback) = flows.iter().find(|flow| flow.name == to.value) else {
            let names: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
            let fix = format!("write one of {}", names.join(", "));
            source.problem(to, "is no flow of this tenant", &fix);
            continue;
        };
        if fallback.job.is_some() {
            source.problem(to, "is a job and takes no calls", "name a flow that takes calls");
        } else if to.value == *from {
            source.problem(
                to,
                "is the flow itself",
                "name another flow, or take the line away",
            );
        } else if leads_to(flows, &to.value, from) {
            let wrong = format!("has {from:?} as its own fallback, by itself or by others");
            source.problem(to, &wrong, "let the last of them have none");
        }
    }
}

/// Whether `from` falls back to `to`, over however many others.
fn leads_to(flows: &[Flow], from: &str, to: &str) -> bool {
    let mut seen = vec![from];
    let mut at = 0;
    while let Some(name) = seen.get(at).copied() {
        at += 1;
        let found = flows.iter().find(|flow| flow.name == name);
        for next in found.into_iter().flat_map(|flow| flow.on_trap.fallbacks()) {
            if next == to {
                return true;
            }
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::super::{Config, ConfigError};

    fn parse(on_trap: &str) -> Result<Config, ConfigError> {
        let text = format!(
            "listen = \"udp:127.0.0.1:5060\"\n[[tenant]]\nname = \"acme\"\n\
             flow.a.file = \"a.wasm\"\nflow.b.file = \"b.wasm\"\nflow.c.file = \"c.wasm\"\n\
             [tenant.flow.night]\nfile = \"n.wasm\"\njob.start = \"boot\"\n{on_trap}\n"
        );
        Config::parse(Path::new("callbox.toml"), &text)
    }

    fn error(on_trap: &str) -> String {
        parse(on_trap).unwrap_err().to_string()
    }

    #[test]
    fn fallbacks_are_flows_of_the_tenant() {
        let config = parse(
            "[tenant.flow.a.on_trap]\ncode = 486\nfallback = \"b\"\nanswered_fallback = \"c\"\n\
             [tenant.flow.b.on_trap]\nfallback = \"c\"",
        )
        .unwrap();
        let acme = config.tenants.first().unwrap();
        let a = acme.flows.iter().find(|flow| flow.name == "a").unwrap();
        assert_eq!(a.trap_code, 486);
        assert_eq!(a.on_trap.fallbacks().collect::<Vec<_>>(), ["b", "c"]);
        assert!(acme.is_fallback("b") && acme.is_fallback("c") && !acme.is_fallback("a"));
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let on_a = |to: &str| format!("[tenant.flow.a.on_trap]\nfallback = {to:?}");
        for (text, told) in [
            (
                on_a("nobody"),
                "callbox.toml:11: tenant[0].flow.a.on_trap.fallback: \"nobody\" is no flow of this tenant; write one of \
                 a, b, c, night",
            ),
            (
                on_a("a"),
                "callbox.toml:11: tenant[0].flow.a.on_trap.fallback: \"a\" is the flow itself; name another flow, or \
                 take the line away",
            ),
            (
                on_a("night"),
                "callbox.toml:11: tenant[0].flow.a.on_trap.fallback: \"night\" is a job and takes no calls; name a flow \
                 that takes calls",
            ),
            (
                "[tenant.flow.a.on_trap]\ncode = 503".to_owned(),
                "callbox.toml:11: tenant[0].flow.a.on_trap.code: 503 makes proxies take the whole host for dead; write \
                 500 or another code",
            ),
            (
                "[tenant.flow.a.on_trap]\nfall_back = \"b\"".to_owned(),
                "callbox.toml:11: tenant[0].flow.a.on_trap.fall_back: is not a key; did you mean fallback?",
            ),
        ] {
            assert!(error(&text).contains(told), "{}", error(&text));
        }
        let circle = format!(
            "{}\n[tenant.flow.b.on_trap]\nanswered_fallback = \"c\"\n[tenant.flow.c.on_trap]\nfallback = \"a\"",
            on_a("b")
        );
        let told = error(&circle);
        assert!(told.contains("has \"a\" as its own fallback"), "{told}");
        assert_eq!(
            told.matches("as its own fallback").count(),
            3,
            "each of them: {told}"
        );
    }
}
