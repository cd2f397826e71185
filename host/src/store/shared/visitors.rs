//! The methods of [`Visitors`] and their statements.

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::rows::{Row, json as read_json, json_text, word};
use super::{Backend, Conn, Scope, give_up, has_nul, is_lost, tenancy};
use crate::model::{Actor, ConnectionId, Instant, LinkPurpose, TenantId};
use crate::store::{ApiPrincipal, ApiScope, Link, Result, Session, SessionQuery, SignIn, SignInIssuer, StoreError, Visitors, own_id};

/// How many rows that have ended are taken out with one that begins.
const ENDED_AT_ONCE: i64 = 100;

/// A session.
pub(super) const SESSION: &str = "SELECT id, hash, scope, name, via, created, last_used, expires FROM web_sessions WHERE hash = $1";
/// Sessions of a tenant.
pub(super) const SESSIONS: &str = "SELECT id, hash, scope, name, via, created, last_used, expires FROM web_sessions
     WHERE tenant = $1 AND expires > $2 ORDER BY id LIMIT +$3";
const OF_PLATFORM: &str = "SELECT id, hash, scope, name, via, created, last_used, expires FROM web_sessions
     WHERE tenant IS NULL AND expires > $1 ORDER BY id LIMIT +$2";
/// A link.
pub(super) const LINK: &str = "SELECT id, hash, purpose, connection, scope, name, created, expires FROM web_links WHERE hash = $1";
const TAKE_LINK: &str = "DELETE FROM web_links WHERE hash = $1 RETURNING id, hash, purpose, connection, scope, name, created, expires";
/// The providers of a tenant.
pub(super) const ISSUERS: &str = "SELECT id, tenant, settings, sealed_secret, created FROM web_issuers WHERE tenant = $1 ORDER BY id";
const ISSUERS_OF_PLATFORM: &str = "SELECT id, tenant, settings, sealed_secret, created FROM web_issuers WHERE tenant IS NULL ORDER BY id";
const ISSUER: &str = "SELECT id, tenant, settings, sealed_secret, created FROM web_issuers WHERE id = $1";
/// What has ended, of each kind: sign-ins are the platform's, the others are a tenant's or the platform's.
pub(super) const ENDED: [&str; 3] = [
    concat!("DELETE FROM web_sessions WHERE ", among!("id", "SELECT id FROM web_sessions WHERE expires < $1 LIMIT +$2")),
    concat!("DELETE FROM web_links WHERE ", among!("id", "SELECT id FROM web_links WHERE expires < $1 LIMIT +$2")),
    concat!("DELETE FROM web_sign_ins WHERE ", among!("hash", "SELECT hash FROM web_sign_ins WHERE expires < $1 LIMIT +$2")),
];

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        id: row.try_get("id")?,
        hash: row.try_get("hash")?,
        scope: read_json(&row.try_get::<String, _>("scope")?, "the scope of a session")?,
        name: row.try_get("name")?,
        via: row.try_get("via")?,
        created: Instant(row.try_get("created")?),
        last_used: Instant(row.try_get("last_used")?),
        expires: Instant(row.try_get("expires")?),
    })
}

fn link(row: &Row) -> Result<Link> {
    Ok(Link {
        id: row.try_get("id")?,
        hash: row.try_get("hash")?,
        purpose: word(&row.try_get::<String, _>("purpose")?, LinkPurpose::from_word)?,
        scope: read_json(&row.try_get::<String, _>("scope")?, "the scope of a link")?,
        connection: row.try_get::<Option<String>, _>("connection")?.map(ConnectionId),
        name: row.try_get("name")?,
        created: Instant(row.try_get("created")?),
        expires: Instant(row.try_get("expires")?),
    })
}

fn issuer(row: &Row) -> Result<SignInIssuer> {
    Ok(SignInIssuer {
        id: row.try_get("id")?,
        tenant: row.try_get::<Option<String>, _>("tenant")?.map(TenantId),
        settings: row.try_get("settings")?,
        sealed_secret: row.try_get("sealed_secret")?,
        created: Instant(row.try_get("created")?),
    })
}

async fn take_out_ended(conn: &mut Conn, statements: &[&'static str], now: Instant) -> Result<()> {
    for statement in statements {
        sqlx::query(*statement).bind(now.0).bind(ENDED_AT_ONCE).execute(&mut *conn).await?;
    }
    Ok(())
}

/// What events say of a scope. Whom it names is personal, and events of nobody keep nothing personal.
fn of_scope(scope: &ApiScope) -> [(&'static str, Value); 3] {
    [("write", json!(scope.write)), ("named", json!(scope.person.is_some())), ("admin_roles", json!(scope.admin_roles))]
}

fn told(data: Value, scope: &ApiScope) -> Value {
    let mut data = data;
    if let Some(fields) = data.as_object_mut() {
        fields.extend(of_scope(scope).map(|(name, value)| (name.to_owned(), value)));
    }
    data
}

/// Begins a session, and tells the tenant whose it is.
async fn begin(conn: &mut Conn, within: Option<&Scope>, new: &Session, link: Option<&str>) -> Result<()> {
    take_out_ended(conn, &ENDED[..2], new.created).await?;
    sqlx::query(
        "INSERT INTO web_sessions (id, hash, tenant, scope, name, via, created, last_used, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&new.id)
    .bind(&new.hash)
    .bind(new.scope.tenant.as_ref().map(TenantId::as_str))
    .bind(json_text(&new.scope, "the scope of a session")?)
    .bind(&new.name)
    .bind(&new.via)
    .bind(new.created.0)
    .bind(new.last_used.0)
    .bind(new.expires.0)
    .execute(&mut *conn)
    .await?;
    let Some(within) = within else { return Ok(()) };
    let actor = ApiPrincipal { token_id: new.id.clone(), scope: new.scope.clone() }.actor();
    let data = json!({"session": new.id, "via": new.via, "link": link, "expires": new.expires});
    tenancy::record(conn, within, &actor, new.created, "session.begun", told(data, &new.scope)).await
}

/// Keeps a link, and tells the tenant whose it is.
async fn put_link(conn: &mut Conn, within: Option<&Scope>, new: &Link, actor: &Actor) -> Result<()> {
    take_out_ended(conn, &ENDED[..2], new.created).await?;
    sqlx::query(
        "INSERT INTO web_links (id, hash, purpose, tenant, connection, scope, name, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&new.id)
    .bind(&new.hash)
    .bind(new.purpose.word())
    .bind(new.scope.tenant.as_ref().map(TenantId::as_str))
    .bind(new.connection.as_ref().map(ConnectionId::as_str))
    .bind(json_text(&new.scope, "the scope of a link")?)
    .bind(&new.name)
    .bind(new.created.0)
    .bind(new.expires.0)
    .execute(&mut *conn)
    .await?;
    let Some(within) = within else { return Ok(()) };
    let data = json!({"link": new.id, "purpose": new.purpose.word(), "connection": new.connection, "expires": new.expires});
    tenancy::record(conn, within, actor, new.created, "link.made", told(data, &new.scope)).await
}

/// Ends a session, and tells the tenant whose it is.
async fn end(conn: &mut Conn, within: Option<&Scope>, id: &str, actor: &Actor, at: Instant) -> Result<()> {
    let done = match within {
        Some(within) => {
            let end = "DELETE FROM web_sessions WHERE id = $1 AND tenant = $2";
            sqlx::query(end).bind(id).bind(within.tenant.as_str()).execute(&mut *conn).await?
        }
        None => sqlx::query("DELETE FROM web_sessions WHERE id = $1 AND tenant IS NULL").bind(id).execute(&mut *conn).await?,
    };
    if done.rows_affected() == 0 {
        return Err(StoreError::Missing("session"));
    }
    let Some(within) = within else { return Ok(()) };
    tenancy::record(conn, within, actor, at, "session.ended", json!({"session": id})).await
}

async fn end_links(conn: &mut Conn, within: &Scope, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<u64> {
    let end = "DELETE FROM web_links WHERE tenant = $1 AND connection = $2";
    let ended = sqlx::query(end).bind(within.tenant.as_str()).bind(connection.as_str()).execute(&mut *conn).await?.rows_affected();
    if ended > 0 {
        let data = json!({"purpose": LinkPurpose::Setup.word(), "connection": connection, "links": ended});
        tenancy::record(conn, within, actor, at, "link.ended", data).await?;
    }
    Ok(ended)
}

/// Sets a provider, and tells the tenant whose it is.
async fn put_issuer(conn: &mut Conn, within: Option<&Scope>, new: &SignInIssuer, actor: &Actor, at: Instant) -> Result<()> {
    let before = sqlx::query(ISSUER).bind(&new.id).fetch_optional(&mut *conn).await?.as_ref().map(issuer).transpose()?;
    sqlx::query(
        "INSERT INTO web_issuers (id, tenant, settings, sealed_secret, created) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, sealed_secret = excluded.sealed_secret",
    )
    .bind(&new.id)
    .bind(new.tenant.as_ref().map(TenantId::as_str))
    .bind(&new.settings)
    .bind(new.sealed_secret.as_deref())
    .bind(new.created.0)
    .execute(&mut *conn)
    .await?;
    let Some(within) = within else { return Ok(()) };
    let (kind, secret_changed) = match &before {
        None => ("provider.created", new.sealed_secret.is_some()),
        Some(before) if (&before.settings, &before.sealed_secret) == (&new.settings, &new.sealed_secret) => return Ok(()),
        Some(before) => ("provider.changed", before.sealed_secret != new.sealed_secret),
    };
    let settings: Value = read_json(&new.settings, "the settings of a sign-in provider")?;
    let data = json!({"provider": own_id(&new.id), "settings": settings, "secret_changed": secret_changed});
    tenancy::record(conn, within, actor, at, kind, data).await
}

/// Removes a provider, and tells the tenant whose it is.
async fn remove_issuer(conn: &mut Conn, within: Option<&Scope>, id: &str, actor: &Actor, at: Instant) -> Result<()> {
    let done = match within {
        Some(within) => {
            let remove = "DELETE FROM web_issuers WHERE id = $1 AND tenant = $2";
            sqlx::query(remove).bind(id).bind(within.tenant.as_str()).execute(&mut *conn).await?
        }
        None => sqlx::query("DELETE FROM web_issuers WHERE id = $1 AND tenant IS NULL").bind(id).execute(&mut *conn).await?,
    };
    if done.rows_affected() == 0 {
        return Err(StoreError::Missing("provider"));
    }
    let Some(within) = within else { return Ok(()) };
    tenancy::record(conn, within, actor, at, "provider.removed", json!({"provider": own_id(id)})).await
}

#[async_trait]
impl Visitors for Backend {
    async fn begin_session(&self, new: &Session, link: Option<&str>) -> Result<()> {
        let (new, link) = (new.clone(), link.map(str::to_owned));
        let (tenant, within) = (new.scope.tenant.clone(), self.scope_of(new.scope.tenant.as_ref()));
        self.write_of(tenant.as_ref(), move |conn: &mut Conn| {
            Box::pin(async move { begin(conn, within.as_ref(), &new, link.as_deref()).await })
        })
        .await
    }

    async fn find_session(&self, hash: &str) -> Result<Option<Session>> {
        read_once!(self.read_platform(), conn => async {
            sqlx::query(SESSION).bind(hash).fetch_optional(conn).await?.as_ref().map(session).transpose()
        })
    }

    async fn note_session(&self, id: &str, at: Instant) -> Result<()> {
        let id = id.to_owned();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move {
                let note = "UPDATE web_sessions SET last_used = $2 WHERE id = $1 AND last_used < $2";
                sqlx::query(note).bind(&id).bind(at.0).execute(conn).await?;
                Ok(())
            })
        })
        .await
    }

    async fn end_session(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()> {
        if has_nul(id) {
            return Err(StoreError::Missing("session"));
        }
        let (within, id, actor) = (self.scope_of(tenant), id.to_owned(), actor.clone());
        self.write_of(tenant, move |conn: &mut Conn| Box::pin(async move { end(conn, within.as_ref(), &id, &actor, at).await })).await
    }

    async fn sessions(&self, query: SessionQuery<'_>, now: Instant) -> Result<Vec<Session>> {
        read_once!(self.read_platform(), conn => async {
            let rows = match query.tenant {
                Some(tenant) => sqlx::query(SESSIONS).bind(tenant).bind(now.0).bind(query.limit).fetch_all(conn).await?,
                None => sqlx::query(OF_PLATFORM).bind(now.0).bind(query.limit).fetch_all(conn).await?,
            };
            rows.iter().map(session).collect()
        })
    }

    async fn put_link(&self, new: &Link, actor: &Actor) -> Result<()> {
        let (new, actor) = (new.clone(), actor.clone());
        let (tenant, within) = (new.scope.tenant.clone(), self.scope_of(new.scope.tenant.as_ref()));
        self.write_of(tenant.as_ref(), move |conn: &mut Conn| Box::pin(async move { put_link(conn, within.as_ref(), &new, &actor).await }))
            .await
    }

    async fn find_link(&self, hash: &str) -> Result<Option<Link>> {
        read_once!(self.read_platform(), conn => async {
            sqlx::query(LINK).bind(hash).fetch_optional(conn).await?.as_ref().map(link).transpose()
        })
    }

    async fn take_link(&self, hash: &str) -> Result<Option<Link>> {
        let hash = hash.to_owned();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move { sqlx::query(TAKE_LINK).bind(&hash).fetch_optional(conn).await?.as_ref().map(link).transpose() })
        })
        .await
    }

    async fn end_links(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<u64> {
        let (within, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { end_links(conn, &within, &connection, &actor, at).await })).await
    }

    async fn put_sign_in_issuer(&self, new: &SignInIssuer, actor: &Actor, at: Instant) -> Result<()> {
        let (new, actor) = (new.clone(), actor.clone());
        let (tenant, within) = (new.tenant.clone(), self.scope_of(new.tenant.as_ref()));
        self.write_of(tenant.as_ref(), move |conn: &mut Conn| {
            Box::pin(async move { put_issuer(conn, within.as_ref(), &new, &actor, at).await })
        })
        .await
    }

    async fn sign_in_issuers(&self, tenant: Option<&TenantId>) -> Result<Vec<SignInIssuer>> {
        if tenant.is_some_and(|tenant| has_nul(tenant.as_str())) {
            return Ok(Vec::new());
        }
        read_once!(self.read_platform(), conn => async {
            let rows = match tenant {
                Some(tenant) => sqlx::query(ISSUERS).bind(tenant.as_str()).fetch_all(conn).await?,
                None => sqlx::query(ISSUERS_OF_PLATFORM).fetch_all(conn).await?,
            };
            rows.iter().map(issuer).collect()
        })
    }

    async fn sign_in_issuer(&self, id: &str) -> Result<Option<SignInIssuer>> {
        if has_nul(id) {
            return Ok(None);
        }
        read_once!(self.read_platform(), conn => async {
            sqlx::query(ISSUER).bind(id).fetch_optional(conn).await?.as_ref().map(issuer).transpose()
        })
    }

    async fn remove_sign_in_issuer(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()> {
        if has_nul(id) {
            return Err(StoreError::Missing("provider"));
        }
        let (within, id, actor) = (self.scope_of(tenant), id.to_owned(), actor.clone());
        self.write_of(tenant, move |conn: &mut Conn| Box::pin(async move { remove_issuer(conn, within.as_ref(), &id, &actor, at).await }))
            .await
    }

    async fn begin_sign_in(&self, new: &SignIn, now: Instant) -> Result<()> {
        let new = new.clone();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move {
                take_out_ended(conn, &ENDED[2..], now).await?;
                sqlx::query("INSERT INTO web_sign_ins (hash, issuer, sealed, expires) VALUES ($1, $2, $3, $4)")
                    .bind(&new.hash)
                    .bind(&new.issuer)
                    .bind(&new.sealed)
                    .bind(new.expires.0)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn take_sign_in(&self, hash: &str) -> Result<Option<SignIn>> {
        let hash = hash.to_owned();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move {
                let row = sqlx::query("DELETE FROM web_sign_ins WHERE hash = $1 RETURNING hash, issuer, sealed, expires")
                    .bind(&hash)
                    .fetch_optional(conn)
                    .await?;
                let read = |row: Row| {
                    Ok(SignIn {
                        hash: row.try_get("hash")?,
                        issuer: row.try_get("issuer")?,
                        sealed: row.try_get("sealed")?,
                        expires: Instant(row.try_get("expires")?),
                    })
                };
                row.map(read).transpose()
            })
        })
        .await
    }
}
