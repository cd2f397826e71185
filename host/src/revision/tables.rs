//! Lookup tables: CSV with a header, whose first column is the key.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;

/// The most rows of a table: all tables of a tenant stay in memory.
const ROWS_LIMIT: usize = 50_000;
/// The most columns of a table.
const COLUMNS_LIMIT: usize = 64;

/// The most values that all tables of a revision have: a small file can have many that are empty.
const CELLS_LIMIT: usize = 1_000_000;
/// The most bytes that they take in memory, where each row has its columns' names with it.
const EXPANDED_BYTES_LIMIT: usize = 64 << 20;

/// What the tables of a revision may take still.
pub(super) struct Room {
    cells: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { cells: CELLS_LIMIT, bytes: EXPANDED_BYTES_LIMIT }
    }
}

impl Room {
    fn take(&mut self, cells: usize, bytes: usize) -> Result<(), String> {
        let left = (self.cells.checked_sub(cells), self.bytes.checked_sub(bytes));
        match left {
            (Some(cells), Some(bytes)) => {
                *self = Self { cells, bytes };
                Ok(())
            }
            (None, _) => Err(format!("the tables have more than {CELLS_LIMIT} values together: leave out columns that no plugin looks at")),
            (_, None) => Err(format!(
                "the tables have more than {EXPANDED_BYTES_LIMIT} bytes together, as each row has its columns' names with it: shorten those, or leave out columns"
            )),
        }
    }
}

/// Key → column → value. The key's own column is in the row too.
pub(super) type Rows = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a table, as far as there is room.
pub(super) fn read(file: &str, text: &str, room: &mut Room) -> Result<Rows, Vec<Diagnostic>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let columns: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(str::to_owned).collect(),
        Err(error) => return Err(vec![Diagnostic::of_file(file, error.to_string())]),
    };
    check_columns(file, text, &columns)?;
    let name_bytes: usize = columns.iter().map(String::len).sum();
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
        } else if let Err(full) = room.take(columns.len(), name_bytes + record.as_slice().len()) {
            problems.push(problem(full));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, room: &mut Room) -> Vec<String> {
        read("tables/t.csv", text, room).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    /// Few bytes can be many values, and long names are in each row again.
    #[test]
    fn tables_take_so_much_together() {
        let mut room = Room { cells: 5, bytes: 40 };
        assert_eq!(said("key,a\none,1\n", &mut room), Vec::<String>::new());
        assert_eq!((room.cells, room.bytes), (3, 32));
        let full = said("key,a\none,\ntwo,\n", &mut room);
        assert!(full.len() == 1 && full[0].contains("tables/t.csv:3") && full[0].contains("values together"), "{full:?}");
        let mut room = Room { cells: 5, bytes: 40 };
        let long = said(&format!("key,{}\none,\n", "x".repeat(40)), &mut room);
        assert!(long.len() == 1 && long[0].contains("tables/t.csv:2") && long[0].contains("columns' names"), "{long:?}");
    }
}
