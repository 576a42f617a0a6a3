//! Typed access to a TOML document that keeps positions: the caller asks for keys, and what nobody asked for is an
//! unknown key.
//!
//! Problems are collected, not returned, so that one run shows all of them.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem, did_you_mean};
use super::limits::{Limit, MOVED, Refusal};
use super::origin::Origin;
use super::shape::{Kind, Shape};

/// A value with the key and the place it came from.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) key: String,
    pub(super) at: usize,
}

/// The file, and what is wrong with it so far.
pub(super) struct Source<'t> {
    file: Arc<Path>,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    /// Set when it records what is asked for, instead of being a file.
    shape: Option<Shape>,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &Path, text: &'t str) -> Self {
        Self {
            file: file.into(),
            text,
            problems: RefCell::new(Vec::new()),
            shape: None,
        }
    }

    /// No file: every table stands in it, no key does, and `shape` learns what is asked for. Its problems mean nothing.
    pub(super) fn recorder(shape: &Shape) -> Self {
        Self {
            shape: Some(Rc::clone(shape)),
            ..Self::new(Path::new(""), "")
        }
    }

    /// The document, or None with the mistake of syntax noted.
    pub(super) fn root(&self) -> Option<Section<'_, 't>> {
        if let Some(shape) = &self.shape {
            return Some(Section::recorder(self, String::new(), Rc::clone(shape)));
        }
        match DeTable::parse(self.text) {
            Ok(document) => {
                let at = document.span().start;
                Some(Section {
                    source: self,
                    path: String::new(),
                    at,
                    table: document.into_inner(),
                    asked: Vec::new(),
                    shape: None,
                })
            }
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.note(
                    at,
                    String::new(),
                    format!("not TOML: {}", error.message().trim_end()),
                );
                None
            }
        }
    }

    pub(super) fn note(&self, at: usize, key: String, text: String) {
        let Origin { file, line } = self.origin(at);
        self.problems.borrow_mut().push(Problem {
            file,
            line,
            key,
            text,
        });
    }

    /// Notes a problem that is known with its place.
    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes a wrong string: what it says, what is wrong with it, how to put it right.
    pub(super) fn problem(&self, found: &Located<String>, wrong: &str, fix: &str) {
        self.note(
            found.at,
            found.key.clone(),
            format!("{:?} {wrong}; {fix}", found.value),
        );
    }

    /// Parses a string whose error text already says what to write.
    pub(super) fn parsed<T: std::str::FromStr<Err = String>>(&self, found: Located<String>) -> Option<T> {
        match found.value.parse() {
            Ok(value) => Some(value),
            Err(text) => {
                self.note(found.at, found.key, format!("{:?} {text}", found.value));
                None
            }
        }
    }

    /// A path of the file, taken from the folder that the file is in.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The file and the line of a place.
    pub(super) fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        Origin {
            file: Arc::clone(&self.file),
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
        }
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// All that is wrong, in the order of the lines.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    pub(super) fn into_error(self) -> ConfigError {
        ConfigError::Wrong {
            problems: self.into_problems(),
        }
    }

    /// Reads one group of limits.
    pub(super) fn limits(
        &self,
        section: Option<Section<'_, '_>>,
        rows: &'static [Limit],
        mut set: impl FnMut(&str, u64) -> Result<(), Refusal>,
    ) {
        let Some(mut section) = section else { return };
        for row in rows {
            let Some(number) = section.limit(row) else {
                continue;
            };
            let text = match set(row.name, number.value) {
                Ok(()) => continue,
                Err(Refusal::TooSmall(least)) => {
                    format!(
                        "{} is too small; write {least} or more ({})",
                        number.value, row.unit
                    )
                }
                Err(Refusal::TooLarge(greatest)) => {
                    format!(
                        "{} is too large; write {greatest} or less ({})",
                        number.value, row.unit
                    )
                }
                Err(Refusal::Unknown) => "is not a limit; see `callbox limits`".to_owned(),
            };
            self.note(number.at, number.key, text);
        }
        for (group, name, row) in MOVED {
            if *group == section.path
                && section.shape.is_none()
                && let Some(number) = section.number(name)
            {
                self.note(number.at, number.key, format!("is now {row}; write it there"));
            }
        }
        section.finish();
    }
}

/// One table of the document.
pub(super) struct Section<'s, 't> {
    source: &'s Source<'t>,
    path: String,
    at: usize,
    table: DeTable<'t>,
    asked: Vec<String>,
    /// As [`Source::shape`], of this table.
    shape: Option<Shape>,
}

impl<'s, 't> Section<'s, 't> {
    fn recorder(source: &'s Source<'t>, path: String, shape: Shape) -> Self {
        Self {
            source,
            path,
            at: 0,
            table: DeTable::new(),
            asked: Vec::new(),
            shape: Some(shape),
        }
    }

    fn record(&self, key: &str, kind: Kind, required: bool) {
        if let Some(shape) = &self.shape {
            shape.borrow_mut().add(key, kind, required);
        }
    }

    /// The table under a key, when nothing is read and everything recorded.
    fn recorded(&self, key: &str, kind: fn(Shape) -> Kind) -> Option<Self> {
        self.shape.as_ref()?;
        let below = Shape::default();
        self.record(key, kind(Rc::clone(&below)), false);
        Some(Self::recorder(self.source, self.full(key), below))
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Its path, as in `limits.wire` or `tenant[2]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a key of it.
    pub(super) fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'t>>> {
        self.asked.push(key.to_owned());
        self.table.remove(key)
    }

    fn mistyped(&self, key: String, span: Range<usize>, found: &DeValue<'_>, wanted: &str) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.source
            .note(span.start, key, format!("is {found}; write {wanted}"));
    }

    pub(super) fn string(&mut self, key: &str) -> Option<Located<String>> {
        self.record(key, Kind::Text, false);
        let value = self.take(key)?;
        self.as_string(self.full(key), value)
    }

    fn as_string(&self, key: String, value: Spanned<DeValue<'_>>) -> Option<Located<String>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some(Located {
                value: text.into_owned(),
                key,
                at: span.start,
            }),
            other => {
                self.mistyped(key, span, &other, "a string in quotes");
                None
            }
        }
    }

    /// A string that must be there.
    pub(super) fn required_string(&mut self, key: &str, fix: &str) -> Option<Located<String>> {
        if !self.table.contains_key(key) {
            self.record(key, Kind::Text, true);
            self.asked.push(key.to_owned());
            self.source
                .note(self.at, self.full(key), format!("is missing; {fix}"));
            return None;
        }
        self.string(key)
    }

    /// One string, or a list of strings.
    pub(super) fn strings(&mut self, key: &str) -> Option<Vec<Located<String>>> {
        self.record(key, Kind::Texts, false);
        let value = self.take(key)?;
        let full = self.full(key);
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some(vec![Located {
                value: text.into_owned(),
                key: full,
                at: span.start,
            }]),
            DeValue::Array(items) if items.is_empty() => {
                // An empty list could be meant as "none" or as "any": let the author say which.
                self.source.note(
                    span.start,
                    full,
                    "is empty; name one or leave the key out".to_owned(),
                );
                None
            }
            DeValue::Array(items) => Some(
                items
                    .into_iter()
                    .enumerate()
                    .filter_map(|(index, item)| self.as_string(format!("{full}[{index}]"), item))
                    .collect(),
            ),
            other => {
                self.mistyped(full, span, &other, "a string or a list of strings");
                None
            }
        }
    }

    /// As [`Self::strings`] where an empty list has a meaning.
    pub(super) fn strings_or_none(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        let found = self.table.get(key).map(|value| {
            (
                value.span().start,
                matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()),
            )
        });
        let value = match found {
            Some((_, true)) => {
                self.take(key);
                Some(Vec::new())
            }
            _ => self.strings(key),
        };
        self.record(key, Kind::TextsOrNone, false);
        Some(Located {
            value: value?,
            key: self.full(key),
            at: found?.0,
        })
    }

    /// A list of strings that must be there and have an entry.
    pub(super) fn required_strings(&mut self, key: &str, fix: &str) -> Vec<Located<String>> {
        let missing = match self.table.get(key) {
            None => Some((self.at, "is missing")),
            Some(value) => match value.get_ref() {
                DeValue::Array(items) if items.is_empty() => Some((value.span().start, "is empty")),
                _ => None,
            },
        };
        if let Some((at, what)) = missing {
            self.record(key, Kind::Texts, true);
            self.take(key);
            self.source.note(at, self.full(key), format!("{what}; {fix}"));
            return Vec::new();
        }
        self.strings(key).unwrap_or_default()
    }

    pub(super) fn number(&mut self, key: &str) -> Option<Located<u64>> {
        self.record(key, Kind::Number(None), false);
        let value = self.take(key)?;
        let full = self.full(key);
        let span = value.span();
        match value.into_inner() {
            DeValue::Integer(digits) => match u64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(value) => Some(Located {
                    value,
                    key: full,
                    at: span.start,
                }),
                Err(_) => {
                    let text = format!("{digits} is out of range; write a whole number from 0");
                    self.source.note(span.start, full, text);
                    None
                }
            },
            other => {
                self.mistyped(full, span, &other, "a whole number without quotes");
                None
            }
        }
    }

    /// The number of a row of the table of limits; its range is for the caller to check.
    fn limit(&mut self, row: &'static Limit) -> Option<Located<u64>> {
        let number = self.number(row.name);
        self.record(row.name, Kind::Number(Some(row)), false);
        number
    }

    /// A number between these, both included.
    pub(super) fn number_within(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = self.number(key)?;
        if range.contains(&number.value) {
            return Some(number.value);
        }
        let text = format!(
            "{} is out of range; write {} to {}",
            number.value,
            range.start(),
            range.end()
        );
        self.source.note(number.at, number.key, text);
        None
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.record(key, Kind::Flag, false);
        let value = self.take(key)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Boolean(value) => Some(value),
            other => {
                self.mistyped(self.full(key), span, &other, "true or false without quotes");
                None
            }
        }
    }

    pub(super) fn section(&mut self, key: &str) -> Option<Section<'s, 't>> {
        if let Some(section) = self.recorded(key, Kind::Table) {
            return Some(section);
        }
        let value = self.take(key)?;
        let path = self.full(key);
        self.as_section(path.clone(), value, &format!("a table: [{path}]"))
    }

    fn as_section(&self, path: String, value: Spanned<DeValue<'t>>, wanted: &str) -> Option<Section<'s, 't>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Section {
                source: self.source,
                path,
                at: span.start,
                table,
                asked: Vec::new(),
                shape: None,
            }),
            other => {
                self.mistyped(path, span, &other, wanted);
                None
            }
        }
    }

    /// An array of tables: `[[key]]`. Absent is empty.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section<'s, 't>> {
        if let Some(section) = self.recorded(key, Kind::Tables) {
            return vec![section];
        }
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let path = self.full(key);
        let wanted = format!("[[{path}]] in double brackets: there may be several");
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => items
                .into_iter()
                .enumerate()
                .filter_map(|(index, item)| self.as_section(format!("{path}[{index}]"), item, &wanted))
                .collect(),
            other => {
                self.mistyped(path, span, &other, &wanted);
                Vec::new()
            }
        }
    }

    /// Every entry of a table as a table with its name: `[flow.hello]`, `[flow.goodbye]`. Absent is empty.
    pub(super) fn named_sections(&mut self, key: &str) -> Vec<(String, Section<'s, 't>)> {
        if let Some(section) = self.recorded(key, Kind::Named) {
            return vec![(String::new(), section)];
        }
        let Some(mut outer) = self.section(key) else {
            return Vec::new();
        };
        let entries = std::mem::take(&mut outer.table);
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                let name = name.into_inner().into_owned();
                let path = outer.full(&name);
                let wanted = format!("a table: [{path}]");
                outer
                    .as_section(path, value, &wanted)
                    .map(|section| (name, section))
            })
            .collect()
    }

    /// Every entry as a string with its name; numbers and booleans are taken as they are written.
    pub(super) fn pairs(mut self) -> Vec<(String, String)> {
        if let Some(shape) = &self.shape {
            shape.borrow_mut().free = true;
        }
        let entries = std::mem::take(&mut self.table);
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                let name = name.into_inner().into_owned();
                let span = value.span();
                let text = match value.into_inner() {
                    DeValue::String(text) => text.into_owned(),
                    DeValue::Integer(number) => number.to_string(),
                    DeValue::Float(number) => number.to_string(),
                    DeValue::Boolean(value) => value.to_string(),
                    other => {
                        self.mistyped(
                            self.full(&name),
                            span,
                            &other,
                            "a string: a flow reads its configuration as text",
                        );
                        return None;
                    }
                };
                Some((name, text))
            })
            .collect()
    }

    /// What is left was never asked for.
    pub(super) fn finish(self) {
        for (key, _) in &self.table {
            let name = key.get_ref().as_ref();
            let known = self.asked.iter().map(String::as_str);
            let text = match did_you_mean(name, known.clone()) {
                Some(meant) => format!("is not a key; did you mean {meant}?"),
                None => {
                    let mut known: Vec<&str> = known.collect();
                    known.sort_unstable();
                    format!("is not a key; known here: {}", known.join(", "))
                }
            };
            self.source.note(key.span().start, self.full(name), text);
        }
    }
}
