//! JSON Web Tokens (RFC 7519), signed with asymmetric keys (RFC 7515, RFC 7518, RFC 8037), and JSON Web Key Sets (RFC 7517).
//!
//! Pure: knows bytes, keys and claims, not where keys come from. What would let a signature mean nothing (`none`), or a public
//! key be taken for a secret (`HS256` …), has no name here.

mod checks;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::{Instant, Issuer};

pub use checks::checks;

/// The longest token that is looked at, in bytes: issuers that list groups in a token stay below it, as do headers elsewhere.
pub const JWT_BYTES_LIMIT: usize = 8 * 1024;
/// The largest key set, in bytes: issuers publish two or three keys, the largest ones some dozen with certificates.
pub const KEY_SET_BYTES_LIMIT: usize = 256 * 1024;
/// The most keys of a set that are looked at.
pub const KEYS_LIMIT: usize = 64;
/// The members of a key that only whoever signs may know (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// How long the modulus of an RSA key may be, in bytes: the library verifies with no other.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// How much of a header is looked at to see whether it is one, in characters of base64.
const START_CHARS: usize = 16;
/// The most keys that a signature is tried with where the token does not name one, or several have its name.
const TRIED_LIMIT: usize = 8;

/// An algorithm that a token may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: &[Self] =
        &[Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512, Self::Es256, Self::Es384, Self::EdDsa];

    /// Its name in a token's header.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.word() == word)
    }
}

/// Why a token or a key set is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no signed JWT, or one in a form that is not understood.
    #[error("the token is malformed")]
    Malformed,
    /// Its algorithm is not allowed.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No key is known that could have signed it: another one may be by now.
    #[error("the key that signed the token is not known")]
    UnknownKey,
    /// The signature is another's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or other than expected.
    #[error("the token's claim `{0}` is missing or not what is expected")]
    Claim(&'static str),
    /// It is no key set.
    #[error("the key set is malformed or too large")]
    KeySet,
}

/// A token as it was read. Nothing of it is to be believed before [`Token::check`].
#[derive(Debug)]
pub struct Token<'t> {
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Also where it is null: what is there has to be a list.
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl<'t> Token<'t> {
    /// Whether a bearer token looks like a JWT: three parts, the first of which is an object in base64.
    #[must_use]
    pub fn is_meant(token: &str) -> bool {
        let Some((header, _)) = token.split_once('.') else { return false };
        // White space may stand before the object, and its first bytes tell.
        let start = header.as_bytes().get(..header.len().min(START_CHARS)).and_then(|start| BASE64.decode(start).ok());
        let is_object = start.is_some_and(|start| start.trim_ascii_start().starts_with(b"{"));
        is_object && token.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Reads a token in the compact form.
    ///
    /// # Errors
    /// `Malformed`; `Algorithm` for one that is not in [`Algorithm`].
    pub fn read(token: &'t str) -> Result<Self, Refused> {
        if token.len() > JWT_BYTES_LIMIT {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let header: Header = json(header)?;
        let algorithm = Algorithm::from_word(&header.alg).ok_or(Refused::Algorithm)?;
        // RFC 7515 §4.1.11: what must be understood, and isn't, makes the token invalid.
        if header.crit.is_some() {
            return Err(Refused::Malformed);
        }
        // RFC 9068 §4: no other kind of JWT may be passed off as an access token. Many issuers say `JWT`, or nothing.
        if header.typ.is_some_and(|kind| !is_kind(&kind)) {
            return Err(Refused::Malformed);
        }
        let signature = BASE64.decode(signature).map_err(|_| Refused::Malformed)?;
        Ok(Self { algorithm, key_id: header.kid, claims: json(claims)?, signed, signature })
    }

    /// Whether the token says that it is of this issuer and may say so with this algorithm: worth looking for its key.
    ///
    /// # Errors
    /// `Algorithm`, `Claim`.
    pub fn is_addressed(&self, expected: &Issuer) -> Result<(), Refused> {
        if !expected.algorithms.iter().any(|allowed| allowed == self.algorithm.word()) {
            return Err(Refused::Algorithm);
        }
        self.claim("iss", self.text("iss") == Some(&expected.issuer))?;
        self.claim("aud", self.has("aud", &expected.audience))
    }

    /// Whether the token is good: signed by one of the keys, of the issuer, for the audience, at the time.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, expected: &Issuer, keys: &KeySet, now: Instant) -> Result<(), Refused> {
        self.is_addressed(expected)?;
        self.verify(keys)?;
        let now = now.timestamp().as_second();
        let skew = expected.clock_skew_seconds;
        self.claim("exp", self.number("exp").is_some_and(|end| now < end.saturating_add(skew)))?;
        for name in ["nbf", "iat"] {
            let has_come = |start: i64| start.saturating_sub(skew) <= now;
            self.claim(name, !self.claims.contains_key(name) || self.number(name).is_some_and(has_come))?;
        }
        self.claim("sub", expected.subject.as_ref().is_none_or(|subject| self.text("sub") == Some(subject)))?;
        self.claim("claims", expected.claims.iter().all(|(name, value)| self.has(name, value)))
    }

    /// Its claims: to be believed once it was checked.
    #[must_use]
    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    fn verify(&self, keys: &KeySet) -> Result<(), Refused> {
        let named = |key: &&Key| match (&self.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            (Some(_), None) | (None, _) => self.key_id.is_none(),
        };
        let fitting = |key: &&Key| key.fits(self.algorithm);
        let mut candidates = keys.0.iter().filter(named).filter(fitting).take(TRIED_LIMIT).peekable();
        if candidates.peek().is_none() {
            return Err(Refused::UnknownKey);
        }
        if candidates.any(|key| key.material.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)) {
            return Ok(());
        }
        // A token that names no key may be signed by a new one.
        Err(if self.key_id.is_some() { Refused::Signature } else { Refused::UnknownKey })
    }

    fn claim(&self, name: &'static str, holds: bool) -> Result<(), Refused> {
        if holds { Ok(()) } else { Err(Refused::Claim(name)) }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction.
    fn number(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the largest integer, which is as far away")]
        value.as_i64().or_else(|| value.as_f64().filter(|seconds| seconds.is_finite()).map(|seconds| seconds as i64))
    }

    /// Whether a claim is the text, or an array with it.
    fn has(&self, name: &str, wanted: &str) -> bool {
        match self.claims.get(name) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Array(texts)) => texts.iter().any(|text| text == wanted),
            Some(Value::Bool(truth)) => wanted == if *truth { "true" } else { "false" },
            Some(Value::Number(number)) => number.to_string() == wanted,
            _ => false,
        }
    }
}

/// Whether a `typ` is that of a JWT or an access token.
fn is_kind(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refused> {
    let bytes = BASE64.decode(part).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

/// The keys of an issuer that can be used; others in the set are passed over (RFC 7517 §5).
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that somebody should not have set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitKey {
    /// Its place in the set, from 1.
    pub position: usize,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Why.
    pub why: Unfit,
}

/// Why a key should not have been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has its private part, or is a shared secret.
    Private,
    /// It is an RSA key of a length that no signature is verified with.
    Length,
}

impl KeySet {
    /// The first key of a written set that nobody should set by hand. An issuer's own set is taken as it is: keys that are of no use are
    /// passed over there, because others stand beside them.
    #[must_use]
    pub fn unfit(written: &Value) -> Option<UnfitKey> {
        let keys = written.get("keys").and_then(Value::as_array).into_iter().flatten();
        keys.zip(1..).find_map(|(key, position)| {
            let why = if PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some()) {
                Unfit::Private
            } else {
                let read = serde_json::from_value(key.clone()).ok().and_then(Key::of)?;
                read.material.is_of_wrong_length().then_some(Unfit::Length)?
            };
            Some(UnfitKey { position, id: key.get("kid").and_then(Value::as_str).map(str::to_owned), why })
        })
    }

    /// Whether there is no key that can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys can verify with one of the algorithms, by their words.
    #[must_use]
    pub fn fits(&self, algorithms: &[impl AsRef<str>]) -> bool {
        let allowed = || algorithms.iter().filter_map(|word| Algorithm::from_word(word.as_ref()));
        self.0.iter().any(|key| allowed().any(|algorithm| key.fits(algorithm)))
    }

    /// Reads a key set, which may have no key that can be used.
    ///
    /// # Errors
    /// `KeySet` when it is none or is too large.
    pub fn read(text: &str) -> Result<Self, Refused> {
        if text.len() > KEY_SET_BYTES_LIMIT {
            return Err(Refused::KeySet);
        }
        let written: WrittenSet = serde_json::from_str(text).map_err(|_| Refused::KeySet)?;
        Ok(Self(written.keys.into_iter().take(KEYS_LIMIT).filter_map(|key| serde_json::from_value(key).ok()).filter_map(Key::of).collect()))
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.material.fits(algorithm)
    }

    fn of(written: WrittenKey) -> Option<Self> {
        let signs = written.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && written.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        // An algorithm that is not known is none that the key may be used with here.
        let algorithm = written.alg.as_deref().map(|word| Algorithm::from_word(word).ok_or(())).transpose().ok()?;
        let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let of_length = |text: &Option<String>, length: usize| bytes(text).filter(|bytes| bytes.len() == length);
        let point = |length: usize| Some([vec![4], of_length(&written.x, length)?, of_length(&written.y, length)?].concat());
        let unsigned =
            |text: &Option<String>| bytes(text).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
        let material = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: unsigned(&written.n)?, e: unsigned(&written.e)? },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(of_length(&written.x, 32)?),
            _ => return None,
        };
        signs.then_some(Self { id: written.kid, algorithm, material })
    }
}

impl Material {
    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => !matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    fn is_of_wrong_length(&self) -> bool {
        matches!(self, Self::Rsa { n, .. } if !RSA_BYTES.contains(&n.len()))
    }

    /// The library refuses RSA keys of less than 2,048 or more than 8,192 bits ([`RSA_BYTES`]).
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        let rsa = match algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => {
                let (scheme, key): (&'static dyn signature::VerificationAlgorithm, _) = match self {
                    Self::P256(key) => (&signature::ECDSA_P256_SHA256_FIXED, key),
                    Self::P384(key) => (&signature::ECDSA_P384_SHA384_FIXED, key),
                    Self::Ed25519(key) => (&signature::ED25519, key),
                    Self::Rsa { .. } => return false,
                };
                return UnparsedPublicKey::new(scheme, key).verify(message, signed).is_ok();
            }
        };
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(rsa, message, signed).is_ok(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
