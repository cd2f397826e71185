//! How a credential was checked that was refused, told to the connection's own tenant: which checks it passed and which it did not. Whoever
//! sent it is told nothing of this. Never a secret, and nothing of another tenant.

use crate::app::App;
use crate::auth::{ACCESS_TOKEN_BYTES_LIMIT, Presented, TOKEN_BYTES_LIMIT, live};
use crate::crypto::jwt::{KeySet, Token, checks};
use crate::crypto::{self, ACCESS_TOKEN_PREFIX, CLIENT_SECRET_PREFIX, TOKEN_PREFIX};
use crate::issuer;
use crate::model::{Checked, ConnectionId, CredentialCheck as Check, CredentialForm as Form, CredentialTrace, Instant, TenantId};
use crate::store::{ConnectionCredential, CredentialKind, Result};

/// The checks that a credential goes through on a connection of the tenant. It is looked up once more, which happens no more often than
/// strangers may guess.
///
/// # Errors
/// The store's.
pub(super) async fn of(
    app: &App,
    (tenant, connection): (&TenantId, &ConnectionId),
    presented: Presented<'_>,
    now: Instant,
) -> Result<CredentialTrace> {
    let whose = Whose { tenant, connection, now };
    let (form, checks) = match presented {
        Presented::Missing => (Form::Missing, vec![scheme("nothing")]),
        Presented::OtherScheme => (Form::OtherScheme, vec![scheme("another scheme, or an empty token")]),
        Presented::Client { id, secret } => {
            let mut checks = vec![Checked::of(Check::ClientId, id == connection.as_str())];
            checks.extend(stored(app, whose, secret, CLIENT_SECRET_PREFIX, CredentialKind::ClientSecret).await?);
            (Form::ClientSecret, checks)
        }
        Presented::Token(token) if token.starts_with(ACCESS_TOKEN_PREFIX) => (Form::AccessToken, access_token(app, whose, token).await?),
        Presented::Token(token) if Token::is_meant(token) => (Form::Jwt, jwt(app, whose, token).await?),
        Presented::Token(token) => (Form::BearerToken, stored(app, whose, token, TOKEN_PREFIX, CredentialKind::Bearer).await?),
    };
    Ok(CredentialTrace { form, checks })
}

#[derive(Clone, Copy)]
struct Whose<'a> {
    tenant: &'a TenantId,
    connection: &'a ConnectionId,
    now: Instant,
}

fn scheme(received: &str) -> Checked {
    Checked::said(Check::Scheme, false, "Authorization: Bearer …", received)
}

/// A secret that is stored: a bearer token, or a client's.
async fn stored(app: &App, whose: Whose<'_>, secret: &str, prefix: &'static str, kind: CredentialKind) -> Result<Vec<Checked>> {
    let formed = secret.starts_with(prefix) && secret.len() <= TOKEN_BYTES_LIMIT;
    let received = if formed { format!("{prefix}…") } else { "something else".to_owned() };
    let mut checks = vec![Checked::said(Check::Form, formed, format!("{prefix}…, at most {TOKEN_BYTES_LIMIT} bytes"), received)];
    if !formed {
        return Ok(checks);
    }
    let hash = app.keyring.token_hash(secret);
    // Another tenant's is as unknown as one that nobody has.
    let found = app.store.find_connection_token(&hash).await?;
    let found = found.filter(|found| crypto::same(&found.hash, &hash) && found.tenant == *whose.tenant);
    checks.push(Checked::of(Check::Known, found.is_some()));
    if let Some(found) = found {
        checks.extend(known(whose, &found, kind));
    }
    Ok(checks)
}

fn known(whose: Whose<'_>, found: &ConnectionCredential, kind: CredentialKind) -> Vec<Checked> {
    let Whose { connection, now, .. } = whose;
    let mut checks = vec![
        Checked::said(Check::Connection, found.connection == *connection, connection.as_str(), found.connection.as_str()),
        Checked::said(Check::Use, found.kind == kind, kind.word(), found.kind.word()),
    ];
    checks.push(not_ended(found.expires, now));
    checks
}

fn not_ended(end: Option<Instant>, now: Instant) -> Checked {
    let said = end.map_or_else(|| "no end".to_owned(), |end| format!("it ended at {end}"));
    let received = if live(end, now) { "it has not ended".to_owned() } else { said };
    Checked::said(Check::NotEnded, live(end, now), format!("an end after {now}"), received)
}

async fn access_token(app: &App, whose: Whose<'_>, token: &str) -> Result<Vec<Checked>> {
    let content = (token.len() <= ACCESS_TOKEN_BYTES_LIMIT).then(|| app.keyring.open_access_token(token)).flatten();
    let parts = content.as_deref().map(|content| content.splitn(4, '\n').collect::<Vec<_>>());
    let Some([tenant, connection, secret, end]) = parts.as_deref() else {
        return Ok(vec![Checked::said(Check::Form, false, "an access token of this server's token endpoint", "something else")]);
    };
    let ours = *tenant == whose.tenant.as_str();
    let mut checks = vec![Checked::of(Check::Form, true), Checked::of(Check::Known, ours)];
    if !ours {
        return Ok(checks);
    }
    checks.push(Checked::said(Check::Connection, *connection == whose.connection.as_str(), whose.connection.as_str(), connection));
    checks.push(not_ended(Some(end.parse().map_or(Instant(0), Instant)), whose.now));
    let found = app.store.credential(whose.tenant, &ConnectionId::from(*connection), secret).await?;
    let good = found.is_some_and(|found| found.kind == CredentialKind::ClientSecret && live(found.expires, whose.now));
    checks.push(Checked::said(
        Check::Use,
        good,
        "the client's secret that it was given for is still good",
        if good { "it is" } else { "it is not" },
    ));
    Ok(checks)
}

async fn jwt(app: &App, whose: Whose<'_>, token: &str) -> Result<Vec<Checked>> {
    let stored = app.store.find_issuer(whose.connection).await?.filter(|stored| stored.tenant == *whose.tenant);
    let Some(stored) = stored else {
        return Ok(vec![Checked::said(Check::IssuerSet, false, "an issuer whose JWTs the connection accepts", "it has none")]);
    };
    let keys = stored.keys.as_deref().filter(|_| issuer::are_good(&stored, whose.now)).and_then(|keys| KeySet::read(keys).ok());
    Ok(checks(token, &stored.settings, keys.as_ref(), whose.now))
}
