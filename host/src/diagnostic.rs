//! What is wrong with a tenant's files: where, what was expected, what to do. Rendered for people with line and caret, or as JSON.
//!
//! Knows nothing of what the files mean: whoever reads a file says what is wrong with it.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The longest source line that is shown, in characters: minified files have lines of megabytes.
const SOURCE_CHARS_LIMIT: usize = 160;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Diagnostic {
    /// Path in the tenant folder.
    pub file: String,
    /// From 1; `None` when the whole file is concerned.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// Characters marked from `column`.
    pub length: usize,
    /// The line's text; left out where the line is too long to be shown.
    pub source: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// A stable word for machines, where there is one: why a plugin is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Diagnostic {
    /// A problem of a whole file.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, column: None, length: 0, source: None, message: message.into(), help: None, code: None }
    }

    /// A problem at a range of bytes of a file's `text`. A range that crosses lines is marked as far as its first line goes.
    #[must_use]
    pub fn at(file: &str, text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_boundary(text, range.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let source = text[line_start..line_end].trim_end_matches('\r');
        let end = floor_boundary(text, range.end).clamp(start, line_start + source.len().max(start - line_start));
        let shown = source.chars().count() <= SOURCE_CHARS_LIMIT;
        Self {
            line: Some(before.matches('\n').count() + 1),
            column: Some(text[line_start..start].chars().count() + 1),
            length: text[start..end].chars().count().max(1),
            source: shown.then(|| source.to_owned()),
            ..Self::of_file(file, message)
        }
    }

    /// A problem at a line and column (both from 1, the column in bytes as parsers count it) of a file's `text`.
    #[must_use]
    pub fn at_position(file: &str, text: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        let line_start = match line.checked_sub(2) {
            None => 0,
            Some(nth) => text.match_indices('\n').nth(nth).map_or(text.len(), |(newline, _)| newline + 1),
        };
        let start = line_start.saturating_add(column.saturating_sub(1)).min(text.len());
        Self::at(file, text, start..start, message)
    }

    /// The same problem with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem with a word for machines.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }
}

/// The nearest character boundary at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render_one(self, Style::PLAIN, "error"))
    }
}

/// How the parts of a report are marked.
#[derive(Clone, Copy)]
struct Style {
    problem: &'static str,
    frame: &'static str,
    end: &'static str,
}

impl Style {
    const PLAIN: Self = Self { problem: "", frame: "", end: "" };
    /// Bold red for the problem, blue for the frame around it.
    const COLOUR: Self = Self { problem: "\u{1b}[1;31m", frame: "\u{1b}[34m", end: "\u{1b}[0m" };
}

/// The problems for people, in order of file and line, with a count at the end. `colour` only for a terminal.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    render_each(diagnostics, colour, "problem", |_| "error")
}

/// Findings that are no errors, each headed by its code.
#[must_use]
pub fn render_findings(findings: &[Diagnostic], colour: bool) -> String {
    render_each(findings, colour, "finding", |finding| finding.code.as_deref().unwrap_or("finding"))
}

fn render_each(diagnostics: &[Diagnostic], colour: bool, what: &str, heading: impl Fn(&Diagnostic) -> &str) -> String {
    let style = if colour { Style::COLOUR } else { Style::PLAIN };
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| (&diagnostic.file, diagnostic.line, diagnostic.column));
    let mut report = String::new();
    for diagnostic in sorted {
        report.push_str(&render_one(diagnostic, style, heading(diagnostic)));
        report.push('\n');
    }
    let _ = writeln!(report, "{}", counted(diagnostics.len(), what));
    report
}

/// So many of something: `1 problem`, `2 problems`.
#[must_use]
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn render_one(diagnostic: &Diagnostic, style: Style, heading: &str) -> String {
    let Style { problem, frame, end } = style;
    let mut out = format!("{problem}{heading}{end}: {}\n", printable(&diagnostic.message));
    let number = diagnostic.line.map(|line| line.to_string()).unwrap_or_default();
    let margin = " ".repeat(number.len().max(1));
    let place = match (diagnostic.line, diagnostic.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", diagnostic.file),
        _ => diagnostic.file.clone(),
    };
    // What is wrong with a folder as a whole has no place in it.
    if !place.is_empty() {
        let _ = writeln!(out, "{margin}{frame}-->{end} {}", printable(&place));
    }
    if let (Some(source), Some(column)) = (&diagnostic.source, diagnostic.column) {
        // Tabs are kept in front of the caret so that it stands below its character whatever a tab is worth.
        let lead: String = source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(diagnostic.length.clamp(1, SOURCE_CHARS_LIMIT));
        let _ = writeln!(out, "{margin} {frame}|{end}");
        let _ = writeln!(out, "{frame}{number} |{end} {}", printable(source));
        let _ = writeln!(out, "{margin} {frame}|{end} {lead}{problem}{carets}{end}");
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{margin} {frame}={end} help: {}", printable(help));
    }
    out
}

/// Files are a tenant's: their control characters don't reach an operator's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { c } else { shown(c) }).collect()
}

/// A text of somebody else's on one line, as a terminal may get it: without what controls it.
#[must_use]
pub fn on_a_line(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// A character that neither controls a terminal nor turns around what stands beside it (Unicode's embeddings, overrides and isolates,
/// UAX #9).
fn shown(c: char) -> char {
    if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_marked_in_characters() {
        let text = "first\nüber \"x\" end\n";
        let at = text.find("\"x\"").unwrap_or_default();
        let diagnostic = Diagnostic::at("a.cedar", text, at..at + 3, "no such thing").with_help("name another");
        assert_eq!((diagnostic.line, diagnostic.column, diagnostic.length), (Some(2), Some(6), 3));
        let expected = "error: no such thing\n --> a.cedar:2:6\n  |\n2 | über \"x\" end\n  |      ^^^\n  = help: name another\n";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn a_range_over_lines_is_marked_to_the_end_of_the_first() {
        let diagnostic = Diagnostic::at("a", "permit (\r\n  x\n);", 0..14, "m");
        assert_eq!((diagnostic.line, diagnostic.length, diagnostic.source.as_deref()), (Some(1), 8, Some("permit (")));
    }

    #[test]
    fn ranges_outside_the_text_are_clamped() {
        for (start, end) in [(0, 0), (5, 9), (3, 1), (100, 200)] {
            let diagnostic = Diagnostic::at("a", "ab\né", start..end, "m");
            assert!(diagnostic.line.is_some() && diagnostic.length >= 1);
        }
        assert_eq!(Diagnostic::at_position("a", "ab\ncd", 2, 2, "m").column, Some(2));
        assert_eq!(Diagnostic::at_position("a", "ab\ncd", 9, 9, "m").line, Some(2));
    }

    #[test]
    fn reports_are_sorted_and_free_of_control_characters() {
        let second = Diagnostic::at("b", "x\u{1b}[2J", 0..1, "bad");
        let report = render(&[second, Diagnostic::of_file("a", "worse")], false);
        assert!(report.find("worse") < report.find("bad"), "{report}");
        assert!(!report.contains('\u{1b}'), "{report}");
        assert!(report.ends_with("2 problems\n"), "{report}");
    }
}
