//! `docs/openapi.json` describes the routes that there are, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

#[test]
fn the_description_has_every_route_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let route = Regex::new(
        r#"\.route\(\s*"([^"]+)",\s*((?:(?:axum::routing::)?(?:get|post|put|delete|patch)\([^)]*\)\s*\.?\s*)+)"#,
    )
    .unwrap();
    let method = Regex::new(r"\b(get|post|put|delete|patch)\(").unwrap();
    let mut served = BTreeSet::new();
    for entry in fs::read_dir(root.join("host/src/admin")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for found in route.captures_iter(&text) {
            for name in method.captures_iter(&found[2]) {
                served.insert(format!("{} {}", &name[1], &found[1]));
            }
        }
    }
    assert!(served.len() > 5, "{served:?}");

    // Written with two spaces a level: paths stand at the second, methods at the third.
    let page = fs::read_to_string(root.join("docs/openapi.json")).unwrap();
    let path = Regex::new(r#"^    "(/[^"]*)": \{$"#).unwrap();
    let operation = Regex::new(r#"^      "(get|post|put|delete|patch)": \{$"#).unwrap();
    let mut described = BTreeSet::new();
    let mut at = String::new();
    for line in page.lines() {
        if let Some(found) = path.captures(line) {
            at = found[1].to_owned();
        } else if let Some(found) = operation.captures(line) {
            described.insert(format!("{} {at}", &found[1]));
        }
    }
    assert_eq!(
        served, described,
        "routes of host/src/admin, and those of docs/openapi.json"
    );
}
