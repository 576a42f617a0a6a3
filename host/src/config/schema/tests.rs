//! The schemas hold what is right and refuse what the reader refuses for its keys and kinds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

/// The first thing wrong with a value, by the part of JSON Schema that [`table`] and [`value`] write.
fn wrong(schema: &Value, value: &toml::Value, at: &str) -> Option<String> {
    if let Some(any) = schema.get("anyOf") {
        let any = any.as_array().unwrap();
        let refused = any.iter().all(|schema| wrong(schema, value, at).is_some());
        return refused.then(|| format!("{at}: none of {} fits", any.len()));
    }
    let kind = match value {
        toml::Value::String(_) => "string",
        toml::Value::Integer(_) => "integer",
        toml::Value::Float(_) => "number",
        toml::Value::Boolean(_) => "boolean",
        toml::Value::Array(_) => "array",
        toml::Value::Table(_) => "object",
        toml::Value::Datetime(_) => panic!("{at}: a date"),
    };
    let fits = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    let types = &schema["type"];
    if !types
        .as_array()
        .map_or_else(|| fits(types), |all| all.iter().any(fits))
    {
        return Some(format!("{at}: a {kind} and not {types}"));
    }
    match value {
        toml::Value::Integer(number) => {
            let bound = |name: &str, otherwise| schema.get(name).and_then(Value::as_i64).unwrap_or(otherwise);
            let outside = *number < bound("minimum", i64::MIN) || *number > bound("maximum", i64::MAX);
            outside.then(|| format!("{at}: {number} is out of range"))
        }
        toml::Value::Array(items) => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            if (items.len() as u64) < least {
                return Some(format!("{at}: too short"));
            }
            items
                .iter()
                .enumerate()
                .find_map(|(index, item)| wrong(&schema["items"], item, &format!("{at}[{index}]")))
        }
        toml::Value::Table(table) => {
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten() {
                if !table.contains_key(name.as_str().unwrap()) {
                    return Some(format!("{at}: {name} is missing"));
                }
            }
            table.iter().find_map(|(name, value)| {
                let at = format!("{at}.{name}");
                let known = schema.get("properties").and_then(|known| known.get(name));
                match known.unwrap_or(&schema["additionalProperties"]) {
                    Value::Bool(false) => Some(format!("{at}: unknown")),
                    schema => wrong(schema, value, &at),
                }
            })
        }
        _ => None,
    }
}

fn judge(schema: &Value, text: &str) -> Option<String> {
    let table: toml::Table = text.parse().unwrap();
    wrong(schema, &toml::Value::Table(table), "")
}

#[test]
fn the_configurations_that_ship_and_those_of_the_tests_pass() {
    let operator = operator_file();
    let example = include_str!("../../../../examples/callbox.toml");
    for text in [example, crate::config::tests::FULL] {
        assert_eq!(judge(&operator, text), None);
    }
}

#[test]
fn a_tenant_file_has_the_keys_of_a_tenant_but_its_name() {
    let tenant = tenant_file();
    let keys = |schema: &Value| -> Vec<String> {
        schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let mut of_operator = keys(&operator_file()["properties"]["tenant"]["items"]);
    of_operator.retain(|key| key != "name");
    assert_eq!(keys(&tenant), of_operator);
    assert_eq!(
        judge(
            &tenant,
            "domains = \"a\"\nflow.f = { file = \"f\", numbers = [\"1\"] }"
        ),
        None
    );
}

#[test]
fn what_the_reader_refuses_by_key_or_kind_the_schema_refuses() {
    let schema = operator_file();
    let right = "listen = \"udp:127.0.0.1:0\"\n";
    assert_eq!(judge(&schema, right), None);
    for (line, expected) in [
        ("listn = 1", ".listn: unknown"),
        ("user_agent = 1", ".user_agent: a integer and not"),
        ("cache_dir = []", ".cache_dir: a array and not"),
        ("limits.calls_max = 0", ".limits.calls_max: 0 is out of range"),
        ("limits.sip.t1_mss = 500", ".limits.sip.t1_mss: unknown"),
        ("log.format = true", ".log.format: a boolean"),
        (
            "[[tenant]]\nflow.f.file = \"f\"",
            ".tenant[0]: \"name\" is missing",
        ),
        ("[[tenant]]\nname = \"a\"\nflow.f.config = { a = [] }", "flow.f"),
        (
            "[[route]]\ntenant = \"a\"\nsource = []",
            ".route[0].source: none of 2 fits",
        ),
    ] {
        let said = judge(&schema, &format!("{right}{line}")).unwrap_or_default();
        assert!(said.contains(expected), "{line}: {said}");
    }
    assert!(judge(&schema, "log.level = \"info\"").unwrap().contains("listen"));
}
