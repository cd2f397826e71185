//! Sealing, hashing and randomness. Knows keys and bytes; knows no tenant's data and no database.
//!
//! The hierarchy: the master key (a file, or the operator's secret store) seals each tenant's key, a
//! tenant's key seals the keys of its people and the secrets of its targets, a person's key seals the
//! personal values in events. Destroying a person's key erases those values everywhere.

pub mod jwt;
pub mod signature;

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a tag ([`SecretKey::tag`]).
pub const TAG_BYTES: usize = 32;
/// Bytes of a fingerprint: enough that no two installations share one.
const FINGERPRINT_BYTES: usize = 8;
/// Bytes of every key.
pub const KEY_BYTES: usize = 32;
/// Bytes of the random nonce that leads each sealed value (XChaCha20: random nonces are safe).
const NONCE_BYTES: usize = 24;

/// Why a value could not be sealed or opened, or a key not be had.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// The sealed value was altered, is for another purpose, or belongs to another key.
    #[error("a sealed value can't be opened: it was altered or belongs to another key")]
    Open,
    /// Sealing failed: only for values beyond the cipher's limits.
    #[error("a value can't be sealed")]
    Seal,
    /// The master key file can't be read or made.
    #[error("the master key file `{path}` can't be {action}")]
    MasterKeyFile {
        /// The file.
        path: String,
        /// `read` or `made`.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The master key is not 64 hexadecimal digits.
    #[error("the master key must be 64 hexadecimal digits")]
    MasterKeyFormat,
}

/// A symmetric key, wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// A key from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(Zeroizing::new(random_bytes()))
    }

    /// A key of exactly [`KEY_BYTES`] bytes.
    ///
    /// # Errors
    /// [`CryptoError::Open`] for another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        bytes.try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| CryptoError::Open)
    }

    /// Seals `plain` for `purpose` (authenticated, not hidden): nonce, then ciphertext and tag.
    ///
    /// # Errors
    /// [`CryptoError::Seal`] beyond the cipher's limits.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let nonce = XNonce::from(random_bytes::<NONCE_BYTES>());
        let sealed = self.cipher().encrypt(&nonce, Payload { msg: plain, aad: purpose.as_bytes() }).map_err(|_| CryptoError::Seal)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`SecretKey::seal`] sealed for the same purpose.
    ///
    /// # Errors
    /// [`CryptoError::Open`] when it was altered or belongs elsewhere.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or(CryptoError::Open)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| CryptoError::Open)?;
        self.cipher().decrypt(&nonce, Payload { msg: body, aad: purpose.as_bytes() }).map(Zeroizing::new).map_err(|_| CryptoError::Open)
    }

    /// A new key, and its form sealed under this one for `purpose`.
    ///
    /// # Errors
    /// As [`SecretKey::seal`].
    pub fn new_sealed_key(&self, purpose: &str) -> Result<(SecretKey, Vec<u8>), CryptoError> {
        let key = Self::random();
        let sealed = self.seal(purpose, &key.0[..])?;
        Ok((key, sealed))
    }

    /// Opens a key that [`SecretKey::new_sealed_key`] made.
    ///
    /// # Errors
    /// As [`SecretKey::open`].
    pub fn open_key(&self, purpose: &str, sealed: &[u8]) -> Result<SecretKey, CryptoError> {
        Self::from_bytes(&self.open(purpose, sealed)?)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }

    /// A tag that only this key makes, over a name and a content (HMAC-SHA-256, RFC 2104).
    #[must_use]
    pub fn tag(&self, name: &str, content: &[u8]) -> [u8; TAG_BYTES] {
        self.mac(name, content).finalize().into_bytes().into()
    }

    /// Whether it is the tag of this name and content, in time that does not depend on where it differs.
    #[must_use]
    pub fn is_tagged(&self, name: &str, content: &[u8], tag: &[u8]) -> bool {
        self.mac(name, content).verify_slice(tag).is_ok()
    }

    fn mac(&self, name: &str, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("HMAC takes keys of every length");
        // With its length, so that no name and content read like another's.
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        mac.update(content);
        mac
    }
}

/// The master key and what is derived from it.
#[derive(Debug)]
pub struct Keyring {
    master: SecretKey,
    token_hash: SecretKey,
    access_tokens: SecretKey,
    cursors: SecretKey,
    artefacts: SecretKey,
    history: SecretKey,
    reviews: SecretKey,
    backups: SecretKey,
}

impl Keyring {
    /// A key ring over a master key.
    #[must_use]
    pub fn new(master: SecretKey) -> Self {
        let derived = |label: &[u8]| SecretKey(Zeroizing::new(hmac_sha256(&master.0[..], label)));
        let (token_hash, cursors) = (derived(b"rolecall token hash v1"), derived(b"rolecall cursors v1"));
        let access_tokens = derived(b"rolecall access tokens v1");
        let artefacts = derived(b"rolecall compiled plugins v1");
        let history = derived(b"rolecall history heads v1");
        let reviews = derived(b"rolecall review exports v1");
        let backups = derived(b"rolecall backups v1");
        Self { master, token_hash, access_tokens, cursors, artefacts, history, reviews, backups }
    }

    /// Reads the master key file, or makes it (readable by its owner only) when there is none.
    ///
    /// # Errors
    /// When the file can't be read or made, or does not hold 64 hexadecimal digits.
    pub fn from_file(path: &Path) -> Result<Self, CryptoError> {
        let failed = |action| move |source| CryptoError::MasterKeyFile { path: path.display().to_string(), action, source };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_hex(text.trim()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = SecretKey::random();
                make_private(path, hex(&key.0[..]).as_bytes()).map_err(failed("made"))?;
                // Read back: of two processes that start at once, only one has made the file.
                let text = std::fs::read_to_string(path).map_err(failed("read"))?;
                Self::from_hex(text.trim())
            }
            Err(source) => Err(failed("read")(source)),
        }
    }

    /// A key ring from 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`CryptoError::MasterKeyFormat`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, CryptoError> {
        let bytes = unhex(text).ok_or(CryptoError::MasterKeyFormat)?;
        SecretKey::from_bytes(&bytes).map(Self::new).map_err(|_| CryptoError::MasterKeyFormat)
    }

    /// The master key: seals tenants' keys, nothing else.
    #[must_use]
    pub fn master(&self) -> &SecretKey {
        &self.master
    }

    /// The key that seals places in listings, which clients carry about.
    #[must_use]
    pub fn cursors(&self) -> &SecretKey {
        &self.cursors
    }

    /// The key that tags compiled plugins on disk.
    #[must_use]
    pub fn artefacts(&self) -> &SecretKey {
        &self.artefacts
    }

    /// The key that tags what a backup says of itself.
    #[must_use]
    pub fn backups(&self) -> &SecretKey {
        &self.backups
    }

    /// What the master key is told by without being shown: the same for equal keys, and of no use to make one.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&self.backups.tag("fingerprint of the master key", b"")[..FINGERPRINT_BYTES])
    }

    /// The key that signs the heads of histories: the same in every process of an installation.
    ///
    /// # Errors
    /// Never: a derived key is always one that signs.
    pub fn history(&self) -> Result<signature::SigningKey, signature::SignatureError> {
        signature::SigningKey::from_seed(&self.history.0)
    }

    /// The key that signs what is exported of access reviews: the same in every process of an installation.
    ///
    /// # Errors
    /// Never: a derived key is always one that signs.
    pub fn reviews(&self) -> Result<signature::SigningKey, signature::SignatureError> {
        signature::SigningKey::from_seed(&self.reviews.0)
    }

    /// The keyed hash under which a token is stored and found, in hexadecimal.
    #[must_use]
    pub fn token_hash(&self, token: &str) -> String {
        hex(&hmac_sha256(&self.token_hash.0[..], token.as_bytes()))
    }

    /// An access token that says `content` to us and nothing to anybody else.
    ///
    /// # Errors
    /// As [`SecretKey::seal`].
    pub fn seal_access_token(&self, content: &str) -> Result<Zeroizing<String>, CryptoError> {
        let sealed = self.access_tokens.seal("access token", content.as_bytes())?;
        Ok(Zeroizing::new(format!("{ACCESS_TOKEN_PREFIX}{}", base64_url(&sealed))))
    }

    /// What an access token says; `None` when it is none of ours.
    #[must_use]
    pub fn open_access_token(&self, token: &str) -> Option<String> {
        use base64::Engine as _;
        let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.strip_prefix(ACCESS_TOKEN_PREFIX)?).ok()?;
        let opened = self.access_tokens.open("access token", &sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// What bearer tokens begin with, so that people and scanners recognise them.
pub const TOKEN_PREFIX: &str = "rc_";
/// What the secrets of OAuth clients begin with.
pub const CLIENT_SECRET_PREFIX: &str = "rs_";
/// What the tokens in the links of invitations begin with.
pub const INVITATION_PREFIX: &str = "ri_";
/// What the secrets of the workspace's sessions begin with.
pub const SESSION_PREFIX: &str = "rw_";
/// What the tokens in links that let somebody in begin with.
pub const LINK_PREFIX: &str = "rl_";
/// What access tokens begin with.
pub const ACCESS_TOKEN_PREFIX: &str = "ra_";

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A new secret: the prefix and 256 random bits in URL-safe base64.
#[must_use]
pub fn new_token(prefix: &str) -> Zeroizing<String> {
    let bytes = Zeroizing::new(random_bytes::<32>());
    Zeroizing::new(format!("{prefix}{}", base64_url(&bytes[..])))
}

/// An unguessable identifier of 128 random bits in hexadecimal.
#[must_use]
pub fn random_id() -> String {
    hex(&random_bytes::<16>())
}

/// The bytes of a new secret that is shared with somebody else (a webhook's): 256 random bits.
#[must_use]
pub fn random_key_bytes() -> Zeroizing<[u8; KEY_BYTES]> {
    Zeroizing::new(random_bytes())
}

/// Whether two texts are the same, in time that depends on their lengths alone.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 over what comes in parts.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The hash of all parts, in lower-case hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// HMAC-SHA-256 (RFC 2104).
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).expect("four bits are a digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it has booted");
    bytes
}

fn make_private(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(contents).and_then(|()| file.sync_all()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_for_their_purpose_only() {
        let key = SecretKey::random();
        let sealed = key.seal("a", b"secret").unwrap();
        assert_eq!(&key.open("a", &sealed).unwrap()[..], b"secret");
        assert!(key.open("b", &sealed).is_err());
        assert!(SecretKey::random().open("a", &sealed).is_err());
        assert!(key.open("a", &sealed[..10]).is_err());
    }

    #[test]
    fn a_tag_is_of_one_key_one_name_and_one_content() {
        let key = SecretKey::random();
        let tag = key.tag("name", b"content");
        assert!(key.is_tagged("name", b"content", &tag));
        assert!(!key.is_tagged("namec", b"ontent", &tag));
        assert!(!key.is_tagged("name", b"content.", &tag));
        assert!(!key.is_tagged("name", b"content", &tag[..31]));
        assert!(!SecretKey::random().is_tagged("name", b"content", &tag));
    }

    #[test]
    fn access_tokens_are_read_by_their_own_key_ring_alone() {
        let ring = Keyring::new(SecretKey::random());
        let token = ring.seal_access_token("acme").unwrap();
        assert!(token.starts_with("ra_") && !token.contains("acme"));
        assert_eq!(ring.open_access_token(&token).as_deref(), Some("acme"));
        assert_eq!(Keyring::new(SecretKey::random()).open_access_token(&token), None);
        assert_eq!(ring.open_access_token(&token[3..]), None);
        let mut altered = token.to_string();
        altered.replace_range(10..11, if &altered[10..11] == "A" { "B" } else { "A" });
        assert_eq!(ring.open_access_token(&altered), None);
    }

    #[test]
    fn the_master_key_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = Keyring::from_file(&path).unwrap().token_hash("t");
        assert_eq!(first, Keyring::from_file(&path).unwrap().token_hash("t"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "zz").unwrap();
        assert!(matches!(Keyring::from_file(&path), Err(CryptoError::MasterKeyFormat)));
    }
}
