//! A store whose records name nobody: numbers and addresses become tags on their way into another store.
//!
//! It runs on the thread that writes, so calls do not pay for it. Entry type: [`Redacting`]. Invariant: what is not redacted
//! reaches no store behind it, not even when a batch is tried again. The fields that a flow wrote are its tenant's and stay; the
//! text of its error is often one of the host's, handed on, so what looks like a number or an address in it becomes a tag.

use super::entry::{HungUpBy, Leg, Record};
use super::sink::{Sink, StoreError};
use crate::pii::Redaction;

/// Redacts what goes to another store.
pub struct Redacting {
    inner: Box<dyn Sink>,
    redaction: Redaction,
}

impl Redacting {
    /// Before this store, under this key.
    #[must_use]
    pub fn new(inner: Box<dyn Sink>, redaction: Redaction) -> Self {
        Self { inner, redaction }
    }

    fn leg(&self, leg: &Leg) -> Leg {
        let by_peer = leg.by == Some(HungUpBy::Peer);
        Leg {
            ani: self.redaction.number(&leg.ani),
            dnis: self.redaction.number(&leg.dnis),
            destination: self.redaction.uri(&leg.destination),
            reason: leg.reason.as_ref().map(|text| match by_peer {
                true => self.redaction.text(text),
                false => text.clone(),
            }),
            ..leg.clone()
        }
    }
}

impl Sink for Redacting {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn open(&mut self) -> Result<(), StoreError> {
        self.inner.open()
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let redacted: Vec<Record> = batch
            .iter()
            .map(|record| Record {
                outcome_text: record.outcome_text.as_ref().map(|text| self.redaction.text(text)),
                legs: record.legs.iter().map(|leg| self.leg(leg)).collect(),
                ..record.clone()
            })
            .collect();
        self.inner.write(&redacted)
    }

    fn tidy(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        self.inner.tidy(now_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::entry::tests::sample;
    use super::super::{Filter, Reader, Sqlite};
    use super::*;
    use crate::pii::KEY_BYTES;

    #[test]
    fn what_is_stored_names_nobody_and_is_found_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("records.sqlite");
        let redaction = Redaction::with_key([5; KEY_BYTES]);
        let mut plain = Sqlite::new(file.clone(), false, None);
        plain.open().unwrap();
        plain.write(&[sample(1)]).unwrap();
        drop(plain);
        let mut sink = Redacting::new(
            Box::new(Sqlite::new(file.clone(), false, None)),
            redaction.clone(),
        );
        sink.open().unwrap();
        let mut long = sample(2);
        long.legs[0].ani = "+442071838750".to_owned();
        long.legs[0].reason = Some("moved to sip:carol@c.example".to_owned());
        long.outcome_text = Some("invalid argument: sip:dave@d.example leads nowhere".to_owned());
        sink.write(&[long]).unwrap();

        let find = |number: &str, tag: Option<String>| {
            let filter = Filter {
                number: Some(number.to_owned()),
                number_tag: tag,
                most: 10,
                ..Filter::default()
            };
            Reader::open(&file).unwrap().find(&filter).unwrap()
        };
        let number = "+44 20 7183 8750";
        assert!(find(number, None).is_empty());
        let found = find(number, Some(redaction.number(number)));
        assert_eq!(found.len(), 1);
        let text = format!("{found:?}");
        for name in ["2071838", "carol", "dave", "bob", "sip:ivr@"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
        assert!(text.contains("~") && text.contains("@example.com") && text.contains("call-2@peer"));
        // A file holds what was written before the option was turned on, too.
        assert_eq!(find("+4930123", Some(redaction.number("+4930123"))).len(), 1);
        assert_eq!(find("101", Some(redaction.number("101"))).len(), 1);
        assert_eq!(find("102", Some(redaction.number("102"))).len(), 1);
    }
}
