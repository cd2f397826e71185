//! The methods of [`Tokens`] and their statements.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::json;
use sqlx::Row as _;

use super::rows::{Row, json as json_of, json_text};
use super::{Backend, Conn, Scope, give_up, has_nul, is_lost, tenancy};
use crate::model::{Actor, Instant, TenantId};
use crate::store::{ApiScope, ApiTokenInfo, NewToken, Result, StoreError, Tokens};

macro_rules! token_columns {
    () => {
        "token_id, name, tenant, may_write, person, admin_roles, created, created_kind, created_id, last_used, expires"
    };
}
/// Tokens of a tenant.
pub(super) const OF_TENANT: &str =
    concat!("SELECT ", token_columns!(), " FROM api_tokens WHERE tenant = $1 AND token_id > $2 ORDER BY token_id LIMIT +$3");
/// Tokens of the platform.
pub(super) const OF_PLATFORM: &str =
    concat!("SELECT ", token_columns!(), " FROM api_tokens WHERE tenant IS NULL AND token_id > $1 ORDER BY token_id LIMIT +$2");

/// What a token may do, by columns that each look-up has.
pub(super) fn scope(row: &Row) -> Result<ApiScope> {
    Ok(ApiScope {
        tenant: row.try_get::<Option<String>, _>("tenant")?.map(TenantId),
        write: row.try_get("may_write")?,
        person: row.try_get("person")?,
        admin_roles: match row.try_get::<Option<String>, _>("admin_roles")? {
            Some(roles) => json_of(&roles, "the admin roles of a token")?,
            None => BTreeSet::new(),
        },
    })
}

fn info(row: &Row) -> Result<ApiTokenInfo> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let by: (Option<String>, Option<String>) = (row.try_get("created_kind")?, row.try_get("created_id")?);
    Ok(ApiTokenInfo {
        id: row.try_get("token_id")?,
        name: row.try_get("name")?,
        scope: scope(row)?,
        created: Instant(row.try_get("created")?),
        created_by: by.0.zip(by.1).map(|(kind, id)| Actor { kind, id }),
        last_used: instant("last_used")?,
        expires: instant("expires")?,
    })
}

async fn create(conn: &mut Conn, token: &NewToken, scope: &ApiScope, name: Option<&str>, actor: &Actor) -> Result<()> {
    let admin_roles = Some(&scope.admin_roles).filter(|roles| !roles.is_empty());
    let admin_roles = admin_roles.map(|roles| json_text(roles, "the admin roles of a token")).transpose()?;
    sqlx::query(
        "INSERT INTO api_tokens (token_id, hash, tenant, may_write, created, expires, person, admin_roles, name, created_kind, created_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&token.id)
    .bind(&token.hash)
    .bind(scope.tenant.as_ref().map(TenantId::as_str))
    .bind(scope.write)
    .bind(token.created.0)
    .bind(token.expires.map(|at| at.0))
    .bind(&scope.person)
    .bind(admin_roles)
    .bind(name)
    .bind(&actor.kind)
    .bind(&actor.id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Tells of a tenant's token. What it is for, and whom it names, may be personal, and events of nobody keep nothing personal.
async fn tell(conn: &mut Conn, within: &Scope, (token, scope): (&NewToken, &ApiScope), actor: &Actor) -> Result<()> {
    let named = scope.person.is_some();
    let data = json!({"token": token.id, "write": scope.write, "named": named, "admin_roles": scope.admin_roles, "expires": token.expires});
    tenancy::record(conn, within, actor, token.created, "token.created", data).await
}

/// Ends a tenant's token.
const END: &str = "DELETE FROM api_tokens WHERE token_id = $1 AND tenant = $2";
/// Ends a token of the platform.
const END_OF_PLATFORM: &str = "DELETE FROM api_tokens WHERE token_id = $1 AND tenant IS NULL";

fn one(ended: u64) -> Result<()> {
    if ended == 0 { Err(StoreError::Missing("API token")) } else { Ok(()) }
}

#[async_trait]
impl Tokens for Backend {
    async fn create_api_token(&self, token: &NewToken, scope: &ApiScope, name: Option<&str>, actor: &Actor) -> Result<()> {
        let (token, scope, name, actor) = (token.clone(), scope.clone(), name.map(str::to_owned), actor.clone());
        let (tenant, within) = (scope.tenant.clone(), self.scope_of(scope.tenant.as_ref()));
        self.write_of(tenant.as_ref(), move |conn: &mut Conn| {
            Box::pin(async move {
                create(conn, &token, &scope, name.as_deref(), &actor).await?;
                match &within {
                    Some(within) => tell(conn, within, (&token, &scope), &actor).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    async fn api_tokens(&self, tenant: Option<&TenantId>, after: Option<&str>, limit: i64) -> Result<Vec<ApiTokenInfo>> {
        let after = after.unwrap_or_default();
        if has_nul(after) || tenant.is_some_and(|tenant| has_nul(tenant.as_str())) {
            return Ok(Vec::new());
        }
        read_once!(self.read_platform(), conn => async {
            let rows = match tenant {
                Some(tenant) => sqlx::query(OF_TENANT).bind(tenant.as_str()).bind(after).bind(limit).fetch_all(conn).await?,
                None => sqlx::query(OF_PLATFORM).bind(after).bind(limit).fetch_all(conn).await?,
            };
            rows.iter().map(info).collect()
        })
    }

    async fn end_api_token(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()> {
        if has_nul(id) {
            return Err(StoreError::Missing("API token"));
        }
        let (within, id, actor) = (self.scope_of(tenant), id.to_owned(), actor.clone());
        self.write_of(tenant, move |conn: &mut Conn| {
            Box::pin(async move {
                let Some(within) = within else {
                    return one(sqlx::query(END_OF_PLATFORM).bind(&id).execute(conn).await?.rows_affected());
                };
                one(sqlx::query(END).bind(&id).bind(within.tenant.as_str()).execute(&mut *conn).await?.rows_affected())?;
                tenancy::record(conn, &within, &actor, at, "token.revoked", json!({"token": id})).await
            })
        })
        .await
    }

    async fn note_api_token(&self, id: &str, at: Instant) -> Result<()> {
        let id = id.to_owned();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move {
                let note = "UPDATE api_tokens SET last_used = $2 WHERE token_id = $1 AND (last_used IS NULL OR last_used < $2)";
                sqlx::query(note).bind(&id).bind(at.0).execute(conn).await?;
                Ok(())
            })
        })
        .await
    }
}
