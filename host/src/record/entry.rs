//! One record, and its form as JSON.
//!
//! Entry type: [`Record`]. Texts of peers and flows stand in it as they came: who shows them escapes them. Invariant: the
//! JSON form has every key always, so that columns do not come and go.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

/// A session that is over. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Id of the session: no two records of a store have the same.
    pub session: String,
    /// `call` or `job`.
    pub kind: Cow<'static, str>,
    /// Whose it was.
    pub tenant: Arc<str>,
    /// The flow that ran.
    pub flow: Arc<str>,
    /// The version of the flow.
    pub version: Arc<str>,
    /// It began.
    pub began_ms: u64,
    /// Its instance was gone.
    pub ended_ms: u64,
    /// How the run ended: a short name that never changes.
    pub outcome: Cow<'static, str>,
    /// The same in words, where the name is not all: a limit with its number, a flow's own error.
    pub outcome_text: Option<String>,
    /// The limit that ended it, by its name in the table of limits.
    pub limit: Option<Cow<'static, str>>,
    /// Fuel used.
    pub fuel: u64,
    /// The most memory that it had, in bytes.
    pub memory_bytes: u64,
    /// Log lines of the flow that were dropped.
    pub suppressed_lines: u64,
    /// Its legs in the order in which they ended.
    pub legs: Vec<Leg>,
    /// Legs that it had beside these.
    pub legs_forgotten: u32,
    /// What the flow wrote (`set-cdr-field`), in the order of its writing.
    pub fields: Vec<(String, String)>,
}

/// One call of a leg.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leg {
    /// Number of the leg within its session.
    pub leg: u32,
    /// The peer called.
    pub inbound: bool,
    /// Call-ID; empty where no INVITE was sent.
    pub call_id: String,
    /// User part of From.
    pub ani: String,
    /// User part of To.
    pub dnis: String,
    /// Request-URI.
    pub destination: String,
    /// The INVITE came or was asked for.
    pub started_ms: u64,
    /// First 18x.
    pub rang_ms: Option<u64>,
    /// 2xx.
    pub answered_ms: Option<u64>,
    /// Over.
    pub ended_ms: Option<u64>,
    /// Final response to the INVITE; 200 when it was answered.
    pub code: Option<u16>,
    /// Who ended it.
    pub by: Option<HungUpBy>,
    /// Q.850 cause of the Reason header.
    pub q850: Option<u8>,
    /// Text of the Reason header, or the host's own words.
    pub reason: Option<String>,
}

/// The side that hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungUpBy {
    /// The flow, also by its return.
    Flow,
    /// The peer.
    Peer,
    /// The host: a limit, a time-out, a dead transport, a trap.
    Host,
}

impl HungUpBy {
    /// Its name in stores.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Peer => "peer",
            Self::Host => "host",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Flow, Self::Peer, Self::Host]
            .into_iter()
            .find(|by| by.name() == name)
    }
}

impl Leg {
    /// `inbound` or `outbound`.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        if self.inbound { "inbound" } else { "outbound" }
    }

    /// How long it was answered, in milliseconds; 0 where it was not.
    #[must_use]
    pub fn talked_ms(&self) -> u64 {
        match (self.answered_ms, self.ended_ms) {
            (Some(answered), Some(ended)) => ended.saturating_sub(answered),
            _ => 0,
        }
    }

    fn json(&self) -> Value {
        json!({
            "leg": self.leg,
            "direction": self.direction(),
            "call_id": self.call_id,
            "ani": self.ani,
            "dnis": self.dnis,
            "destination": self.destination,
            "started_ms": self.started_ms,
            "rang_ms": self.rang_ms,
            "answered_ms": self.answered_ms,
            "ended_ms": self.ended_ms,
            "talked_ms": self.talked_ms(),
            "code": self.code,
            "by": self.by.map(HungUpBy::name),
            "q850": self.q850,
            "reason": self.reason,
        })
    }
}

impl Record {
    /// As JSON, on one line when written without indentation.
    #[must_use]
    pub fn json(&self) -> Value {
        let fields: serde_json::Map<String, Value> = self
            .fields
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect();
        json!({
            "session": self.session,
            "kind": self.kind,
            "tenant": &*self.tenant,
            "flow": &*self.flow,
            "version": &*self.version,
            "began_ms": self.began_ms,
            "ended_ms": self.ended_ms,
            "outcome": self.outcome,
            "outcome_text": self.outcome_text,
            "limit": self.limit,
            "fuel": self.fuel,
            "memory_bytes": self.memory_bytes,
            "suppressed_lines": self.suppressed_lines,
            "legs": self.legs.iter().map(Leg::json).collect::<Vec<_>>(),
            "legs_forgotten": self.legs_forgotten,
            "fields": fields,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record with something in every field, different for each number.
    pub(in crate::record) fn sample(number: u64) -> Record {
        let inbound = Leg {
            leg: 1,
            inbound: true,
            call_id: format!("call-{number}@peer"),
            ani: "+4930123".to_owned(),
            dnis: format!("{}", 100 + number),
            destination: "sip:ivr@host".to_owned(),
            started_ms: 1_000 + number,
            rang_ms: Some(1_010 + number),
            answered_ms: Some(1_020 + number),
            ended_ms: Some(2_020 + number),
            code: Some(200),
            by: Some(HungUpBy::Peer),
            q850: Some(16),
            reason: Some("say \"bye\"\r\n\u{1b}[31m".to_owned()),
        };
        let outbound = Leg {
            leg: 2,
            destination: "sip:bob@example.com".to_owned(),
            started_ms: 1_100 + number,
            ended_ms: Some(1_200 + number),
            by: Some(HungUpBy::Host),
            ..Leg::default()
        };
        Record {
            session: format!("19ab-{number:x}"),
            kind: "call".into(),
            tenant: "acme".into(),
            flow: "menu".into(),
            version: "abc".into(),
            began_ms: 1_000 + number,
            ended_ms: 2_030 + number,
            outcome: "out-of-fuel-burst".into(),
            outcome_text: Some("computed too long".to_owned()),
            limit: Some("limits.plugin.fuel_burst".into()),
            fuel: 123_456_789,
            memory_bytes: 131_072,
            suppressed_lines: 3,
            legs: vec![inbound, outbound],
            legs_forgotten: 1,
            fields: vec![
                ("b".to_owned(), "1".to_owned()),
                ("a".to_owned(), "größe\n\0".to_owned()),
            ],
        }
    }

    #[test]
    fn a_line_of_json_is_one_line_whatever_is_in_it() {
        let line = sample(1).json().to_string();
        assert!(!line.contains(['\n', '\r', '\u{1b}', '\0']), "{line}");
        let back: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(back["legs"][0]["talked_ms"], 1_000);
        assert_eq!(back["legs"][0]["by"], "peer");
        assert_eq!(back["legs"][1]["code"], Value::Null);
        assert_eq!(back["fields"]["a"], "größe\n\0");
    }
}
