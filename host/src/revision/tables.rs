//! Lookup tables: CSV with a header, whose first column is the key.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;

/// The most rows of a table: all tables of a tenant stay in memory.
const ROWS_LIMIT: usize = 50_000;
/// The most columns of a table.
const COLUMNS_LIMIT: usize = 64;

/// Key → column → value. The key's own column is in the row too.
pub(super) type Rows = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a table.
pub(super) fn read(file: &str, text: &str) -> Result<Rows, Vec<Diagnostic>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let columns: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(str::to_owned).collect(),
        Err(error) => return Err(vec![Diagnostic::of_file(file, error.to_string())]),
    };
    check_columns(file, text, &columns)?;
    let mut problems = Vec::new();
    let mut rows = Rows::new();
    let mut first_lines: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.push(Diagnostic::of_file(file, error.to_string()));
                break;
            }
        };
        let line = record.position().map_or(1, csv::Position::line);
        let problem = |message: String| Diagnostic::at_position(file, text, usize::try_from(line).unwrap_or(usize::MAX), 1, message);
        let key = record.get(0).unwrap_or_default();
        if record.len() != columns.len() {
            problems.push(problem(format!("the row has {} values: the header names {} columns", record.len(), columns.len())));
        } else if key.is_empty() {
            problems.push(problem(format!("the row has no `{}`: the first column is the key", columns[0])));
        } else if let Some(first) = first_lines.insert(key.to_owned(), line) {
            problems.push(problem(format!("the key `{key}` stands on line {first} already")));
        } else if rows.len() == ROWS_LIMIT {
            problems.push(problem(format!("the table has more than {ROWS_LIMIT} rows")));
            break;
        } else {
            rows.insert(key.to_owned(), columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect());
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn check_columns(file: &str, text: &str, columns: &[String]) -> Result<(), Vec<Diagnostic>> {
    let problem = |message: String| Err(vec![Diagnostic::at_position(file, text, 1, 1, message)]);
    if columns.iter().all(String::is_empty) {
        return problem("the table has no header: its first line names the columns, the first of which is the key".into());
    }
    if columns.len() > COLUMNS_LIMIT {
        return problem(format!("the table has {} columns: at most {COLUMNS_LIMIT} are allowed", columns.len()));
    }
    for (number, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return problem(format!("column {} has no name", number + 1));
        }
        if columns[..number].contains(column) {
            return problem(format!("there are two columns `{column}`"));
        }
    }
    Ok(())
}
