//! A file of accounts, CSV or JSON, as rows: pure. Everything that is wrong is found in one go, with line and column.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rolecall_scim::filter::fold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::crypto::sha256_hex;
use crate::diagnostic::Diagnostic;
use crate::mapping::TEXT_BYTES_LIMIT;
use crate::model::{RoleId, collision_key};
use crate::store::IMPORT_ROWS_LIMIT;

/// The largest file of accounts, in bytes: 10,000 rows of some 400.
pub const IMPORT_BYTES_LIMIT: usize = 4 * 1024 * 1024;
/// What spreadsheets put in front of UTF-8.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';
/// The most problems of a file that are told one by one: how many there are besides is said.
const PROBLEMS_LIMIT: usize = 500;
/// The most addresses of an account.
const EMAILS_LIMIT: usize = 20;
/// The most roles of an account: each is a grant of its own.
const ROLES_LIMIT: usize = 256;
/// What separates several values in one cell.
const SEPARATOR: char = ';';

/// The columns that there are.
const COLUMNS: &[&str] = &["user_name", "external_id", "emails", "display_name", "roles", "protected"];
const SHAPE: Shape = Shape { of: "accounts", item: "an account", columns: COLUMNS, many: &["emails", "roles"], truths: &["protected"] };

/// What a file is of.
pub(super) struct Shape {
    /// What it is called.
    pub(super) of: &'static str,
    /// What a row is.
    pub(super) item: &'static str,
    /// Its columns: `user_name` is one of them.
    pub(super) columns: &'static [&'static str],
    /// Those that may have several values.
    pub(super) many: &'static [&'static str],
    /// Those that are true or false.
    pub(super) truths: &'static [&'static str],
}

/// A column that is passed over: what was wrong with a row, in a file of rows that failed.
pub(super) const PROBLEM_COLUMN: &str = "problem";

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A header and rows (RFC 4180); several values of a cell are separated by `;`.
    Csv,
    /// An array of objects.
    Json,
}

/// A row that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The login name.
    pub user_name: String,
    /// That, folded.
    pub name_key: String,
    /// The identity provider's id.
    pub external_id: Option<String>,
    /// Addresses, folded.
    pub emails: Vec<String>,
    /// What is shown of the account.
    pub profile: Value,
    /// The roles that it has.
    pub roles: Vec<RoleId>,
    /// Whether no connection may touch it; nothing where the file says nothing.
    pub protected: Option<bool>,
    /// A hash of what the row says.
    pub digest: String,
    /// Where it stands, in bytes.
    pub at: Range<usize>,
}

/// Values in the file, with where they stand.
pub(super) struct Field {
    pub(super) values: Vec<String>,
    pub(super) at: Range<usize>,
}

/// A row as it stands in the file.
pub(super) struct Raw {
    at: Range<usize>,
    pub(super) fields: BTreeMap<&'static str, Field>,
}

impl Raw {
    /// Where a value stands; the row, where there is none.
    pub(super) fn at_of(&self, column: &str) -> Range<usize> {
        self.fields.get(column).map_or_else(|| self.at.clone(), |field| field.at.clone())
    }
}

/// A file under way.
pub(super) struct Reading<'t> {
    file: String,
    shape: &'static Shape,
    text: &'t str,
    problems: Vec<Diagnostic>,
    untold: usize,
}

impl<'t> Reading<'t> {
    pub(super) fn new(shape: &'static Shape, format: Format, text: &'t str) -> Self {
        let ending = if format == Format::Csv { "csv" } else { "json" };
        Self { file: format!("{}.{ending}", shape.of), shape, text, problems: Vec::new(), untold: 0 }
    }

    /// Of accounts that are imported.
    pub(super) fn of_accounts(format: Format, text: &'t str) -> Self {
        Self::new(&SHAPE, format, text)
    }

    pub(super) fn problem(&mut self, at: Range<usize>, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_LIMIT {
            self.problems.push(Diagnostic::at(&self.file, self.text, at, message));
        } else {
            self.untold += 1;
        }
    }

    /// What was found, in the order in which it stands.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        if self.untold > 0 {
            self.problems.push(Diagnostic::of_file(&self.file, format!("and {} more", self.untold)));
        }
        self.problems
    }
}

/// Reads a file. `roles` are those of the tenant's catalogue.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(format: Format, text: &str, roles: &BTreeSet<&str>) -> Result<Vec<AccountRow>, Vec<Diagnostic>> {
    let mut reading = Reading::of_accounts(format, text);
    let raw = rows_of(&mut reading, format, (IMPORT_BYTES_LIMIT, IMPORT_ROWS_LIMIT, "import it in parts"))?;
    let (mut names, mut ids) = (BTreeMap::new(), BTreeMap::new());
    let mut rows = Vec::with_capacity(raw.len());
    for raw in raw {
        let Some(row) = row(&mut reading, &raw, roles) else { continue };
        let field_at = |name: &str| raw.fields.get(name).map_or_else(|| raw.at.clone(), |field| field.at.clone());
        if names.insert(row.name_key.clone(), ()).is_some() {
            reading.problem(field_at("user_name"), format!("the name `{}` stands in the file already", row.user_name));
        }
        if let Some(id) = &row.external_id
            && ids.insert(id.clone(), ()).is_some()
        {
            reading.problem(field_at("external_id"), format!("the external id `{id}` stands in the file already"));
        }
        rows.push(row);
    }
    let problems = reading.finish();
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

/// The rows of a file that is not too large.
///
/// # Errors
/// Where it is, with what to do.
pub(super) fn rows_of(
    reading: &mut Reading<'_>,
    format: Format,
    (bytes, rows, what_to_do): (usize, usize, &str),
) -> Result<Vec<Raw>, Vec<Diagnostic>> {
    if reading.text.len() > bytes {
        return Err(vec![Diagnostic::of_file(&reading.file, format!("the file has more than {bytes} bytes: {what_to_do}"))]);
    }
    // What a browser reads as UTF-8 comes with this in place of what was none.
    if let Some(at) = reading.text.find(char::REPLACEMENT_CHARACTER) {
        let message = "the file was no UTF-8 when it was read, and has `\u{fffd}` in place of what it had: save it as UTF-8 (in a spreadsheet, \
                       as “CSV UTF-8”)";
        return Err(vec![Diagnostic::at(&reading.file, reading.text, at..at + char::REPLACEMENT_CHARACTER.len_utf8(), message)]);
    }
    let mut raw = match format {
        Format::Csv => csv_rows(reading),
        Format::Json => json_rows(reading),
    };
    if raw.len() > rows {
        let at = raw[rows].at.clone();
        reading.problem(at, format!("the file has more than {rows} rows: {what_to_do}"));
        raw.clear();
        return Err(std::mem::take(&mut reading.problems));
    }
    Ok(raw)
}

fn column(shape: &Shape, name: &str) -> Option<&'static str> {
    shape.columns.iter().find(|known| **known == name).copied()
}

/// Whether a value may stand in a file.
pub(super) fn is_sound(value: &str) -> bool {
    value.len() <= TEXT_BYTES_LIMIT && !value.chars().any(char::is_control)
}

/// What a row says; nothing where it has no name.
fn row(reading: &mut Reading<'_>, raw: &Raw, catalogue: &BTreeSet<&str>) -> Option<AccountRow> {
    for field in raw.fields.values() {
        for value in &field.values {
            if !is_sound(value) {
                let why = format!("a value is 1 to {TEXT_BYTES_LIMIT} bytes, without control characters");
                reading.problem(field.at.clone(), why);
            }
        }
    }
    let one = |name: &str| raw.fields.get(name).and_then(|field| field.values.first()).cloned();
    let Some(user_name) = one("user_name").filter(|name| !collision_key(name).is_empty()) else {
        let at = raw.fields.get("user_name").map_or_else(|| raw.at.clone(), |field| field.at.clone());
        reading.problem(at, "the account has no `user_name`");
        return None;
    };
    let many = |name: &str| raw.fields.get(name).map_or((&[][..], raw.at.clone()), |field| (&field.values[..], field.at.clone()));
    let (addresses, at) = many("emails");
    for bad in addresses.iter().filter(|address| !address.contains('@')) {
        reading.problem(at.clone(), format!("`{bad}` is no e-mail address"));
    }
    if addresses.len() > EMAILS_LIMIT {
        reading.problem(at, format!("an account has at most {EMAILS_LIMIT} addresses"));
    }
    let (named, at) = many("roles");
    for unknown in named.iter().filter(|role| !catalogue.contains(role.as_str())) {
        reading.problem(at.clone(), format!("there is no role `{unknown}` in the tenant's catalogue"));
    }
    if named.len() > ROLES_LIMIT {
        reading.problem(at, format!("an account has at most {ROLES_LIMIT} roles"));
    }
    let protected = match raw.fields.get("protected").and_then(|field| field.values.first().map(|word| (word, field.at.clone()))) {
        None => None,
        Some((word, at)) => match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => {
                reading.problem(at, "`protected` is `true` or `false`");
                None
            }
        },
    };
    let (external_id, display_name) = (one("external_id"), one("display_name"));
    let mut profile = Map::from_iter([("user_name".to_owned(), json!(user_name))]);
    profile.extend(display_name.map(|name| ("display_name".to_owned(), json!(name))));
    profile.extend(addresses.first().map(|address| ("email".to_owned(), json!(address))));
    let emails: BTreeSet<String> = addresses.iter().map(|address| fold(address)).collect();
    let roles: BTreeSet<&String> = named.iter().collect();
    let digest = sha256_hex(json!([profile, external_id, emails, roles, protected]).to_string().as_bytes());
    Some(AccountRow {
        name_key: collision_key(&user_name),
        user_name,
        external_id,
        emails: emails.into_iter().collect(),
        profile: Value::Object(profile),
        roles: roles.into_iter().cloned().map(RoleId).collect(),
        protected,
        digest,
        at: raw.at.clone(),
    })
}

/// The values of a cell.
fn split(shape: &Shape, name: &str, cell: &str) -> Vec<String> {
    let parts: Vec<&str> = if shape.many.contains(&name) { cell.split(SEPARATOR).collect() } else { vec![cell] };
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn csv_rows(reading: &mut Reading<'_>) -> Vec<Raw> {
    let (text, shape) = (reading.text, reading.shape);
    let begins = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).has_headers(false).from_reader(&text.as_bytes()[begins..]);
    let mut header: Option<Vec<Option<&'static str>>> = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let at = error.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0)) + begins;
                reading.problem(at..at, "the row can't be read as CSV in UTF-8");
                break;
            }
        };
        let start = begins + record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
        let cells = cells(text, start);
        let at = |number: usize| cells.get(number).cloned().unwrap_or(start..start);
        let Some(columns) = &header else {
            header = Some(columns_of(reading, &record, &at));
            continue;
        };
        if record.len() != columns.len() {
            let message = format!("the row has {} values: the header names {} columns", record.len(), columns.len());
            reading.problem(at(0), message);
            continue;
        }
        let fields = columns.iter().zip(record.iter()).enumerate();
        let fields = fields.filter_map(|(number, (name, cell))| {
            let name = (*name)?;
            Some((name, Field { values: split(shape, name, cell), at: at(number) }))
        });
        rows.push(Raw { at: at(0), fields: fields.collect() });
    }
    if header.is_none() {
        reading.problem(0..0, "the file has no header: its first line names the columns, `user_name` among them");
    }
    rows
}

/// The most columns of a file: there are a dozen that are known, and an export has some hundred.
const COLUMNS_LIMIT: usize = 300;

fn columns_of(reading: &mut Reading<'_>, record: &csv::StringRecord, at: &dyn Fn(usize) -> Range<usize>) -> Vec<Option<&'static str>> {
    let mut columns = Vec::with_capacity(record.len());
    if record.len() > COLUMNS_LIMIT {
        reading.problem(at(0), format!("the header has {} columns: at most {COLUMNS_LIMIT} are read", record.len()));
        return columns;
    }
    for (number, name) in record.iter().enumerate() {
        let known = column(reading.shape, name);
        if name == PROBLEM_COLUMN {
            columns.push(None);
            continue;
        }
        if known.is_none() {
            reading.problem(at(number), format!("there is no column `{name}`: there are {}", reading.shape.columns.join(", ")));
        } else if columns.contains(&known) {
            reading.problem(at(number), format!("the column `{name}` stands here twice"));
        }
        columns.push(known);
    }
    if !columns.contains(&Some("user_name")) {
        reading.problem(at(0), "the file has no column `user_name`");
    }
    columns
}

/// Where the cells of the record that begins at a byte stand, quotes and blanks left out.
fn cells(text: &str, start: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut begin = start + bytes[start.min(bytes.len())..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (mut cells, mut quoted) = (Vec::new(), false);
    let first = begin;
    for at in first..=bytes.len() {
        let byte = bytes.get(at);
        quoted ^= byte == Some(&b'"');
        if byte.is_none() || !quoted && matches!(byte, Some(b',' | b'\r' | b'\n')) {
            let cell = &text[begin..at];
            let inner = cell.trim_matches(|c: char| c.is_whitespace() || c == '"');
            let from = begin + cell.find(inner).unwrap_or(0);
            cells.push(from..from + inner.len());
            begin = at + 1;
            if byte != Some(&b',') {
                break;
            }
        }
    }
    cells
}

fn json_rows(reading: &mut Reading<'_>) -> Vec<Raw> {
    let (text, shape) = (reading.text, reading.shape);
    // Spreadsheets write a byte order mark; blanks in its place keep positions.
    let readable = text.strip_prefix(BYTE_ORDER_MARK).map_or(Cow::Borrowed(text), |rest| format!("   {rest}").into());
    let whole: Value = match serde_json::from_str(&readable) {
        Ok(whole) => whole,
        Err(error) => {
            let (file, line, column) = (&reading.file, error.line(), error.column());
            let message = format!("the file is no JSON: {}", if error.is_eof() { "it ends too early" } else { "something is wrong here" });
            reading.problems.push(Diagnostic::at_position(file, text, line.max(1), column, message));
            return Vec::new();
        }
    };
    let Value::Array(items) = &whole else {
        reading.problem(0..0, format!("the file is an array of objects, each {}", shape.item));
        return Vec::new();
    };
    let places = children(text, text.find('[').unwrap_or(0));
    let mut rows = Vec::with_capacity(items.len());
    for (item, place) in items.iter().zip(places) {
        let Value::Object(object) = item else {
            reading.problem(place, format!("{} is an object", shape.item));
            continue;
        };
        let values = children(text, place.start);
        let mut fields = BTreeMap::new();
        // A name that stands twice in an object counts once, as the last: the places would not fit.
        let fits = values.len() == object.len();
        if !fits {
            reading.problem(place.clone(), "a name stands twice in the object");
        }
        for (number, (name, value)) in object.iter().enumerate() {
            let at = values.get(number).filter(|_| fits).cloned().unwrap_or_else(|| place.clone());
            let Some(known) = column(shape, name) else {
                reading.problem(at, format!("there is no attribute `{name}`: there are {}", shape.columns.join(", ")));
                continue;
            };
            match values_of(shape, known, value) {
                Some(values) => {
                    fields.insert(known, Field { values, at });
                }
                None => {
                    let many = shape.many.contains(&known);
                    let wanted = if many { "an array of texts" } else { "a text" };
                    reading.problem(at, format!("`{known}` is {wanted}"));
                }
            }
        }
        rows.push(Raw { at: place.start..place.start, fields });
    }
    rows
}

fn values_of(shape: &Shape, name: &str, value: &Value) -> Option<Vec<String>> {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty()).into_iter().collect::<Vec<_>>();
    match (name, value) {
        (_, Value::Null) => Some(Vec::new()),
        (_, Value::Bool(truth)) if shape.truths.contains(&name) => Some(vec![truth.to_string()]),
        (_, Value::Array(items)) if shape.many.contains(&name) => {
            items.iter().map(|item| item.as_str().map(some)).collect::<Option<Vec<_>>>().map(|all| all.concat())
        }
        (_, Value::String(text)) if !shape.many.contains(&name) => Some(some(text)),
        _ => None,
    }
}

/// Where the values of the array or object that begins at a byte stand. The text is valid JSON.
fn children(text: &str, start: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let is_object = bytes.get(start) == Some(&b'{');
    let (mut places, mut depth, mut in_string, mut escaped) = (Vec::new(), 0_usize, false, false);
    let mut begin = None;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        if in_string {
            (in_string, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            continue;
        }
        let ends = depth == 1 && matches!(byte, b',' | b']' | b'}');
        if ends && let Some(from) = begin.take() {
            let value = text[from..at].trim_end();
            places.push(from..from + value.len());
        }
        match byte {
            b'{' | b'[' => {
                if depth == 1 && begin.is_none() {
                    begin = Some(at);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            // What came before was a name.
            b':' if depth == 1 && is_object => begin = None,
            b'"' => {
                if depth == 1 && begin.is_none() {
                    begin = Some(at);
                }
                in_string = true;
            }
            byte if depth == 1 && begin.is_none() && !byte.is_ascii_whitespace() && !matches!(byte, b',') => begin = Some(at),
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(format: Format, text: &str) -> Vec<String> {
        let problems = read(format, text, &BTreeSet::from(["reader", "writer"])).unwrap_err();
        let place = |problem: &Diagnostic| format!("{}:{} {}", problem.line.unwrap_or(0), problem.column.unwrap_or(0), problem.message);
        problems.iter().map(place).collect()
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv = "\u{feff}user_name,external_id,emails,display_name,roles,protected\r\nAda@Acme.example,e1, Ada@acme.example ;a@x.example ,\"Ada, L.\",writer;reader,\n\
                   root,,,,,true\n";
        let json = r#"[{"user_name": "Ada@Acme.example", "external_id": "e1", "emails": ["Ada@acme.example", "a@x.example"],
                        "display_name": "Ada, L.", "roles": ["reader", "writer"]},
                       {"user_name": "root", "emails": [], "protected": true}]"#;
        let roles = BTreeSet::from(["reader", "writer"]);
        let rows = |format, text| {
            let rows = read(format, text, &roles).unwrap();
            rows.into_iter().map(|row| AccountRow { at: 0..0, ..row }).collect::<Vec<_>>()
        };
        let read = rows(Format::Csv, csv);
        assert_eq!(read, rows(Format::Json, json));
        let marked = format!("{BYTE_ORDER_MARK}{json}");
        assert_eq!(read, rows(Format::Json, &marked));
        assert_eq!(read[0].emails, ["a@x.example", "ada@acme.example"]);
        assert_eq!(read[0].profile, json!({"user_name": "Ada@Acme.example", "display_name": "Ada, L.", "email": "Ada@acme.example"}));
        assert_eq!((read[0].protected, read[1].protected), (None, Some(true)));
        assert_eq!(rows(Format::Csv, "user_name\n"), []);
    }

    #[test]
    fn a_header_has_so_many_columns() {
        let columns = vec!["emails"; COLUMNS_LIMIT + 1].join(",");
        assert_eq!(
            said(Format::Csv, &format!("{columns}\n")),
            [format!("1:1 the header has 301 columns: at most {COLUMNS_LIMIT} are read")]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_line_and_column() {
        let csv =
            "user_name,roles,emails,protected\nada,owner;reader;auditor,a@b;c;d,\n,reader,,\n\"bob\nb\",,\"x\",maybe\nADA,,,\neve,reader\n";
        assert_eq!(
            said(Format::Csv, csv),
            [
                "2:5 there is no role `owner` in the tenant's catalogue",
                "2:5 there is no role `auditor` in the tenant's catalogue",
                "2:26 `c` is no e-mail address",
                "2:26 `d` is no e-mail address",
                "3:1 the account has no `user_name`",
                "4:2 a value is 1 to 1024 bytes, without control characters",
                "5:6 `x` is no e-mail address",
                "5:9 `protected` is `true` or `false`",
                "6:1 the name `ADA` stands in the file already",
                "7:1 the row has 2 values: the header names 4 columns",
            ]
        );
        let json = "[{\"user_name\": \"ada\", \"roles\": \"reader\"},\n {\"usr\": 1, \"user_name\": \"b\"},\n 3,\n {\"emails\": [\"a@b\", \"c\"]},\n \
                    {\"user_name\": \"d\", \"user_name\": \"e\"}]";
        assert_eq!(
            said(Format::Json, json),
            [
                "1:32 `roles` is an array of texts",
                "2:10 there is no attribute `usr`: there are user_name, external_id, emails, display_name, roles, protected",
                "3:2 an account is an object",
                "4:2 the account has no `user_name`",
                "5:2 a name stands twice in the object",
            ]
        );
        let damaged = said(Format::Csv, "user_name\nj\u{fffd}rgen\n");
        assert!(damaged.len() == 1 && damaged[0].starts_with("2:2 the file was no UTF-8"), "{damaged:?}");
        for (format, text) in [(Format::Csv, ""), (Format::Csv, "a,b\n"), (Format::Json, "{}"), (Format::Json, "[{]"), (Format::Json, "")] {
            assert!(!said(format, text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_file_is_bounded_and_so_is_what_is_said_of_it() {
        let many = format!("user_name\n{}", (0..=IMPORT_ROWS_LIMIT).fold(String::new(), |text, n| text + &format!("u{n}\n")));
        assert_eq!(said(Format::Csv, &many), ["10002:1 the file has more than 10000 rows: import it in parts"]);
        let long = format!("user_name\n{}", "x".repeat(IMPORT_BYTES_LIMIT));
        assert!(said(Format::Csv, &long)[0].contains("bytes"));
        let wrong = format!("user_name,emails\n{}", (0..600).fold(String::new(), |text, n| text + &format!("u{n},none\n")));
        let said = said(Format::Csv, &wrong);
        assert_eq!((said.len(), said.last().unwrap().as_str()), (501, "0:0 and 100 more"));
    }
}
