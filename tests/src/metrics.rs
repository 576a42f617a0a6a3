//! The metrics of a running server, read as strictly as OpenMetrics 1.0 is written.
//!
//! Entry type: [`Scrape`]. Whatever a scraper might stumble over is a failed test: a family that stands twice or in two
//! places, a series that does, a name without its ending, buckets that fall, a text that does not end.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::admin::Answer;

/// The media type of the text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A name and its labels, sorted.
type Key = (String, BTreeMap<String, String>);

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    families: BTreeMap<String, String>,
    samples: BTreeMap<Key, f64>,
}

impl Scrape {
    /// An answer to GET /metrics.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status(), 200, "{answer:#?}");
        assert_eq!(answer.header("content-type"), Some(OPENMETRICS));
        Self::parse(&answer.body)
    }

    /// The text itself.
    pub fn parse(text: &str) -> Self {
        let text = text
            .strip_suffix("# EOF\n")
            .unwrap_or_else(|| panic!("the text does not end with its last line:\n{text}"));
        assert!(text.is_empty() || text.ends_with('\n'));
        let mut scrape = Self::default();
        let mut helped = BTreeSet::new();
        let mut current = String::new();
        let sample = Regex::new(r#"^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$"#).unwrap();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a text");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, current, "HELP comes right before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = scrape.families.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{line} stands twice");
            } else {
                let found = sample
                    .captures(line)
                    .unwrap_or_else(|| panic!("no sample: {line}"));
                let name = &found[1];
                let kind = scrape
                    .families
                    .get(&current)
                    .expect("a family before its samples");
                let endings: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_count", "_sum"],
                    _ => &[""],
                };
                let ending = name.strip_prefix(current.as_str());
                assert!(
                    ending.is_some_and(|it| endings.contains(&it)),
                    "{line} among those of {current}, a {kind}"
                );
                let labels = labels(found.get(2).map_or("", |it| it.as_str()), line);
                let value: f64 = found[3].parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(value >= 0.0, "{line}");
                let before = scrape.samples.insert((name.to_owned(), labels), value);
                assert!(before.is_none(), "{line} stands twice");
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        for name in self
            .families
            .keys()
            .filter(|it| self.families[*it] == "histogram")
        {
            let count = format!("{name}_count");
            for ((_, labels), count) in self.samples.iter().filter(|((it, _), _)| *it == count) {
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for ((of, own), value) in &self.samples {
                    let mut own = own.clone();
                    if let Some(le) = own
                        .remove("le")
                        .filter(|_| *of == format!("{name}_bucket") && own == *labels)
                    {
                        let bound = if le == "+Inf" {
                            f64::INFINITY
                        } else {
                            le.parse().unwrap()
                        };
                        buckets.push((bound, *value));
                    }
                }
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{name}: {buckets:?}"
                );
                assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{name}");
                let sum = self.samples.get(&(format!("{name}_sum"), labels.clone()));
                assert!(sum.is_some_and(|sum| *count > 0.0 || *sum == 0.0), "{name}");
            }
        }
    }

    /// The value of one series, 0 when it is not there yet.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.samples
            .get(&(name.to_owned(), labels))
            .copied()
            .unwrap_or_default()
    }

    /// All series of a name that have these labels among theirs, added up.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |own: &BTreeMap<String, String>| {
            labels
                .iter()
                .all(|(name, value)| own.get(*name).is_some_and(|it| it == value))
        };
        self.samples
            .iter()
            .filter(|((of, own), _)| of == name && fits(own))
            .map(|(_, value)| value)
            .sum()
    }

    /// The families: name, as it is queried, and type.
    pub fn families(&self) -> BTreeMap<String, String> {
        let queried = |(name, kind): (&String, &String)| {
            let ending = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{ending}"), kind.clone())
        };
        self.families.iter().map(queried).collect()
    }

    /// Every series.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>, f64)> {
        self.samples
            .iter()
            .map(|((name, labels), value)| (name.as_str(), labels, *value))
    }
}

fn labels(text: &str, line: &str) -> BTreeMap<String, String> {
    let pair = Regex::new(r#"^([a-z_][a-z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(,|$)"#).unwrap();
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let found = pair.captures(rest).unwrap_or_else(|| panic!("no labels: {line}"));
        let before = labels.insert(found[1].to_owned(), found[2].to_owned());
        assert!(before.is_none(), "{line}");
        rest = &rest[found[0].len()..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    const GOOD: &str = "# HELP a What.\n# TYPE a counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\n\
        # HELP h Long.\n# TYPE h histogram\nh_sum 1.5\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n";

    #[test]
    fn what_is_right_is_read_and_what_is_wrong_is_noticed() {
        let scrape = Scrape::parse(GOOD);
        assert_eq!(scrape.value("a_total", &[("x", "2")]), 3.5);
        assert_eq!(scrape.sum("a_total", &[]), 5.5);
        for (right, wrong) in [
            ("# EOF\n", ""),
            ("a_total{x=\"2\"}", "a_total{x=\"1\"}"),
            ("a_total{x=\"1\"}", "a{x=\"1\"}"),
            ("{x=\"1\"}", "{x=\"\"1\"}"),
            ("# HELP h Long.\n", ""),
            ("# HELP h Long.\n# TYPE h", "# HELP a Long.\n# TYPE a"),
            ("h_count 2", "h_count 3"),
            ("h_bucket{le=\"1.0\"} 1", "h_bucket{le=\"1.0\"} 3"),
            ("3.5", "x"),
            ("a_total{x=\"2\"}", "\na_total{x=\"2\"}"),
        ] {
            assert!(GOOD.contains(right));
            let text = GOOD.replacen(right, wrong, 1);
            assert!(
                catch_unwind(|| Scrape::parse(&text)).is_err(),
                "not noticed:\n{text}"
            );
        }
    }
}
