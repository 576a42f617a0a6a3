//! JSON Schemas of the two kinds of files, for editors and for checks outside of callbox.
//!
//! Nothing here names a key: what the reader asks for is what the schema has. What only the reader can judge (names that must
//! exist, texts of a form of their own) is left to it, so a file that passes the schema may still be refused, and one that
//! does not pass is. Entry points: [`operator_file`] and [`tenant_file`].

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::Config;
use super::grants::Granted;
use super::limits::TenantLimits;
use super::reader::Source;
use super::shape::{Key, Kind, Shape, Table};
use super::tenant::{self, Common};

/// The schema of `callbox.toml`.
#[must_use]
pub fn operator_file() -> Value {
    let shape = Shape::default();
    let source = Source::recorder(&shape);
    if let Some(root) = source.root() {
        Config::read(Path::new(""), &source, root);
    }
    schema("Configuration of callbox", &shape)
}

/// The schema of a file of the folder `tenants`.
#[must_use]
pub fn tenant_file() -> Value {
    let shape = Shape::default();
    let source = Source::recorder(&shape);
    if let Some(root) = source.root() {
        let limits = TenantLimits::default();
        tenant::read_one(
            &source,
            "",
            root,
            &Common {
                limits: &limits,
                ceiling: &Granted::default(),
            },
        );
    }
    schema("A tenant of callbox", &shape)
}

fn schema(title: &str, shape: &Shape) -> Value {
    let mut schema = table(&shape.borrow());
    if let Value::Object(schema) = &mut schema {
        // Draft 7 is what editors of TOML know.
        schema.insert(
            "$schema".to_owned(),
            json!("http://json-schema.org/draft-07/schema#"),
        );
        schema.insert("title".to_owned(), json!(title));
    }
    schema
}

fn table(table: &Table) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|(name, key)| (name.clone(), value(key)))
        .collect();
    let required: Vec<&String> = table
        .keys
        .iter()
        .filter(|(_, key)| key.required)
        .map(|(name, _)| name)
        .collect();
    let others = match table.free {
        true => json!({ "type": ["string", "number", "boolean"] }),
        false => json!(false),
    };
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": others });
    if let (Value::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn value(key: &Key) -> Value {
    let below = |shape: &Shape| table(&Rc::clone(shape).borrow());
    match &key.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 }
        ] }),
        Kind::TextsOrNone => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } }
        ] }),
        Kind::Number(None) => json!({ "type": "integer", "minimum": 0 }),
        Kind::Number(Some(row)) => json!({
            "type": "integer",
            "minimum": row.range.0,
            "maximum": row.range.1,
            "default": row.default,
            "description": format!("In {}. {} When hit: {}", row.unit, row.why, row.when_hit),
        }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Table(shape) => below(shape),
        Kind::Tables(shape) => json!({ "type": "array", "items": below(shape) }),
        Kind::Named(shape) => json!({ "type": "object", "additionalProperties": below(shape) }),
    }
}

#[cfg(test)]
mod tests;
