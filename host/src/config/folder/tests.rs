//! A folder of tenant files: what is read, who may claim what, and that one's mistake is nobody else's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use crate::config::{Config, ConfigError, RouteTarget};

/// An operator's file with these lines beside tenant files, read as at the start.
fn load(operator: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Config, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tenants")).unwrap();
    let text = format!("listen = \"udp:127.0.0.1:0\"\ntenants = \"tenants\"\n{operator}\n");
    fs::write(folder.path().join("callbox.toml"), text).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("tenants").join(name), text).unwrap();
    }
    let config = Config::load(&folder.path().join("callbox.toml"));
    (folder, config)
}

/// What is said of the tenants that are left out, without the folder, and who is there.
fn left_out(operator: &str, files: &[(&str, &str)]) -> (String, Vec<String>) {
    let (folder, config) = load(operator, files);
    let config = config.unwrap();
    let lines: Vec<String> = config.left_out.iter().map(ToString::to_string).collect();
    let prefix = format!("{}/", folder.path().display());
    let names = config.tenants.into_iter().map(|tenant| tenant.name).collect();
    (lines.join("\n").replace(&prefix, ""), names)
}

/// `tenant/flow` of whom a call goes to.
fn answerer(config: &Config, user: &str, domain: &str, source: &str) -> String {
    let route = config
        .routes
        .iter()
        .find(|route| route.miss(user, domain, source.parse().unwrap()).is_none());
    route.map_or_else(String::new, |route| {
        let tenant = &config.tenants[route.tenant];
        match &route.to {
            RouteTarget::Flow(flow) => format!("{}/{}", tenant.name, tenant.flows[*flow].name),
            RouteTarget::Service(service) => format!("{}'s {service}", tenant.name),
        }
    })
}

const ACME: &str = "\
domains = \"acme.example\"
[flow.ivr]
file = \"acme/ivr.wasm\"
numbers = [\"100\", \"+4930*\"]
[flow.berlin]
file = \"acme/berlin.wasm\"
numbers = \"+4930123*\"
[[route]]
number = \"desk\"
service = \"desk\"
";
const BIND: &str = "sources = \"10.0.0.0/8\"\nflow.f.file = \"f.wasm\"\n[[route]]\nflow = \"f\"\n";

#[test]
fn each_file_is_a_tenant_with_routes_of_its_own() {
    let (folder, config) = load(
        "[[route]]\nnumber = \"101\"\ntenant = \"acme\"\nflow = \"berlin\"",
        &[
            ("acme.toml", ACME),
            (
                "zeta.toml",
                &BIND.replace("flow.f", "domains = \"zeta.example\"\nflow.f"),
            ),
            (".acme.toml.swp", "broken ["),
            ("acme.toml~", "broken ["),
            ("#acme.toml", "broken ["),
        ],
    );
    let config = config.unwrap();
    assert!(
        config.left_out.is_empty() && config.warnings.is_empty(),
        "{config:?}"
    );
    assert_eq!(
        config.tenants[0]
            .flows
            .iter()
            .find(|flow| flow.name == "ivr")
            .unwrap()
            .file,
        folder.path().join("tenants/acme/ivr.wasm"),
        "paths are taken from the folder of the file"
    );
    let found = |user, domain, source| answerer(&config, user, domain, source);
    assert_eq!(
        found("101", "anywhere", "::1"),
        "acme/berlin",
        "the operator's word"
    );
    assert_eq!(found("100", "acme.example", "::1"), "acme/ivr");
    assert_eq!(found("100", "elsewhere", "::1"), "");
    assert_eq!(
        found("+49301234", "acme.example", "::1"),
        "acme/berlin",
        "the longer beginning"
    );
    assert_eq!(found("+49309", "acme.example", "::1"), "acme/ivr");
    assert_eq!(found("desk", "acme.example", "::1"), "acme's desk");
    assert_eq!(found("x", "zeta.example", "10.1.1.1"), "zeta/f");
    assert_eq!(found("x", "zeta.example", "11.1.1.1"), "");
}

#[test]
fn a_broken_file_takes_its_tenant_out_and_no_other() {
    let (said, names) = left_out(
        "[[route]]\nnumber = \"9\"\ntenant = \"broken\"\nflow = \"x\"",
        &[
            ("acme.toml", ACME),
            ("broken.toml", "flow.x.fil = \"x.wasm\"\ndail = \"*\"\n"),
            ("syntax.toml", "flow = \n"),
            ("no name.toml", "flow.x.file = \"x.wasm\"\n"),
        ],
    );
    assert_eq!(names, ["acme"]);
    for expected in [
        "tenants/broken.toml:1: flow.x.file: is missing; write file = \"flow.wasm\"",
        "tenants/broken.toml:1: flow.x.fil: is not a key; did you mean file?",
        "tenants/broken.toml:2: dail: is not a key; did you mean dial?",
        "tenants/no name.toml:1: \"no name\" is not a name; write 1 to 64 letters",
        "tenants/syntax.toml:1: not TOML: ",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let (folder, _) = load("", &[("a.toml", "x = 1")]);
    let error = Config::load_whole(&folder.path().join("callbox.toml")).unwrap_err();
    assert!(error.to_string().contains("a.toml:1: x: is not a key"), "{error}");
}

#[test]
fn every_mistake_of_every_file_comes_at_once() {
    let (_folder, config) = load("listn = 1", &[("a.toml", "x = 1\n"), ("b.toml", "y = 1\n")]);
    let said = config.unwrap_err().to_string();
    for part in ["callbox.toml:3: listn", "a.toml:1: x:", "b.toml:1: y:"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn two_tenants_that_claim_the_same_are_told_of_each_other() {
    let (said, names) = left_out(
        "",
        &[
            (
                "acme.toml",
                "flow.f = { file = \"f.wasm\", numbers = [\"100\", \"101\"] }\n",
            ),
            (
                "base.toml",
                "flow.f = { file = \"f.wasm\", numbers = [\"200\"] }\n",
            ),
            (
                "both.toml",
                "flow.f = { file = \"f.wasm\", numbers = [\"300\", \"10*\"] }\n",
            ),
            (
                "near.toml",
                "domains = \"n.example\"\nflow.f = { file = \"f.wasm\", numbers = [\"200\"] }\n",
            ),
        ],
    );
    assert_eq!(names, ["acme", "base"]);
    assert_eq!(
        said,
        "tenants/both.toml:1: route: takes 10…, and tenants/acme.toml:1 takes 100, 101 for tenant \"acme\": a call \
         cannot be both's; take one away, or give both domains or sources of their own\n\
         tenants/near.toml:2: route: takes 200 at n.example, and tenants/base.toml:1 takes 200 for tenant \"base\": a \
         call cannot be both's; take one away, or give both domains or sources of their own"
    );
    let (said, names) = left_out(
        "[[tenant]]\nname = \"acme\"\nflow.f.file = \"f.wasm\"",
        &[("acme.toml", "flow.f.file = \"f.wasm\"\n")],
    );
    assert_eq!(names, ["acme"]);
    assert!(
        said.contains("acme.toml:1: the tenant \"acme\" is in callbox.toml:3 already"),
        "{said}"
    );
}

#[test]
fn what_nobody_can_be_sure_of_is_a_warning() {
    let route = |pattern| {
        format!("flow.f.file = \"f.wasm\"\n[[route]]\nnumber_pattern = \"{pattern}\"\nflow = \"f\"\n")
    };
    let (_folder, config) = load(
        "",
        &[
            ("a.toml", &route("49[0-9]{3}")),
            ("b.toml", &route("49[0-9]{4}")),
            ("c.toml", &route("50.*")),
        ],
    );
    let config = config.unwrap();
    assert_eq!(
        (config.tenants.len(), config.warnings.len()),
        (3, 1),
        "{:?}",
        config.warnings
    );
    assert!(
        config.warnings[0]
            .to_string()
            .contains("b.toml:2: route: takes /"),
        "{}",
        config.warnings[0]
    );
}

#[test]
fn a_tenant_claims_what_the_operator_grants_and_no_more() {
    let claims = "[claims.acme]\ndomains = [\"acme.example\", \"*.acme.example\"]\nnumbers = \"+4930*\"";
    let flow = |rest: &str| format!("flow.f.file = \"f.wasm\"\n[[route]]\nflow = \"f\"\n{rest}\n");
    for (rest, fits) in [
        ("domain = \"acme.example\"", true),
        (
            "domain = [\"a.acme.example\", \"acme.example\"]\nnumber = \"1\"",
            true,
        ),
        ("number = \"+49301\"", true),
        ("number_prefix = \"+49301\"", true),
        ("number_pattern = \"[+]49\"", false),
        ("domain = [\"acme.example\", \"b.example\"]", false),
        ("number_prefix = \"+49\"", false),
        ("source = \"10.0.0.0/8\"", false),
    ] {
        let (said, names) = left_out(claims, &[("acme.toml", &flow(rest))]);
        assert_eq!(names.is_empty(), !fits, "{rest}: {said}");
        if !fits {
            let named = "tenants/acme.toml:2: route: takes ";
            assert!(
                said.starts_with(named) && said.contains("callbox.toml:3 grants acme.example, "),
                "{said}"
            );
        }
    }
    let (said, names) = left_out(claims, &[("other.toml", &flow("domain = \"o.example\""))]);
    assert!(
        names.is_empty() && said.contains("there is no [claims.other]"),
        "{said}"
    );
    let (_folder, config) = load("[claims.acme]", &[]);
    let said = config.unwrap_err().to_string();
    assert!(
        said.contains("claims.acme: grants nothing; write domains"),
        "{said}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_the_operator_s_mistake() {
    let text = "listen = \"udp:127.0.0.1:0\"\ntenants = \"nowhere\"\n";
    let said = Config::parse(Path::new("callbox.toml"), text)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("callbox.toml:2: tenants: \"nowhere\" cannot be read: ")
            && said.ends_with("; name a folder with a file for each tenant"),
        "{said}"
    );
}
