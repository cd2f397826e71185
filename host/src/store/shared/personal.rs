//! Where something of a person stands, and what becomes of it: the one list, which a test holds against the tables that there are.

use super::{Conn, text_list};
use crate::model::TenantId;
use crate::store::Result;

/// Rows of a table by the deleted users of accounts ($2).
macro_rules! of_deleted_users {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE tenant = $1 AND (connection, resource) IN (SELECT connection, id FROM deleted_resources WHERE tenant = $1 AND ",
            any_of!("account", "$2"),
            ")"
        )
    };
}

/// What becomes of what a table says of somebody when they are erased.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// This statement ends it. $1 is the tenant, $2 the accounts.
    By(&'static str),
    /// The account itself, or what goes with the user when that is deleted: it is gone before anybody is erased.
    Before(#[cfg_attr(not(test), expect(dead_code, reason = "for whoever reads this"))] &'static str),
    /// It stays, because it says nothing personal, or has to be there.
    Stays(#[cfg_attr(not(test), expect(dead_code, reason = "for whoever reads this"))] &'static str),
}

/// Every table with something of a person in it.
pub(super) const TABLES: &[(&str, End)] = &[
    ("accounts", End::Before("erased by name with the erasure itself: name, profile, provenance and note go")),
    ("person_keys", End::By(concat!("DELETE FROM person_keys WHERE tenant = $1 AND ", any_of!("account", "$2")))),
    (
        "rulings",
        End::By(concat!(
            "UPDATE rulings SET state = 'ended', settle_at = NULL, reason = NULL, owner = NULL WHERE tenant = $1 AND ",
            any_of!("account", "$2")
        )),
    ),
    // Of a connection's log no more than a bounded number of entries is kept.
    ("provisioning_log", End::By(of_deleted_users!("provisioning_log"))),
    ("plugin_failures", End::By(of_deleted_users!("plugin_failures"))),
    ("plugin_lines", End::By(of_deleted_users!("plugin_lines"))),
    ("drift_lines", End::By(of_deleted_users!("drift_lines"))),
    ("imports", End::By(concat!("DELETE FROM imports WHERE tenant = $1 AND ", any_of!("account", "$2")))),
    ("import_emails", End::Before("goes with the row of imports")),
    ("adoptions", End::By(concat!("DELETE FROM adoptions WHERE tenant = $1 AND ", any_of!("account", "$2")))),
    ("moves", End::By(concat!("DELETE FROM moves WHERE tenant = $1 AND ", any_of!("account", "$2")))),
    // The others are found through it: last.
    (
        "deleted_resources",
        End::By(concat!("UPDATE deleted_resources SET external_id = NULL WHERE tenant = $1 AND ", any_of!("account", "$2"))),
    ),
    ("resources", End::Before("goes with the user's deletion")),
    ("emails", End::Before("goes with the user's deletion")),
    ("members", End::Before("goes with the user's deletion")),
    ("links", End::Before("goes with the user's deletion")),
    ("trial_differences", End::Before("goes with the user's deletion")),
    ("evaluations", End::Before("goes with the user's deletion")),
    ("grants", End::Before("nobody is erased who has one in effect; dormant ones end with the erasure itself, each with its event")),
    (
        "process_steps",
        End::By(concat!("UPDATE process_steps SET reason = NULL WHERE tenant = $1 AND reason IS NOT NULL AND ", any_of!("account", "$2"))),
    ),
    ("left_with_connection", End::By(concat!("DELETE FROM left_with_connection WHERE tenant = $1 AND ", any_of!("account", "$2")))),
    ("processes", End::Stays("the account's id and dates: what was done when somebody came or went is evidence")),
    ("acknowledgements_due", End::Stays("the account's id, until targets have acknowledged the departure")),
    ("invitations", End::Stays("the account's id and a keyed hash, which nobody can turn into the token")),
    ("events", End::Stays("personal values are sealed under the person's key, which is destroyed")),
    ("delivery_lanes", End::Stays("goes with the delivery, and has the account's id alone")),
    (
        "deliveries",
        End::Stays(
            "has the account's id; the event is read when it is sent, and what a target alone is told is sealed under the person's key",
        ),
    ),
    ("standings", End::Stays("the history without personal values: the account's id, roles, reasons")),
    ("guard_people", End::Stays("the account's id, for the guard's window")),
    (
        "review_lines",
        End::Stays("what was said of a role is evidence until the review's own end; the person's name is the account's, and goes with it"),
    ),
    ("api_tokens", End::Stays("whom a token stands for is what an operator said of the token, and ends with it")),
];

/// Ends what is personal of accounts that are being erased.
pub(super) async fn erase(conn: &mut Conn, tenant: &TenantId, accounts: &[String]) -> Result<()> {
    for (_, end) in TABLES {
        if let End::By(statement) = end {
            sqlx::query(*statement).bind(tenant.as_str()).bind(text_list(accounts.iter().map(String::as_str))).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

/// The statements that end what tables of records say of a user: of one who is being deleted ($2 the connection, $3 the id), and of all who
/// are gone.
macro_rules! records {
    ($($table:literal),+) => {
        /// Of one user.
        pub(super) const OF_USER: &[&str] =
            &[$(concat!("DELETE FROM ", $table, " WHERE tenant = $1 AND connection = $2 AND resource = $3")),+];
        /// Of users who are gone.
        pub(super) const OF_THE_GONE: &[&str] = &[$(concat!(
            "DELETE FROM ", $table, " WHERE tenant = $1 AND EXISTS (SELECT 1 FROM deleted_resources d WHERE d.tenant = $1
                 AND d.connection = ", $table, ".connection AND d.id = ", $table, ".resource)"
        )),+];
    };
}
records!("plugin_failures", "plugin_lines", "drift_lines");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use sqlx::Row as _;

    use super::super::super::scratch::{COLUMNS, open};
    use super::*;

    /// What a column is called that names somebody, or the user or account that they are.
    const PERSONAL: &[&str] = &["account", "resource", "member_id", "user_name", "lane", "person", "reviewer"];

    #[tokio::test]
    async fn every_table_with_something_of_a_person_is_in_the_list() {
        let (_store, mut owner, _scratch) = open().await;
        let mut columns = BTreeMap::<String, BTreeSet<String>>::new();
        for row in sqlx::query(COLUMNS).fetch_all(&mut owner).await.unwrap() {
            columns.entry(row.get(0)).or_default().insert(row.get(1));
        }
        assert!(columns.len() > 30, "only {} tables: the test would show nothing", columns.len());
        let personal = |names: &BTreeSet<String>| names.iter().any(|name| PERSONAL.contains(&name.as_str()));
        let found: BTreeSet<&str> = columns.iter().filter(|(_, names)| personal(names)).map(|(table, _)| table.as_str()).collect();
        let listed: BTreeSet<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        assert_eq!(found, listed, "say in `TABLES` what becomes of each");
        assert_eq!(listed.len(), TABLES.len(), "each once");
        for (table, end) in TABLES {
            match end {
                End::By(statement) => assert!(statement.contains(table), "{table}: {statement}"),
                End::Before(why) | End::Stays(why) => assert!(why.len() > 10, "{table}"),
            }
        }
    }
}
