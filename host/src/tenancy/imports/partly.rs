//! A file of accounts of which some rows can't be: those that can are told from those that can't. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use super::file::{BYTE_ORDER_MARK, PROBLEM_COLUMN};
use crate::diagnostic::Diagnostic;
use crate::spreadsheet;

/// A row that can't be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// The line of the file that it begins in, from 1.
    pub line: usize,
    /// The row, as it stands in the file.
    pub text: String,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

/// Tells the rows that have problems from the others. What is left of the file has an empty line for each line that was taken out, so that
/// the others are still where they were. `None` where something is wrong with the file as a whole, or with its header.
pub(super) fn sorted_out(text: &str, problems: &[Diagnostic]) -> Option<(String, Vec<FailedRow>)> {
    let records = records(text);
    let header = records.first()?;
    let mut wrong = BTreeMap::<usize, Vec<String>>::new();
    for problem in problems {
        let line = problem.line?;
        let number = records.partition_point(|record| record.line <= line).checked_sub(1)?;
        if number == 0 {
            return None;
        }
        wrong.entry(number).or_default().push(problem.message.clone());
    }
    let mut left = text[..header.bytes.end].to_owned();
    let mut failed = Vec::new();
    for (number, record) in records.iter().enumerate().skip(1) {
        let row = &text[record.bytes.clone()];
        match wrong.remove(&number) {
            Some(problems) => {
                left.extend(row.matches('\n'));
                failed.push(FailedRow { line: record.line, text: row.trim_matches(['\r', '\n']).to_owned(), problems });
            }
            None => left.push_str(row),
        }
    }
    Some((left, failed))
}

/// The rows that failed as a file that can be imported again when they are mended: what was wrong stands in a column that an import
/// passes over.
#[must_use]
pub fn failed_file(text: &str, failed: &[FailedRow]) -> String {
    let header = records(text).first().map_or("", |header| text[header.bytes.clone()].trim_end_matches(['\r', '\n']));
    let known = header.split(',').any(|name| name.trim().trim_matches('"') == PROBLEM_COLUMN);
    let mut file = if known { format!("{header}\r\n") } else { format!("{header},{PROBLEM_COLUMN}\r\n") };
    for row in failed {
        file.push_str(&row.text);
        if known {
            file.push_str("\r\n");
        } else {
            file.push(',');
            file.push_str(&spreadsheet::row(&[row.problems.join("; ")]));
        }
    }
    file
}

struct Record {
    bytes: Range<usize>,
    /// The line in which its first cell begins.
    line: usize,
}

/// Where the records of a file stand, each with what separates it from the next. A file that can't be read as CSV has those before that.
fn records(text: &str) -> Vec<Record> {
    let begins = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(&text.as_bytes()[begins..]);
    let positions = reader.records().map_while(Result::ok).filter_map(|record| record.position().map(csv::Position::byte));
    let starts: Vec<usize> = positions.map(|byte| begins + usize::try_from(byte).unwrap_or(0)).collect();
    let mut records = Vec::with_capacity(starts.len());
    let (mut line, mut counted) = (1, 0);
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(text.len());
        // A record begins behind the empty lines before it.
        let first = start + text[*start..end].find(|c| !matches!(c, '\r' | '\n')).unwrap_or(0);
        line += text[counted..first].matches('\n').count();
        counted = first;
        records.push(Record { bytes: *start..end, line });
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize) -> Diagnostic {
        Diagnostic { line: Some(line), ..Diagnostic::of_file("accounts.csv", format!("line {line} is wrong")) }
    }

    #[test]
    fn rows_with_problems_leave_the_others_where_they_were() {
        let text = "user_name,display_name\r\nada,\"Ada\nLovelace\"\n\nbob,Bob\neve,Eve";
        let (left, failed) = sorted_out(text, &[problem(5), problem(3)]).unwrap();
        assert!(left.starts_with("user_name,display_name\r\n\n") && left.ends_with("\neve,Eve"), "{left:?}");
        assert_eq!(left.matches('\n').count(), text.matches('\n').count());
        let lines: Vec<(usize, &str)> = failed.iter().map(|row| (row.line, row.text.as_str())).collect();
        assert_eq!(lines, [(2, "ada,\"Ada\nLovelace\""), (5, "bob,Bob")]);
        let file = failed_file(text, &failed[1..]);
        assert_eq!(file, "user_name,display_name,problem\r\nbob,Bob,\"line 5 is wrong\"\r\n");
    }

    #[test]
    fn what_is_wrong_with_the_whole_file_is_not_a_row() {
        assert_eq!(sorted_out("user\nada\n", &[problem(1)]), None);
        assert_eq!(sorted_out("", &[problem(1)]), None);
        assert_eq!(sorted_out("user_name\nada\n", &[Diagnostic::of_file("accounts.csv", "too large")]), None);
    }
}
