//! Revisions as they are stored: which contents stand at which path, each content once, and the plugins among them.

use std::collections::BTreeMap;

use super::{Conn, tenancy, text_list};
use crate::crypto::sha256_hex;
use crate::model::{Instant, ListedRevision, RevisionHash, TenantId};
use crate::store::{NewPlugin, Result, StoreError, StoredPlugin, StoredRevision};

pub(super) const FILES: &str = "SELECT f.path, c.bytes FROM revision_files f JOIN contents c ON c.tenant = f.tenant AND c.digest = f.digest
         WHERE f.tenant = $1 AND f.hash = $2";
pub(super) const CONTENTS: &str = concat!("SELECT digest, bytes FROM contents WHERE tenant = $1 AND ", any_of!("digest", "$2"));
pub(super) const PLUGINS: &str = "SELECT p.digest, p.name, p.version, p.hooks, p.size, p.created,
                (SELECT COUNT(DISTINCT f.hash) FROM revision_files f WHERE f.tenant = p.tenant AND f.digest = p.digest),
                EXISTS (SELECT 1 FROM revision_files f JOIN tenants t ON t.tenant = f.tenant AND t.active_revision = f.hash
                        WHERE f.tenant = p.tenant AND f.digest = p.digest)
         FROM plugins p WHERE p.tenant = $1 ORDER BY p.created DESC, p.digest DESC LIMIT +$2";

const CREATED: &str = "SELECT created FROM revisions WHERE tenant = $1 AND hash = $2";
/// Stored revisions behind a place. What became of each is looked up for it: PostgreSQL would answer `EXISTS` by reading all trials first.
pub(super) const LISTED: &str = "SELECT r.hash, r.created,
                (SELECT 1 FROM tenants t WHERE t.tenant = r.tenant AND t.active_revision = r.hash LIMIT 1) IS NOT NULL,
                (SELECT 1 FROM activations a WHERE a.tenant = r.tenant AND a.revision = r.hash AND a.state NOT IN ('held', 'dropped') LIMIT 1)
                    IS NOT NULL,
                (SELECT 1 FROM trials t WHERE t.tenant = r.tenant AND t.revision = r.hash LIMIT 1) IS NOT NULL
         FROM revisions r WHERE r.tenant = $1 AND (r.created, r.hash) < ($2, $3) ORDER BY r.created DESC, r.hash DESC LIMIT +$4";

/// A revision with the SHA-256 of each file, made before the transaction: others wait for that.
#[derive(Clone)]
pub(super) struct Digested {
    hash: RevisionHash,
    /// Path and digest.
    paths: Vec<(String, String)>,
    /// In one order for all, so that two uploads with contents in common wait for each other and don't deadlock.
    contents: BTreeMap<String, Vec<u8>>,
}

impl Digested {
    pub(super) fn of(revision: &StoredRevision) -> Self {
        let mut digested = Self { hash: revision.hash.clone(), paths: Vec::new(), contents: BTreeMap::new() };
        for (path, bytes) in &revision.files {
            let digest = sha256_hex(bytes);
            digested.paths.push((path.clone(), digest.clone()));
            digested.contents.entry(digest).or_insert_with(|| bytes.clone());
        }
        digested
    }
}

/// Stores a revision's files and what its plugins say of themselves; the same hash again is a no-op.
pub(super) async fn put(conn: &mut Conn, tenant: &TenantId, revision: &Digested, plugins: &[NewPlugin], at: Instant) -> Result<()> {
    if tenancy::find(conn, tenant).await?.is_none() {
        return Err(StoreError::Missing("tenant"));
    }
    let made = sqlx::query("INSERT INTO revisions (tenant, hash, created) VALUES ($1, $2, $3) ON CONFLICT (tenant, hash) DO NOTHING")
        .bind(tenant.as_str())
        .bind(revision.hash.as_str())
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    if made.rows_affected() == 0 {
        return Ok(());
    }
    for (digest, bytes) in &revision.contents {
        sqlx::query("INSERT INTO contents (tenant, digest, bytes) VALUES ($1, $2, $3) ON CONFLICT (tenant, digest) DO NOTHING")
            .bind(tenant.as_str())
            .bind(digest)
            .bind(bytes)
            .execute(&mut *conn)
            .await?;
    }
    for (path, digest) in &revision.paths {
        sqlx::query("INSERT INTO revision_files (tenant, hash, path, digest) VALUES ($1, $2, $3, $4)")
            .bind(tenant.as_str())
            .bind(revision.hash.as_str())
            .bind(path)
            .bind(digest)
            .execute(&mut *conn)
            .await?;
    }
    for plugin in plugins {
        sqlx::query(
            "INSERT INTO plugins (tenant, digest, name, version, hooks, size, created) VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (tenant, digest) DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(&plugin.digest)
        .bind(&plugin.name)
        .bind(&plugin.version)
        .bind(plugin.hooks.join(" "))
        .bind(plugin.size)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// A stored revision.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<StoredRevision>> {
    if !exists(conn, tenant, hash).await? {
        return Ok(None);
    }
    let files: Vec<(String, Vec<u8>)> = sqlx::query_as(FILES).bind(tenant.as_str()).bind(hash.as_str()).fetch_all(conn).await?;
    Ok(Some(StoredRevision { hash: hash.clone(), files: files.into_iter().collect() }))
}

/// The paths of a stored revision with the SHA-256 of what is there.
pub(super) async fn digests(conn: &mut Conn, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<BTreeMap<String, String>>> {
    if !exists(conn, tenant, hash).await? {
        return Ok(None);
    }
    let files: Vec<(String, String)> = sqlx::query_as("SELECT path, digest FROM revision_files WHERE tenant = $1 AND hash = $2")
        .bind(tenant.as_str())
        .bind(hash.as_str())
        .fetch_all(conn)
        .await?;
    Ok(Some(files.into_iter().collect()))
}

pub(super) async fn exists(conn: &mut Conn, tenant: &TenantId, hash: &RevisionHash) -> Result<bool> {
    let found = sqlx::query("SELECT 1 FROM revisions WHERE tenant = $1 AND hash = $2")
        .bind(tenant.as_str())
        .bind(hash.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// Those of the contents that the tenant has stored; `None`, and nothing read, where they are larger together than allowed.
pub(super) async fn contents(
    conn: &mut Conn,
    tenant: &TenantId,
    digests: &[String],
    bytes_limit: usize,
) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
    let bytes: i64 = sqlx::query_scalar(concat!(
        "SELECT CAST(COALESCE(SUM(OCTET_LENGTH(bytes)), 0) AS BIGINT) FROM contents WHERE tenant = $1 AND ",
        any_of!("digest", "$2")
    ))
    .bind(tenant.as_str())
    .bind(text_list(digests.iter().map(String::as_str)))
    .fetch_one(&mut *conn)
    .await?;
    if usize::try_from(bytes).map_or(true, |bytes| bytes > bytes_limit) {
        return Ok(None);
    }
    let found: Vec<(String, Vec<u8>)> =
        sqlx::query_as(CONTENTS).bind(tenant.as_str()).bind(text_list(digests.iter().map(String::as_str))).fetch_all(conn).await?;
    Ok(Some(found.into_iter().collect()))
}

/// Stored revisions, the newest first.
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, behind: Option<&RevisionHash>, limit: i64) -> Result<Vec<ListedRevision>> {
    let mut place = (i64::MAX, String::new());
    if let Some(hash) = behind {
        let created: Option<i64> = sqlx::query_scalar(CREATED).bind(tenant.as_str()).bind(hash.as_str()).fetch_optional(&mut *conn).await?;
        place = (created.ok_or(StoreError::Missing("revision"))?, hash.to_string());
    }
    let rows: Vec<(String, i64, bool, bool, bool)> =
        sqlx::query_as(LISTED).bind(tenant.as_str()).bind(place.0).bind(place.1).bind(limit).fetch_all(conn).await?;
    let listed = |(hash, created, active, activated, tried)| ListedRevision {
        hash: RevisionHash(hash),
        created: Instant(created),
        active,
        activated,
        tried,
    };
    Ok(rows.into_iter().map(listed).collect())
}

/// The plugins of the tenant's revisions, those that came last first.
pub(super) async fn plugins(conn: &mut Conn, tenant: &TenantId, limit: i64) -> Result<Vec<StoredPlugin>> {
    type Row = (String, String, String, String, i64, i64, i64, bool);
    let rows: Vec<Row> = sqlx::query_as(PLUGINS).bind(tenant.as_str()).bind(limit).fetch_all(conn).await?;
    let stored = |(digest, name, version, hooks, size, created, revisions, active): Row| {
        let hooks = hooks.split_whitespace().map(str::to_owned).collect();
        let plugin = NewPlugin { digest, name, version, hooks, size };
        StoredPlugin { plugin, created: Instant(created), revisions, active }
    };
    Ok(rows.into_iter().map(stored).collect())
}
