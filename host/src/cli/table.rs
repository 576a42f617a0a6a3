//! Text for a terminal: tables with columns as wide as what is in them, and strings of peers and flows made harmless.
//!
//! Entry type: [`Table`]. Invariant: no cell can move the cursor, change a colour, end a line or turn the direction of text.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

/// Rows of one width each column.
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing are empty.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    /// Writes the head and all rows. The last column is not filled up.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let head = self.heads.get(column).map_or(0, |head| head.chars().count());
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(head)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The text on one line, with what a terminal would act on, or what would mislead its reader, escaped as Rust does it.
pub(super) fn plain(text: &str) -> String {
    if !text.chars().any(misleads) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match misleads(c) {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// Control characters, line separators, and what changes the direction of text or has no width.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A span in two units at most: `3d04h`, `2h05m`, `7m30s`, `12s`.
pub(super) fn span(time: Duration) -> String {
    let s = time.as_secs();
    let (d, h, m) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    match s {
        86_400.. => format!("{d}d{h:02}h"),
        3_600.. => format!("{h}h{m:02}m"),
        60.. => format!("{m}m{:02}s", s % 60),
        _ => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_peer_wrote_moves_nothing_on_the_screen() {
        assert_eq!(plain("Grüße"), "Grüße");
        assert_eq!(
            plain("a\u{1b}[2J\r\nb\u{202e}c\u{9b}\u{200b}"),
            r"a\u{1b}[2J\r\nb\u{202e}c\u{9b}\u{200b}"
        );
        let mut table = Table::new(&["NAME", "N"]);
        table.row(["a\nb", "1"]);
        table.row(["é", "22"]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME  N\na\\nb  1\né     22\n");
    }

    #[test]
    fn spans_are_short() {
        for (s, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m01s"),
            (3_660, "1h01m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(span(Duration::from_secs(s)), text);
        }
    }
}
