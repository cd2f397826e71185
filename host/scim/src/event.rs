//! Security event tokens about provisioning (RFC 8417, RFC 9967), as claims: what happened, to what, and with which values.
//!
//! Pure: identifiers and instants are the caller's, signing and delivering are, too. It does not look into the values:
//! give it what may be shown ([`crate::projection`]), never a password.

use serde_json::{Map, Value, json};

use crate::ResourceKind;
use crate::bulk::Outcome;

/// The `typ` header of a token (RFC 8417 §2.3).
pub const TOKEN_TYPE: &str = "secevent+jwt";

/// What a token says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Who issues it (`iss`).
    pub issuer: &'a str,
    /// Whom it is for (`aud`).
    pub audience: &'a [String],
    /// The token's own identifier (`jti`): another one for each token.
    pub token_id: &'a str,
    /// The transaction (`txn`): the same in each token about it, and in the `Set-Txn` header of an asynchronous answer.
    pub transaction: &'a str,
    /// When it is issued, in seconds since 1970 (`iat`).
    pub issued_s: i64,
    /// When it happened, if that is known to be earlier (`toe`).
    pub happened_s: Option<i64>,
}

/// What it is about (`sub_id`, RFC 9967 §2.1).
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// User or Group.
    pub kind: ResourceKind,
    /// Its SCIM id.
    pub id: &'a str,
    /// The client's id.
    pub external_id: Option<&'a str>,
}

/// How much a token tells of a change (RFC 9967 §2.4): `full` or `notice`.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The values: the resource that was created, or the body of the PUT or PATCH.
    Data(&'a Value),
    /// The paths of the attributes alone.
    Attributes(&'a [String]),
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The resource came into the receiver's sight (§2.3.1).
    FeedAdd,
    /// It left it (§2.3.2).
    FeedRemove,
    /// It was created (§2.4.1).
    Create(Told<'a>),
    /// It was changed by a PATCH (§2.4.2).
    Patch(Told<'a>),
    /// It was changed by a PUT (§2.4.3).
    Put(Told<'a>),
    /// It was deleted (§2.4.4).
    Delete,
    /// It can be used (§2.4.5).
    Activate,
    /// It can't be used any more (§2.4.6).
    Deactivate,
    /// An asynchronous request is done (§2.5.1.3).
    AsyncResponse(&'a Outcome),
}

/// What every event's URI begins with.
const PREFIX: &str = "urn:ietf:params:scim:event:";

/// The URIs of all events, as IANA has registered them (RFC 9967 §7).
pub const EVENT_URIS: [&str; 12] = [
    "urn:ietf:params:scim:event:feed:add",
    "urn:ietf:params:scim:event:feed:remove",
    "urn:ietf:params:scim:event:prov:create:notice",
    "urn:ietf:params:scim:event:prov:create:full",
    "urn:ietf:params:scim:event:prov:patch:notice",
    "urn:ietf:params:scim:event:prov:patch:full",
    "urn:ietf:params:scim:event:prov:put:notice",
    "urn:ietf:params:scim:event:prov:put:full",
    "urn:ietf:params:scim:event:prov:delete",
    "urn:ietf:params:scim:event:prov:activate",
    "urn:ietf:params:scim:event:prov:deactivate",
    "urn:ietf:params:scim:event:misc:asyncresp",
];

impl Event<'_> {
    /// The event's URI.
    #[must_use]
    pub fn uri(&self) -> String {
        let told = |told: &Told<'_>| match told {
            Told::Data(_) => "full",
            Told::Attributes(_) => "notice",
        };
        match self {
            Self::FeedAdd => format!("{PREFIX}feed:add"),
            Self::FeedRemove => format!("{PREFIX}feed:remove"),
            Self::Create(how) => format!("{PREFIX}prov:create:{}", told(how)),
            Self::Patch(how) => format!("{PREFIX}prov:patch:{}", told(how)),
            Self::Put(how) => format!("{PREFIX}prov:put:{}", told(how)),
            Self::Delete => format!("{PREFIX}prov:delete"),
            Self::Activate => format!("{PREFIX}prov:activate"),
            Self::Deactivate => format!("{PREFIX}prov:deactivate"),
            Self::AsyncResponse(_) => format!("{PREFIX}misc:asyncresp"),
        }
    }

    /// The event's payload; `version` is the resource's entity tag after it (§2.2). What is deleted has none.
    fn payload(&self, version: Option<&str>) -> Value {
        let mut payload = match self {
            Self::FeedAdd | Self::FeedRemove | Self::Delete => return json!({}),
            Self::AsyncResponse(outcome) => return outcome.to_json(),
            Self::Create(Told::Data(data)) | Self::Patch(Told::Data(data)) | Self::Put(Told::Data(data)) => json!({"data": data}),
            Self::Create(Told::Attributes(names)) | Self::Patch(Told::Attributes(names)) | Self::Put(Told::Attributes(names)) => {
                json!({"attributes": names})
            }
            Self::Activate | Self::Deactivate => json!({}),
        };
        if let Some(version) = version {
            payload["version"] = version.into();
        }
        payload
    }
}

impl Subject<'_> {
    fn to_json(self) -> Value {
        let mut subject = json!({"format": "scim", "uri": format!("/{}/{}", self.kind.endpoint(), self.id)});
        if let Some(external_id) = self.external_id {
            subject["externalId"] = external_id.into();
        }
        subject
    }
}

/// The claims of a token about one or several events of one transaction and one resource (RFC 8417 §2, RFC 9967 §2).
/// `version` is the resource's entity tag after them.
#[must_use]
pub fn claims(envelope: &Envelope<'_>, subject: Subject<'_>, events: &[Event<'_>], version: Option<&str>) -> Value {
    let events: Map<String, Value> = events.iter().map(|event| (event.uri(), event.payload(version))).collect();
    let mut claims = json!({
        "iss": envelope.issuer,
        "iat": envelope.issued_s,
        "jti": envelope.token_id,
        "aud": envelope.audience,
        "txn": envelope.transaction,
        "sub_id": subject.to_json(),
        "events": events,
    });
    if let Some(happened_s) = envelope.happened_s {
        claims["toe"] = happened_s.into();
    }
    claims
}

/// The transaction of one operation of an asynchronous bulk request, counted from 0 in the request's order (RFC 9967 §2.5.1.2).
#[must_use]
pub fn operation_transaction(transaction: &str, index: usize) -> String {
    format!("{transaction}:{index}")
}
