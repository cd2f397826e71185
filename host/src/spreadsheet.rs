//! Cells that spreadsheets take for what they are: texts. One rule for every CSV that is written; knows nothing of what is in them.

/// A cell that spreadsheets take for a text: what begins like a formula gets an apostrophe in front, also behind blanks. Names come
/// from outside.
#[must_use]
pub fn defused(cell: &str) -> String {
    let begins = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}');
    let is_formula = cell.starts_with(['\t', '\r', '\n']) || cell.trim_start().starts_with(begins);
    if is_formula { format!("'{cell}") } else { cell.to_owned() }
}

/// A line of CSV (RFC 4180): every cell quoted, none of them a formula.
#[must_use]
pub fn row<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", defused(cell.as_ref()).replace('"', "\"\""))).collect();
    format!("{}\r\n", cells.join(","))
}
