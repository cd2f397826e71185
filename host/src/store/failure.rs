//! What a database's refusal means in the store's words. Knows both databases' codes; no tenant's data ever gets into
//! an error: codes, table and constraint names only.

use sqlx::error::{DatabaseError, ErrorKind};

use super::StoreError;

/// What a violated constraint means: its name, its last column, the meaning.
type Meaning = (&'static str, &'static str, fn() -> StoreError);

/// A constraint whose violation has a meaning of its own: its name on PostgreSQL, its last column on SQLite (which names
/// columns instead), and what it means.
const MEANINGS: &[Meaning] = &[
    ("resources_user_name", "resources.user_name", || StoreError::Taken { attribute: "userName" }),
    ("accounts_name_key", "accounts.name_key", || StoreError::Conflict { what: "account_name" }),
    ("connections_name", "connections.name", || StoreError::Taken { attribute: "name" }),
    ("handles_pkey", "handles.handle", || StoreError::Conflict { what: "handle" }),
    ("links_account", "links.account", || StoreError::Conflict { what: "account" }),
];

/// What [`StoreError::Conflict`] says of a transaction that the database gave up in favour of others: trying it again is enough.
pub(super) const LOST_TO_OTHERS: &str = "transaction";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(refusal) => of_database(refusal),
            // A value that is not of the type that the code expects, or a column that is not there.
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt(format!("column {index}")),
            sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::RowNotFound => {
                Self::Corrupt("an unexpected shape of rows".into())
            }
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

fn of_database(refusal: Box<dyn DatabaseError>) -> StoreError {
    match refusal.kind() {
        ErrorKind::UniqueViolation => {
            let is_meant = |constraint: &str, column: &str| match refusal.constraint() {
                Some(name) => name == constraint,
                None => refusal.message().contains(column),
            };
            let meaning = MEANINGS.iter().find(|(constraint, column, _)| is_meant(constraint, column));
            return meaning.map_or(StoreError::Conflict { what: "resource" }, |(.., meaning)| meaning());
        }
        // Something that the change refers to was deleted meanwhile.
        ErrorKind::ForeignKeyViolation => return StoreError::Conflict { what: "resource" },
        _ => {}
    }
    let code = refusal.code().unwrap_or_default().into_owned();
    let fate =
        if refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() { postgres_fate(&code) } else { sqlite_fate(&code) };
    match fate {
        Fate::Again => StoreError::Conflict { what: LOST_TO_OTHERS },
        Fate::Away => StoreError::Unavailable(Box::new(sqlx::Error::Database(refusal))),
        Fate::Defect => StoreError::Corrupt(format!("the database refuses a statement with code {code}")),
    }
}

enum Fate {
    Again,
    Away,
    Defect,
}

/// By SQLSTATE (PostgreSQL's appendix A).
fn postgres_fate(code: &str) -> Fate {
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Fate::Again,
        // lock_not_available, query_canceled (a timeout)
        "55P03" | "57014" => Fate::Away,
        // connection, resources, operator intervention, system, read-only transaction (a standby)
        _ if ["08", "53", "57", "58", "25"].iter().any(|class| code.starts_with(class)) => Fate::Away,
        _ => Fate::Defect,
    }
}

/// By SQLite's result code; the primary code is the lowest byte.
fn sqlite_fate(code: &str) -> Fate {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        Ok(5..=10 | 13 | 14 | 15) => Fate::Away,
        _ => Fate::Defect,
    }
}
