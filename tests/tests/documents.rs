//! Pages of the documentation that the program writes itself are those of this program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use callbox_tests::cli;

#[test]
fn the_schemas_are_those_of_the_reader() {
    for (name, arguments) in [("callbox", &["schema"][..]), ("tenant", &["schema", "--tenant"])] {
        let name = format!("docs/{name}.schema.json");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&name);
        let page = std::fs::read_to_string(&file).unwrap_or_default();
        let said = cli::run(arguments);
        assert_eq!(said.code, Some(0), "{}", said.all());
        let command = arguments.join(" ");
        assert!(
            page == said.out,
            "{name} is stale. Run: target/debug/callbox {command} > {name}"
        );
    }
}

#[test]
fn the_page_of_limits_is_that_of_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/limits.md");
    let page = std::fs::read_to_string(&file).unwrap_or_default();
    let said = cli::run(["limits", "--markdown"]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(
        page == said.out,
        "docs/limits.md is stale. Run: target/debug/callbox limits --markdown > docs/limits.md"
    );
}

#[test]
fn the_page_of_metrics_is_that_of_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&file).unwrap_or_default();
    let said = cli::run(["metrics", "--markdown"]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(
        page == said.out,
        "docs/metrics.md is stale. Run: target/debug/callbox metrics --markdown > docs/metrics.md"
    );
}
