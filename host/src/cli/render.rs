//! How answers look: tables and diffs, in colour only where a terminal shows it (problems: `diagnostic::render`).
//! Knows nothing of where the answers come from.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Table};

/// Wide enough for a sentence beside three names, and still readable on a laptop.
const TABLE_WIDTH: u16 = 160;

/// The columns that hold ids and digests: half of one is of no use to whoever copies it, so they are as wide as they have to be.
const WHOLE: [&str; 18] = [
    "account",
    "batch",
    "digest",
    "exception",
    "hash",
    "hold",
    "id",
    "invitation",
    "key",
    "leave",
    "line",
    "process",
    "reconciliation",
    "request",
    "review",
    "revision",
    "step",
    "trial",
];

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

/// A table with a header, to be filled. On a terminal long cells go over several lines; elsewhere a row is a line, for what reads it by lines.
#[must_use]
pub fn table<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Table {
    arranged(header.into_iter().map(Into::into).collect(), std::io::stdout().is_terminal())
}

fn arranged(header: Vec<String>, folds: bool) -> Table {
    let mut table = Table::new();
    let arrangement = if folds { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_content_arrangement(arrangement).set_width(TABLE_WIDTH);
    let whole: Vec<usize> = (0..header.len()).filter(|at| WHOLE.contains(&header[*at].as_str())).collect();
    table.set_header(header);
    for at in whole {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
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
    fn an_id_is_whole_in_a_table_and_a_row_is_a_line_where_no_terminal_is() {
        let (id, sentence) = ("0123456789abcdef".repeat(4), "the plugin stopped over this person ".repeat(8));
        for folds in [true, false] {
            let mut table = arranged(["digest", "what", "message", "id"].map(str::to_owned).into(), folds);
            table.add_row([&id, &sentence, &sentence, &id]);
            let text = table.to_string();
            assert_eq!(text.matches(&id).count(), 2, "{text}");
            assert_eq!(text.lines().count() > 5, folds, "{text}");
        }
    }

    #[test]
    fn a_diff_is_coloured_by_its_signs() {
        assert_eq!(diff("-a\n+b\n c", Paint(true)), "\u{1b}[31m-a\u{1b}[0m\n\u{1b}[32m+b\u{1b}[0m\n c\n");
        assert_eq!(diff("-a\n+b\n c", Paint::default()), "-a\n+b\n c\n");
    }
}
