//! `tests/README.md` names the test that proves each method. A name that is not there proves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// All sources below a folder, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_list_of_methods_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for folder in ["tests", "../host"] {
        sources(&root.join(folder), &mut text);
    }
    let list = fs::read_to_string(root.join("README.md")).unwrap();
    let list = list.split("## The seed's methods").nth(1).expect("the list");
    let names: Vec<_> = list
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.rsplit('|').nth(1))
        .flat_map(|tests| tests.split('`').skip(1).step_by(2))
        // A file or a method; a shortened name ends with dots.
        .filter(|name| name.contains('_') && !name.contains(['.', '-', '…']))
        .collect();
    assert!(names.len() > 50, "only {} names were found", names.len());
    for name in names {
        assert!(
            text.contains(&format!("fn {name}()")),
            "tests/README.md names {name}, which is no test"
        );
    }
}
