//! Cells that spreadsheets take for what they are: texts. One rule for every CSV that is written; knows nothing of what is in them.

/// A cell that spreadsheets take for a text: what begins like a formula gets an apostrophe in front, also behind blanks. Names come
/// from outside.
#[must_use]
pub fn defused(cell: &str) -> String {
    let begins = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}');
    let is_formula = cell.starts_with(['\t', '\r', '\n']) || cell.trim_start().starts_with(begins);
    if is_formula { format!("'{cell}") } else { cell.to_owned() }
}

/// What a cell was before it was [`defused`].
#[must_use]
pub fn as_it_was(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| defused(rest) == cell).unwrap_or(cell)
}

/// A line of CSV (RFC 4180): every cell quoted, none of them a formula.
#[must_use]
pub fn row<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", defused(cell.as_ref()).replace('"', "\"\""))).collect();
    format!("{}\r\n", cells.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_can_be_had_as_it_was() {
        for cell in ["", "a", "=1", "+w==", "-1", "@x", "\tx", "  =1", "\u{ff1d}1", "'", "'a", "o'clock"] {
            assert_eq!(as_it_was(&defused(cell)), cell, "{cell:?}");
        }
    }
}
