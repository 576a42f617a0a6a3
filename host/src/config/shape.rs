//! Which keys a file may have, learnt from the code that reads it.
//!
//! A [`Source`](super::reader::Source) that records is a file in which every table stands and no key: whoever reads it asks
//! for every key there is, and this is what was asked. Deliberately knows no TOML and no JSON. Entry type: [`Table`].
//! Invariant: a reader that asks for a key only where another one stands would hide it, so none does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::limits::Limit;

/// A table that is being read.
pub(super) type Shape = Rc<RefCell<Table>>;

/// What was asked of one table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) keys: BTreeMap<String, Key>,
    /// Its keys are the author's, and their values text.
    pub(super) free: bool,
}

/// One key that was asked for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// Its absence is a mistake.
    pub(super) required: bool,
}

/// What a key holds.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    /// One string or a list of them.
    Texts,
    /// The same, and an empty list means something.
    TextsOrNone,
    /// A whole number; with its row when it is a limit.
    Number(Option<&'static Limit>),
    Flag,
    /// `[key]`
    Table(Shape),
    /// `[[key]]`
    Tables(Shape),
    /// `[key.NAME]`
    Named(Shape),
}

impl Table {
    pub(super) fn add(&mut self, name: &str, kind: Kind, required: bool) {
        self.keys.insert(name.to_owned(), Key { kind, required });
    }
}
