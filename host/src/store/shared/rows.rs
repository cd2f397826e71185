//! Rows as the domain's types: the columns that are read together, and how they are decoded.

use rolecall_scim::ResourceKind;
use rolecall_scim::resource::Document;
use serde::de::DeserializeOwned;
use sqlx::Row as _;

use super::Db;
use crate::model::{Account, AccountState, Cause, EvaluationState, Grant, GrantState, Instant, ResourceId, RevisionHash, RoleId, Waiting};
use crate::store::{Result, StoreError, StoredResource};

/// A row of this database.
pub(super) type Row = <Db as sqlx::Database>::Row;

/// The columns of [`resource`], of the table named `r`.
macro_rules! resource_columns {
    () => {
        "r.id, r.kind, r.document, r.version, r.created, r.modified"
    };
}
/// The columns of [`account`], of the table named `a`.
macro_rules! account_columns {
    () => {
        "a.account, a.state AS account_state, a.user_name AS account_user_name, (a.name_key IS NOT NULL) AS account_holds_name, a.profile, a.provenance, a.note, \
         a.created AS account_created, a.modified AS account_modified"
    };
}
/// The columns of [`evaluation`], of the tables named `e` and `t` (the tenant).
macro_rules! evaluation_columns {
    () => {
        "e.input_version, e.evaluated_version, e.evaluated_revision, e.as_of, e.next_evaluation_at, e.cause, e.attempts, t.active_revision"
    };
}

/// Joins the account `a` of the user `r`, by their link `l`.
macro_rules! to_account {
    () => {
        concat!(
            joined!("links", "l", "l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id"),
            joined!("accounts", "a", "a.tenant = l.tenant AND a.account = l.account")
        )
    };
}
/// Whether somebody is asked whose the imported accounts are that may be those of the account `a`. Looked up for each: see `LISTED`.
macro_rules! asked_about {
    () => {
        "(SELECT 1 FROM rulings u WHERE u.tenant = a.tenant AND u.account = a.account AND u.kind = 'adoption' AND u.state = 'open' \
         AND u.state <> 'ended' LIMIT 1) IS NOT NULL"
    };
}
/// Whether an account of the tenant `$1` belongs to no user.
macro_rules! without_user {
    ($account:literal) => {
        concat!("NOT EXISTS (SELECT 1 FROM links l WHERE l.tenant = $1 AND l.account = ", $account, apart!(), ")")
    };
}

/// The word that stands for a kind in the database.
pub(super) fn kind_word(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::User => "user",
        ResourceKind::Group => "group",
    }
}

/// The kind that a word in the database stands for.
pub(super) fn kind_of(word: &str) -> Result<ResourceKind> {
    ResourceKind::from_name(word).ok_or_else(|| StoreError::Corrupt(format!("unknown kind of resource `{word}`")))
}

/// A word of one of the domain's enumerations.
pub(super) fn word<T>(text: &str, from_word: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    from_word(text).ok_or_else(|| StoreError::Corrupt(format!("unknown word `{text}`")))
}

/// JSON that this store wrote.
pub(super) fn json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(format!("{what} is not the JSON that was written")))
}

/// JSON to be stored as text.
pub(super) fn json_text<T: serde::Serialize>(value: &T, what: &str) -> Result<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt(format!("{what} can't be written as JSON")))
}

/// [`resource_columns`].
pub(super) fn resource(row: &Row) -> Result<StoredResource> {
    let document: String = row.try_get("document")?;
    Ok(StoredResource {
        id: ResourceId(row.try_get("id")?),
        kind: kind_of(row.try_get("kind")?)?,
        document: Document::from_stored(&document)
            .map_err(|_| StoreError::Corrupt("a document is not the JSON that was written".into()))?,
        version: row.try_get("version")?,
        created: Instant(row.try_get("created")?),
        modified: Instant(row.try_get("modified")?),
    })
}

/// [`account_columns`].
pub(super) fn account(row: &Row) -> Result<Account> {
    let note: Option<String> = row.try_get("note")?;
    Ok(Account {
        id: crate::model::AccountId(row.try_get("account")?),
        state: word(row.try_get("account_state")?, AccountState::from_word)?,
        user_name: row.try_get("account_user_name")?,
        holds_name: row.try_get("account_holds_name")?,
        profile: json(row.try_get("profile")?, "a profile")?,
        provenance: json(row.try_get("provenance")?, "a provenance")?,
        note: note.map(|note| json(&note, "a note")).transpose()?,
        created: Instant(row.try_get("account_created")?),
        modified: Instant(row.try_get("account_modified")?),
    })
}

/// [`evaluation_columns`]. Somebody whom an activation's fan-out has not reached yet is pending all the same.
pub(super) fn evaluation(row: &Row) -> Result<EvaluationState> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let revision = |column: &str| row.try_get::<Option<String>, _>(column).map(|hash| hash.map(RevisionHash));
    let cause: Option<String> = row.try_get("cause")?;
    let (evaluated_revision, active) = (revision("evaluated_revision")?, revision("active_revision")?);
    let marked = cause.map(|cause| word(&cause, Cause::from_word)).transpose()?;
    Ok(EvaluationState {
        input_version: row.try_get("input_version")?,
        evaluated_version: row.try_get("evaluated_version")?,
        cause: marked.or_else(|| (evaluated_revision != active).then_some(Cause::Activation)),
        evaluated_revision,
        as_of: instant("as_of")?,
        next_evaluation_at: instant("next_evaluation_at")?,
        attempts: row.try_get("attempts")?,
    })
}

/// A row of `grants`.
pub(super) fn grant(row: &Row) -> Result<Grant> {
    Ok(Grant {
        role: RoleId(row.try_get("role")?),
        state: word(row.try_get("state")?, GrantState::from_word)?,
        reasons: json(row.try_get("reasons")?, "a grant's reasons")?,
        since: Instant(row.try_get("since")?),
        deadline: row.try_get::<Option<i64>, _>("deadline")?.map(Instant),
        revision: RevisionHash(row.try_get("revision")?),
        waits_for: row.try_get::<Option<&str>, _>("waits_for")?.map(|waits| word(waits, Waiting::from_word)).transpose()?,
    })
}
