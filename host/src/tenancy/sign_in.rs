//! Signing in with an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636), and which admin roles
//! somebody has by what the provider says of their groups. What admin roles may do is the admin policies' to say.
//!
//! A sign-in that goes to a provider has a state that is taken once, is bound to the browser by a cookie, and has sealed beside it the nonce,
//! the verifier and the page to go to. Nothing of the provider's is kept but the name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::admin::check_roles;
use super::visitors::Via;
use super::{TenancyError, visitors};
use crate::app::App;
use crate::crypto;
use crate::crypto::jwt::{Algorithm, Refused, Token};
use crate::issuer::provider::ProviderError;
use crate::model::{Actor, Instant, Issuer, TenantId};
use crate::rate::TooMany;
use crate::store::{ApiScope, SignIn, SignInIssuer, StoreError, own_id};

/// How long somebody may take at the provider, in seconds.
pub const SIGN_IN_SECONDS: i64 = 10 * 60;
/// The most providers of a tenant, and of the platform.
pub const PROVIDERS_LIMIT: usize = 20;
/// The most groups of one sign-in that are looked at: more is a directory and no list of teams.
const GROUPS_LIMIT: usize = 2_000;
/// The most groups that give admin roles.
const ROLE_GROUPS_LIMIT: usize = 200;
/// The longest text of a setting, in characters.
const TEXT_CHARS_LIMIT: usize = 500;
/// How far a provider's clock may be off, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 60;
const SEAL_SIGN_IN: &str = "sign-in under way";
const SEAL_SECRET: &str = "client secret of a sign-in provider";

/// An OpenID provider, as it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// What stands on the button.
    pub name: String,
    /// Its issuer identifier: an address of `https`, under which it says what it is.
    pub issuer: String,
    /// The id of Rolecall as a client there.
    pub client_id: String,
    /// What is asked for beside `openid`.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// The claim that names the person: who approves, reviews and activates.
    #[serde(default = "usual_person_claim")]
    pub person_claim: String,
    /// The claim with the person's groups: a text, or an array of texts.
    #[serde(default = "usual_groups_claim")]
    pub groups_claim: String,
    /// Which admin roles a group gives. Whoever has none of them is not let in.
    pub roles: BTreeMap<String, BTreeSet<String>>,
}

/// What is asked for beside `openid`, unless said.
#[must_use]
pub fn usual_scopes() -> Vec<String> {
    vec!["email".to_owned(), "profile".to_owned()]
}

fn usual_person_claim() -> String {
    "email".to_owned()
}

fn usual_groups_claim() -> String {
    "groups".to_owned()
}

/// A provider that people can sign in with.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id among those of all tenants: what a sign-in names.
    pub id: String,
    /// Its id in the tenant.
    pub own_id: String,
    /// Whose people it signs in; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// Its settings.
    pub settings: ProviderSettings,
    /// Whether it was given a secret.
    pub has_secret: bool,
    sealed_secret: Option<Vec<u8>>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum NotSignedIn {
    /// The answer belongs to no sign-in of this browser: it was used before, is too old, or was begun elsewhere.
    #[error("this answer belongs to no sign-in that was begun in this browser, or it was used before: sign in again")]
    Unasked,
    /// The provider could not be asked.
    #[error("{0}: try again, or sign in another way")]
    Provider(#[from] ProviderError),
    /// The provider said that it was not to be.
    #[error("the sign-in provider says `{0}`: sign in again, or ask whoever looks after it")]
    Denied(String),
    /// The ID token is not good.
    #[error("the sign-in provider's answer is not accepted: {0}")]
    Token(#[from] Refused),
    /// It says nothing of who it is, or nothing that gives admin roles.
    #[error("{0}")]
    Nobody(String),
    /// More are begun there than people begin.
    #[error("too many sign-ins are begun at this provider: try again in a moment")]
    TooMany(TooMany),
    /// Something here.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
}

impl From<TooMany> for NotSignedIn {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

impl From<StoreError> for NotSignedIn {
    fn from(error: StoreError) -> Self {
        Self::Tenancy(error.into())
    }
}

/// What has to come back, and what is to be done then.
#[derive(Serialize, Deserialize)]
struct Underway {
    nonce: String,
    verifier: String,
    redirect: String,
    next: Option<String>,
}

/// Somebody who was signed in.
pub struct SignedIn {
    /// The secret that the browser keeps.
    pub secret: Zeroizing<String>,
    /// What they may do.
    pub scope: ApiScope,
    /// The page that they wanted.
    pub next: Option<String>,
}

fn known(stored: SignInIssuer) -> Result<Known, StoreError> {
    let settings = serde_json::from_str(&stored.settings)
        .map_err(|_| StoreError::Corrupt("the settings of a sign-in provider are not the JSON that was written".to_owned()))?;
    let SignInIssuer { id, tenant, sealed_secret, .. } = stored;
    let own_id = own_id(&id).to_owned();
    Ok(Known { id, own_id, tenant, settings, has_secret: sealed_secret.is_some(), sealed_secret })
}

/// The providers of a tenant, or of the platform.
///
/// # Errors
/// The store's.
pub async fn providers(app: &App, tenant: Option<&TenantId>) -> Result<Vec<Known>, StoreError> {
    app.store.sign_in_issuers(tenant).await?.into_iter().map(known).collect()
}

/// Sets a provider, a new one or one that is there. A secret that is not given stays, for the issuer and client that it was given for.
///
/// # Errors
/// `Refused` for settings that can't be; the store's.
pub async fn put_provider(
    app: &Arc<App>,
    tenant: Option<&TenantId>,
    id: &str,
    settings: &ProviderSettings,
    secret: Option<&str>,
    actor: &Actor,
) -> Result<(), TenancyError> {
    check(tenant, id, settings)?;
    app.outgoing.vet(&settings.issuer).await.map_err(|refusal| TenancyError::Refused(format!("`issuer`: {refusal}")))?;
    let (all, id) = (app.store.sign_in_issuers(tenant).await?, kept_id(tenant, id));
    let before = app.store.sign_in_issuer(&id).await?;
    if before.is_none() && all.len() >= PROVIDERS_LIMIT {
        return Err(TenancyError::Refused(format!("there are {PROVIDERS_LIMIT} providers already: remove one first")));
    }
    let sealed_secret = match secret {
        Some(secret) => {
            let sealed = app.keyring.master().seal(SEAL_SECRET, secret.as_bytes());
            Some(sealed.map_err(|_| StoreError::Corrupt("a secret can't be sealed".to_owned()))?)
        }
        None => match before {
            Some(before) if before.sealed_secret.is_some() => {
                let Known { settings: kept, sealed_secret, .. } = known(before)?;
                // The secret was given to be shown to one issuer as one client, and to nobody else.
                if (&kept.issuer, &kept.client_id) != (&settings.issuer, &settings.client_id) {
                    let why =
                        "the client secret that is kept is for another issuer or client: give one for this, or remove the provider first";
                    return Err(TenancyError::Refused(why.to_owned()));
                }
                sealed_secret
            }
            Some(_) | None => None,
        },
    };
    let text = serde_json::to_string(settings).map_err(|_| StoreError::Corrupt("settings can't be written".to_owned()))?;
    let now = app.clock.now();
    let stored = SignInIssuer { id, tenant: tenant.cloned(), settings: text, sealed_secret, created: now };
    Ok(app.store.put_sign_in_issuer(&stored, actor, now).await?)
}

/// Removes a provider: nobody new is signed in with it. Sessions that began with it go on until they end.
///
/// # Errors
/// `Missing`; the store's.
pub async fn remove_provider(app: &App, tenant: Option<&TenantId>, id: &str, actor: &Actor) -> Result<(), StoreError> {
    app.store.remove_sign_in_issuer(tenant, &kept_id(tenant, id), actor, app.clock.now()).await
}

/// The id that a provider has among those of all tenants: no tenant learns by a taken one which others have.
fn kept_id(tenant: Option<&TenantId>, id: &str) -> String {
    tenant.map_or_else(|| id.to_owned(), |tenant| format!("{tenant}.{id}"))
}

fn check(tenant: Option<&TenantId>, id: &str, settings: &ProviderSettings) -> Result<(), TenancyError> {
    let refused = |why: String| Err(TenancyError::Refused(why));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=63).contains(&id.len()) || !id.chars().all(plain) {
        return refused("the id has 1 to 63 lower-case letters, digits and hyphens".to_owned());
    }
    let claims = [("name", &settings.name), ("client_id", &settings.client_id), ("person_claim", &settings.person_claim)];
    for (what, text) in claims.into_iter().chain([("groups_claim", &settings.groups_claim)]) {
        if text.is_empty() || text.chars().count() > TEXT_CHARS_LIMIT || text.chars().any(char::is_control) {
            return refused(format!("`{what}` must have 1 to {TEXT_CHARS_LIMIT} characters and no control characters"));
        }
    }
    if settings.scopes.len() > 20 || settings.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
        return refused("`scopes` has at most 20 words".to_owned());
    }
    if settings.roles.is_empty() || settings.roles.len() > ROLE_GROUPS_LIMIT {
        return refused(format!("`roles` names 1 to {ROLE_GROUPS_LIMIT} groups, each with the admin roles that it gives"));
    }
    let admin_roles = settings.roles.values().flatten().cloned().collect();
    check_roles(&ApiScope { tenant: tenant.cloned(), admin_roles, ..ApiScope::default() })
}

/// Where one ends the session at a provider, with its name; `None` where it says of no such place, or is away.
///
/// # Errors
/// The store's.
pub async fn end_of(app: &App, id: &str) -> Result<Option<(String, String)>, StoreError> {
    let Some(stored) = app.store.sign_in_issuer(id).await? else { return Ok(None) };
    let known = known(stored)?;
    let provider = app.providers.provider(&app.outgoing, &known.settings.issuer, app.clock.now()).await.ok();
    let end = provider.and_then(|provider| provider.end_session_endpoint.clone());
    Ok(end.map(|end| {
        let joint = if end.contains('?') { '&' } else { '?' };
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("client_id", &known.settings.client_id).finish();
        (known.settings.name, format!("{end}{joint}{query}"))
    }))
}

/// Sends somebody to a provider. Gives the address, and the state that the browser keeps.
///
/// # Errors
/// [`NotSignedIn`].
pub async fn begin(app: &Arc<App>, id: &str, redirect: &str, next: Option<String>) -> Result<(String, Zeroizing<String>), NotSignedIn> {
    let missing = || TenancyError::from(StoreError::Missing("sign-in provider"));
    let known = known(app.store.sign_in_issuer(id).await?.ok_or_else(missing)?)?;
    let now = app.clock.now();
    app.sign_ins.take(id, now)?;
    let provider = app.providers.provider(&app.outgoing, &known.settings.issuer, now).await?;
    let (state, nonce, verifier) = (crypto::new_token(""), crypto::new_token(""), crypto::new_token(""));
    let challenge = BASE64.encode(crypto::sha256(verifier.as_bytes()));
    let underway = Underway { nonce: nonce.to_string(), verifier: verifier.to_string(), redirect: redirect.to_owned(), next };
    let corrupt = || StoreError::Corrupt("a sign-in can't be sealed".to_owned());
    let text = Zeroizing::new(serde_json::to_vec(&underway).map_err(|_| corrupt())?);
    let sealed = app.keyring.master().seal(SEAL_SIGN_IN, &text).map_err(|_| corrupt())?;
    let sign_in =
        SignIn { hash: app.keyring.token_hash(&state), issuer: known.id.clone(), sealed, expires: now.plus_seconds(SIGN_IN_SECONDS) };
    app.store.begin_sign_in(&sign_in, now).await?;
    let scopes = std::iter::once("openid").chain(known.settings.scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", &known.settings.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", &scopes)
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    let joint = if provider.authorization_endpoint.contains('?') { '&' } else { '?' };
    Ok((format!("{}{joint}{query}", provider.authorization_endpoint), state))
}

/// Takes what a provider sends somebody back with: `state` as it came, `kept` as the browser has it.
///
/// # Errors
/// [`NotSignedIn`].
pub async fn finish(app: &Arc<App>, state: &str, kept: &str, answer: Result<&str, &str>) -> Result<SignedIn, NotSignedIn> {
    if state.is_empty() || !crypto::same(state, kept) {
        return Err(NotSignedIn::Unasked);
    }
    let now = app.clock.now();
    let hash = app.keyring.token_hash(state);
    let taken = app.store.take_sign_in(&hash).await?;
    let sign_in = taken.filter(|taken| crypto::same(&taken.hash, &hash) && now < taken.expires).ok_or(NotSignedIn::Unasked)?;
    let opened = app.keyring.master().open(SEAL_SIGN_IN, &sign_in.sealed).map_err(|_| NotSignedIn::Unasked)?;
    let underway: Underway = serde_json::from_slice(&opened).map_err(|_| NotSignedIn::Unasked)?;
    let code = answer.map_err(|error| NotSignedIn::Denied(error.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()))?;
    let known = known(app.store.sign_in_issuer(&sign_in.issuer).await?.ok_or(NotSignedIn::Unasked)?)?;
    let claims = claims(app, &known, &underway, code, now).await?;
    let scope = scope_of(&known, &claims).map_err(NotSignedIn::Nobody)?;
    let name = scope.person.clone().unwrap_or_default();
    let secret = visitors::begin(app, scope.clone(), &name, Via::Provider(&known.id)).await?;
    Ok(SignedIn { secret, scope, next: underway.next })
}

/// The claims of the ID token that a code is good for.
async fn claims(
    app: &App,
    known: &Known,
    underway: &Underway,
    code: &str,
    now: Instant,
) -> Result<serde_json::Map<String, Value>, NotSignedIn> {
    let provider = app.providers.provider(&app.outgoing, &known.settings.issuer, now).await?;
    let secret = match &known.sealed_secret {
        Some(sealed) => {
            let opened = app.keyring.master().open(SEAL_SECRET, sealed);
            let opened = opened.map_err(|_| StoreError::Corrupt("the secret of a sign-in provider can't be opened".to_owned()))?;
            Some(Zeroizing::new(String::from_utf8_lossy(&opened).into_owned()))
        }
        None => None,
    };
    let form =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &underway.redirect), ("code_verifier", &underway.verifier)];
    let client = (known.settings.client_id.as_str(), secret.as_ref().map(|secret| secret.as_str()));
    let token = provider.id_token(&app.outgoing, client, &form).await?;
    let keys = provider.keys(&app.outgoing).await?;
    let expected = Issuer {
        issuer: provider.issuer.clone(),
        audience: known.settings.client_id.clone(),
        algorithms: Algorithm::ALL.iter().map(|algorithm| algorithm.word().to_owned()).collect(),
        jwks_uri: None,
        clock_skew_seconds: CLOCK_SKEW_SECONDS,
        subject: None,
        // OpenID Connect Core 1.0 §3.1.3.7 (11): else an answer could be replayed.
        claims: BTreeMap::from([("nonce".to_owned(), underway.nonce.clone())]),
    };
    let token = Token::read(&token)?;
    token.check(&expected, &keys, now)?;
    let claims = token.into_claims();
    // OpenID Connect Core 1.0 §3.1.3.7 (4, 5): a token for several is for whom it was asked.
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    let azp = claims.get("azp").and_then(Value::as_str);
    if azp.map_or(several, |azp| azp != known.settings.client_id) {
        return Err(Refused::Claim("azp").into());
    }
    Ok(claims)
}

/// Who somebody is and which admin roles they have, by a provider's claims; why they are nobody here.
fn scope_of(known: &Known, claims: &serde_json::Map<String, Value>) -> Result<ApiScope, String> {
    let settings = &known.settings;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    // What was not verified may be somebody else's address.
    if settings.person_claim == "email" && claims.get("email_verified") == Some(&Value::Bool(false)) {
        return Err("the sign-in provider says that your address is not verified: verify it there first".to_owned());
    }
    let person = text(&settings.person_claim).filter(|person| person.chars().count() <= TEXT_CHARS_LIMIT);
    let person = person
        .ok_or_else(|| format!("the sign-in provider does not say who you are: its answer has no claim `{}`", settings.person_claim))?;
    let groups: Vec<&str> = match claims.get(&settings.groups_claim) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).take(GROUPS_LIMIT).collect(),
        _ => Vec::new(),
    };
    let admin_roles: BTreeSet<String> = groups.iter().filter_map(|group| settings.roles.get(*group)).flatten().cloned().collect();
    if admin_roles.is_empty() {
        return Err(format!(
            "you are signed in at {}, and none of your groups there may do anything here: ask whoever looks after Rolecall for a group that may",
            settings.name
        ));
    }
    Ok(ApiScope { tenant: known.tenant.clone(), write: false, person: Some(person.to_owned()), admin_roles })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(tenant: Option<&str>) -> Known {
        let settings = ProviderSettings {
            name: "Acme".into(),
            issuer: "https://id.acme.example".into(),
            client_id: "rolecall".into(),
            scopes: usual_scopes(),
            person_claim: "email".into(),
            groups_claim: "groups".into(),
            roles: BTreeMap::from([
                ("owners".into(), BTreeSet::from(["tenant-owner".into()])),
                ("audit".into(), BTreeSet::from(["auditor".into()])),
            ]),
        };
        Known {
            id: "acme".into(),
            own_id: "acme".into(),
            tenant: tenant.map(TenantId::from),
            settings,
            has_secret: false,
            sealed_secret: None,
        }
    }

    #[test]
    fn groups_give_admin_roles_and_nothing_else_does() {
        let cases = [
            (json!({"email": "ada@acme.example", "groups": ["owners", "x"]}), Some(vec!["tenant-owner"])),
            (json!({"email": "ada@acme.example", "groups": ["owners", "audit"]}), Some(vec!["auditor", "tenant-owner"])),
            (json!({"email": "ada@acme.example", "groups": "audit"}), Some(vec!["auditor"])),
            (json!({"email": "ada@acme.example", "groups": ["tenant-owner"]}), None),
            (json!({"email": "ada@acme.example", "groups": []}), None),
            (json!({"email": "ada@acme.example", "groups": {"owners": true}}), None),
            (json!({"email": "ada@acme.example"}), None),
            (json!({"email": "ada@acme.example", "email_verified": false, "groups": ["owners"]}), None),
            (json!({"email": " ", "groups": ["owners"]}), None),
            (json!({"sub": "1", "groups": ["owners"]}), None),
        ];
        for (claims, roles) in cases {
            let found = scope_of(&provider(Some("acme")), claims.as_object().unwrap());
            let found = found.ok().map(|scope| {
                assert!(!scope.write && scope.person.as_deref() == Some("ada@acme.example"));
                scope.admin_roles.into_iter().collect::<Vec<_>>()
            });
            assert_eq!(found, roles.map(|roles| roles.into_iter().map(str::to_owned).collect()), "{claims}");
        }
    }

    #[test]
    fn a_tenants_provider_makes_no_operators() {
        let mut known = provider(Some("acme"));
        known.settings.roles.insert("all".into(), BTreeSet::from([crate::model::PLATFORM_OPERATOR.into()]));
        assert!(check(known.tenant.as_ref(), "acme", &known.settings).is_err());
        assert!(check(None, "acme", &known.settings).is_ok());
        for id in ["Acme", "", "a.b"] {
            assert!(check(None, id, &known.settings).is_err(), "{id}");
        }
    }
}
