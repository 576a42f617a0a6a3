//! The arguments of a job.

use std::collections::BTreeMap;

use crate::{Body, Error, Result};

/// Named arguments: what the host makes of `[tenant.flow.NAME.job.args]` and of `callbox call --arg KEY=VALUE`, a flat JSON
/// object. Numbers, `true` and `false` are taken as they are written; `null` is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Reads the body that a job was given. No bytes are no arguments.
    pub fn of(body: &Body) -> Result<Self> {
        let text = body.text();
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader {
            rest: text.trim_start(),
        };
        reader
            .object()
            .filter(|_| reader.rest.trim().is_empty())
            .map(Self)
            .ok_or_else(|| Error::from("the arguments are no flat JSON object"))
    }

    /// Adds an argument, for a job that this flow starts ([`session::spawn`](crate::session::spawn)).
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The body that a job is given.
    #[must_use]
    pub fn body(&self) -> Body {
        let mut json = String::from("{");
        for (key, value) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            push_string(&mut json, key);
            json.push(':');
            push_string(&mut json, value);
        }
        json.push('}');
        Body::new("application/json", json)
    }

    /// An argument by its name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// A JSON string (RFC 8259 §7).
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                json.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = u32::from(c) >> shift & 15;
                    json.extend(char::from_digit(digit, 16));
                }
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn object(&mut self) -> Option<BTreeMap<String, String>> {
        let mut pairs = BTreeMap::new();
        self.take('{')?;
        if self.take('}').is_some() {
            return Some(pairs);
        }
        loop {
            let key = self.string()?;
            self.take(':')?;
            if let Some(value) = self.value()? {
                pairs.insert(key, value);
            }
            if self.take(',').is_none() {
                return self.take('}').map(|()| pairs);
            }
        }
    }

    /// The outer none is a mistake, the inner one null.
    fn value(&mut self) -> Option<Option<String>> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return self.string().map(Some);
        }
        let end = self.rest.find([',', '}'])?;
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.trim_end() {
            "null" => Some(None),
            word @ ("true" | "false") => Some(Some(word.into())),
            word if word.parse::<f64>().is_ok() => Some(Some(word.into())),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\'])?;
            let (plain, rest) = self.rest.split_at(end);
            text.push_str(plain);
            let mut rest = rest.chars();
            if rest.next() == Some('"') {
                self.rest = rest.as_str();
                return Some(text);
            }
            let escaped = rest.next()?;
            self.rest = rest.as_str();
            text.push(match escaped {
                '"' | '\\' | '/' => escaped,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.code_point()?,
                _ => return None,
            });
        }
    }

    /// The rest of `\uXXXX`, and of the second half of a pair.
    fn code_point(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        let second = self.hex().filter(|unit| (0xdc00..0xe000).contains(unit))?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        self.rest = self.rest.get(4..)?;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Vec<(String, String)>> {
        Args::of(&Body::new("application/json", text))
            .ok()
            .map(|args| args.0.into_iter().collect())
    }

    #[test]
    fn flat_objects_are_read() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for empty in ["", "  ", "{}", " { } "] {
            assert_eq!(of(empty), Some(vec![]), "{empty}");
        }
        assert_eq!(
            of("{\"a\": \"x\\\"\\\\\\u000a\\u00e9\\ud83d\\ude00\" , \"b\":-1.5,\"c\":true, \"d\" : null}\n"),
            Some(vec![
                pair("a", "x\"\\\né😀"),
                pair("b", "-1.5"),
                pair("c", "true")
            ])
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let args = Args::default().with("a\"", "x\\\r\n\u{1}é").with("b", "");
        assert_eq!(
            args.body().text(),
            "{\"a\\\"\":\"x\\\\\\u000d\\u000a\\u0001é\",\"b\":\"\"}"
        );
        assert_eq!(Args::of(&args.body()), Ok(args));
        assert_eq!(Args::of(&Args::default().body()), Ok(Args::default()));
    }

    #[test]
    fn anything_else_is_not() {
        for wrong in [
            "{",
            "[]",
            "\"a\"",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":x}",
            "{\"a\":{}}",
            "{\"a\":\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud83d\"}",
            "{} {}",
            "{\"a\":1",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
