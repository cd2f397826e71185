//! How answers look: tables and diffs, in colour only where a terminal shows it (problems: `diagnostic::render`).
//! Knows nothing of where the answers come from.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, Table};

/// Wide enough for a sentence beside three names, and still readable on a laptop.
const TABLE_WIDTH: u16 = 160;

/// Whether to colour; by default not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Colours if standard output is a terminal and `NO_COLOR` (no-color.org) is not set.
    #[must_use]
    pub fn for_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// What is wrong, or goes.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What is right, or comes.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What leads the eye.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What may be skipped.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Whether there are colours.
    #[must_use]
    pub fn colours(self) -> bool {
        self.0
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A table with a header, to be filled.
#[must_use]
pub fn table<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<String>>());
    table
}

/// A unified diff with its lines coloured.
#[must_use]
pub fn diff(unified: &str, paint: Paint) -> String {
    let mut text = String::new();
    for shown in unified.lines() {
        let coloured = match shown.as_bytes().first() {
            Some(b'+') => paint.good(shown),
            Some(b'-') => paint.bad(shown),
            Some(b'@') => paint.faint(shown),
            _ => shown.to_owned(),
        };
        line(&mut text, &coloured);
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_coloured_by_its_signs() {
        assert_eq!(diff("-a\n+b\n c", Paint(true)), "\u{1b}[31m-a\u{1b}[0m\n\u{1b}[32m+b\u{1b}[0m\n c\n");
        assert_eq!(diff("-a\n+b\n c", Paint::default()), "-a\n+b\n c\n");
    }
}
