//! Ed25519 signatures, on plugins, on the heads of histories and on what is exported of access reviews: keys and signatures as text. Knows
//! no tenants and no files.
//!
//! What is signed of a plugin is one line of text that names its digest, and not its bytes: key services and smart cards take only a few
//! kilobytes, the line says what the signature is for, and any tool can make it:
//! `printf 'rolecall plugin sha256:%s\n' DIGEST > text; openssl pkeyutl -sign -rawin -inkey KEY -in text | base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{random_key_bytes, sha256_hex};

/// Bytes of a public key.
const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
/// What stands before a public key's bytes in a SubjectPublicKeyInfo (RFC 8410 §4).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before a private key's bytes in PKCS #8, version 1, which every tool reads (RFC 8410 §7).
const PRIVATE_PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why a key or a signature is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No public key.
    #[error("not an Ed25519 public key: give PEM (`BEGIN PUBLIC KEY`) or its 32 bytes in base64")]
    PublicKey,
    /// No private key.
    #[error("not an Ed25519 private key: give PEM (`BEGIN PRIVATE KEY`), as `rolecall plugin keygen` makes it")]
    PrivateKey,
    /// No signature.
    #[error("not a signature: expected the 64 bytes of an Ed25519 signature in base64")]
    Signature,
}

/// What is signed of a plugin with this digest.
#[must_use]
pub fn signed_text(digest: &str) -> String {
    format!("rolecall plugin sha256:{digest}\n")
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; PUBLIC_KEY_BYTES]);

impl VerifyingKey {
    /// Reads PEM, or the bytes in base64.
    ///
    /// # Errors
    /// [`SignatureError::PublicKey`].
    pub fn read(text: &str) -> Result<Self, SignatureError> {
        let bytes = der(text, "PUBLIC KEY").ok_or(SignatureError::PublicKey)?;
        let bytes = bytes.strip_prefix(&PUBLIC_PREFIX[..]).unwrap_or(&bytes);
        bytes.try_into().map(Self).map_err(|_| SignatureError::PublicKey)
    }

    /// SHA-256 of the bytes, in hexadecimal: what the key is named by.
    #[must_use]
    pub fn id(&self) -> String {
        sha256_hex(&self.0)
    }

    /// The bytes in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC_PREFIX[..], &self.0].concat())
    }

    /// Whether the signature is this key's on the plugin with the digest.
    #[must_use]
    pub fn verifies(&self, digest: &str, signature: &Signature) -> bool {
        self.verifies_text(&signed_text(digest), signature)
    }

    /// Whether the signature is this key's on the text.
    #[must_use]
    pub fn verifies_text(&self, text: &str, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), &signature.0).is_ok()
    }
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// Reads base64.
    ///
    /// # Errors
    /// [`SignatureError::Signature`].
    pub fn read(text: &str) -> Result<Self, SignatureError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SignatureError::Signature)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| SignatureError::Signature)
    }

    /// The signature in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The signature's bytes, as they are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A signature from its bytes.
    ///
    /// # Errors
    /// [`SignatureError::Signature`] for another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        bytes.try_into().map(Self).map_err(|_| SignatureError::Signature)
    }
}

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key, as PEM.
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        let der = Zeroizing::new([&PRIVATE_PREFIX[..], &random_key_bytes()[..]].concat());
        Zeroizing::new(pem("PRIVATE KEY", &der))
    }

    /// Reads PEM.
    ///
    /// # Errors
    /// [`SignatureError::PrivateKey`].
    pub fn read(text: &str) -> Result<Self, SignatureError> {
        let der = Zeroizing::new(der(text, "PRIVATE KEY").ok_or(SignatureError::PrivateKey)?);
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| SignatureError::PrivateKey)
    }

    /// The key that a secret of 32 bytes stands for (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// Never for that many bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignatureError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| SignatureError::PrivateKey)
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// Never for a key that could be read.
    pub fn verifying(&self) -> Result<VerifyingKey, SignatureError> {
        self.0.public_key().as_ref().try_into().map(VerifyingKey).map_err(|_| SignatureError::PublicKey)
    }

    /// Signs the plugin with the digest.
    ///
    /// # Errors
    /// Never for a key that could be read.
    pub fn sign(&self, digest: &str) -> Result<Signature, SignatureError> {
        self.sign_text(&signed_text(digest))
    }

    /// Signs a text.
    ///
    /// # Errors
    /// Never for a key that could be read.
    pub fn sign_text(&self, text: &str) -> Result<Signature, SignatureError> {
        let signature = self.0.sign(text.as_bytes());
        signature.as_ref().try_into().map(Signature).map_err(|_| SignatureError::Signature)
    }
}

/// The bytes of a PEM block with the label, or of base64 without one.
fn der(text: &str, label: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let body = match text.strip_prefix(&format!("-----BEGIN {label}-----")) {
        Some(rest) => rest.strip_suffix(&format!("-----END {label}-----"))?,
        None => text,
    };
    let body: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    STANDARD.decode(body.as_bytes()).ok()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL 3: `genpkey -algorithm ed25519`, `pkey -pubout`, and `pkeyutl -sign -rawin` on the text of digest `00…`.
    const PRIVATE: &str =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDZO3Bg8ElGos34h9KRI2JgxJOqVpwAJqnddp+S8OJDW\n-----END PRIVATE KEY-----";
    const PUBLIC: &str =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAZH5GGBpojmpWrlXEKSCginciIe6qS4iUdf8PswI8HpU=\n-----END PUBLIC KEY-----";
    const SIGNED: &str = "nF735/zZP7XsCPSFoP5iWlHgOJiygoAf6Ys65Uywe6aiOp7xbL1WeWcSe9jHYRr6L1UiSgdzDGwTjmzond+yCA==";

    #[test]
    fn what_openssl_signed_is_verified_and_the_same_is_signed_here() {
        let digest = "0".repeat(64);
        let (key, theirs) = (SigningKey::read(PRIVATE).unwrap(), Signature::read(SIGNED).unwrap());
        let public = VerifyingKey::read(PUBLIC).unwrap();
        assert_eq!(key.verifying().unwrap(), public);
        assert_eq!(key.sign(&digest).unwrap(), theirs, "Ed25519 is deterministic");
        assert!(public.verifies(&digest, &theirs));
        assert!(!public.verifies(&"1".repeat(64), &theirs), "another plugin");
        let other = SigningKey::read(&SigningKey::generate()).unwrap().verifying().unwrap();
        assert!(!other.verifies(&digest, &theirs), "another key");
        assert_eq!(VerifyingKey::read(&public.to_base64()), Ok(public.clone()));
        assert_eq!(VerifyingKey::read(&public.to_pem()), Ok(public));
        assert_eq!(Signature::read(&theirs.to_base64()), Ok(theirs));
    }

    #[test]
    fn what_is_no_key_and_no_signature_is_said() {
        for text in ["", "AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA", "?", PRIVATE] {
            assert_eq!(VerifyingKey::read(text), Err(SignatureError::PublicKey), "{text}");
        }
        assert!(SigningKey::read(PUBLIC).is_err() && SigningKey::read("").is_err());
        assert_eq!(Signature::read("AAAA"), Err(SignatureError::Signature));
    }
}
