//! What is hashed and what is signed: pure functions of bytes. The page `docs/history.md` says the same for whoever checks it
//! with tools of their own, so nothing here may change without a new word in the first line of what is hashed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crypto::signature::{Signature, SignatureError, SigningKey, VerifyingKey};
use crate::crypto::{hex, sha256};
use crate::model::{Instant, TenantId};
use crate::store::history::{Batch, DigestedBatch, HASH_BYTES, StoredEvent};

/// What an event's hash begins with.
const EVENT_FORMAT: &str = "rolecall history event 1";
/// What a batch's hash begins with.
const BATCH_FORMAT: &str = "rolecall history batch 1";
/// What a head's signed text begins with, and what an anchor calls itself.
pub const HEAD_FORMAT: &str = "rolecall history head 1";

/// Bytes on their way into a hash: every part says its length, so that no two sequences of parts give the same bytes.
struct Encoding(Vec<u8>);

impl Encoding {
    fn of(format: &str) -> Self {
        Self(Vec::new()).bytes(format.as_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    fn number(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self,
        }
    }

    fn hash(self) -> [u8; HASH_BYTES] {
        sha256(&self.0)
    }
}

/// The hash of an event as it is stored, under the number `seq`.
#[must_use]
pub fn digest_as(tenant: &TenantId, event: &StoredEvent, seq: i64) -> [u8; HASH_BYTES] {
    Encoding::of(EVENT_FORMAT)
        .bytes(tenant.as_str().as_bytes())
        .number(seq)
        .bytes(event.id.as_bytes())
        .number(event.at.0)
        .bytes(event.kind.as_bytes())
        .bytes(event.actor_kind.as_bytes())
        .bytes(event.actor_id.as_bytes())
        .optional(event.request_id.as_deref().map(str::as_bytes))
        .optional(event.account.as_deref().map(str::as_bytes))
        .bytes(event.data.as_bytes())
        .optional(event.personal.as_deref())
        .hash()
}

/// The hash of an event as it is stored.
#[must_use]
pub fn digest(tenant: &TenantId, event: &StoredEvent) -> [u8; HASH_BYTES] {
    digest_as(tenant, event, event.seq)
}

/// The hash of a batch: over its numbers, the hash of the one before and the hashes of its events.
#[must_use]
pub fn hash(tenant: &TenantId, batch: &Batch, previous: Option<&Batch>, digests: &[u8]) -> [u8; HASH_BYTES] {
    let none = [0; HASH_BYTES];
    Encoding::of(BATCH_FORMAT)
        .bytes(tenant.as_str().as_bytes())
        .number(batch.number)
        .number(batch.first)
        .number(batch.last)
        .number(batch.sealed.0)
        .bytes(previous.map_or(&none[..], |previous| &previous.hash))
        .bytes(digests)
        .hash()
}

/// The text that is signed for a head: lines that any tool can make.
fn head_text(tenant: &TenantId, batch: &Batch) -> String {
    let Batch { number, first, last, sealed, hash, .. } = batch;
    format!("{HEAD_FORMAT}\ntenant {tenant}\nbatch {number}\nfirst {first}\nlast {last}\nsealed {sealed}\nhash {}\n", hex(hash))
}

/// Whether a batch bears this key's signature.
#[must_use]
pub fn is_signed(key: &VerifyingKey, tenant: &TenantId, batch: &Batch) -> bool {
    Signature::from_bytes(&batch.signature).is_ok_and(|signature| key.verifies_text(&head_text(tenant, batch), &signature))
}

/// Why there is no batch.
#[derive(Debug, PartialEq, Eq)]
pub enum NotSealed {
    /// No event is there to be sealed.
    Nothing,
    /// The event with this number should be there.
    Gap(i64),
    /// The key does not sign.
    Key(SignatureError),
}

/// Seals the events behind a head, as far as they go without a gap.
///
/// # Errors
/// [`NotSealed`].
pub fn seal(
    key: &SigningKey,
    tenant: &TenantId,
    head: Option<&Batch>,
    events: &[StoredEvent],
    now: Instant,
) -> Result<DigestedBatch, NotSealed> {
    let first = head.map_or(1, |head| head.last + 1);
    let sealable = || events.iter().zip(first..).take_while(|(event, seq)| event.seq == *seq).map(|(event, _)| event);
    let Some(last) = sealable().last().map(|event| event.seq) else {
        return Err(if events.is_empty() { NotSealed::Nothing } else { NotSealed::Gap(first) });
    };
    let digests: Vec<u8> = sealable().flat_map(|event| digest(tenant, event)).collect();
    let mut batch = Batch {
        number: head.map_or(1, |head| head.number + 1),
        first,
        last,
        // As it is written in the signed text: to the millisecond.
        sealed: Instant(now.0 - now.0.rem_euclid(1_000)),
        hash: Vec::new(),
        signature: Vec::new(),
    };
    batch.hash = hash(tenant, &batch, head, &digests).into();
    let signature = key.sign_text(&head_text(tenant, &batch)).map_err(NotSealed::Key)?;
    batch.signature = signature.as_bytes().to_vec();
    Ok(DigestedBatch { batch, digests })
}

/// A signed head as it is given away, to be kept where nobody who can write to the database can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// `rolecall history head 1`.
    pub format: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The number of the batch.
    pub batch: i64,
    /// The number of its first event.
    pub first: i64,
    /// The number of its last event: what the anchor covers.
    pub last: i64,
    /// When it was sealed.
    pub sealed: Instant,
    /// The hash over everything up to the last event, in hexadecimal.
    pub hash: String,
    /// The Ed25519 public key that verifies the signature, its 32 bytes in base64.
    pub public_key: String,
    /// The signature, in base64.
    pub signature: String,
}

/// Why an anchor proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// Another format.
    #[error("it is no `{HEAD_FORMAT}`")]
    Format,
    /// A key or signature that is none.
    #[error(transparent)]
    Key(#[from] SignatureError),
    /// The signature is not of this text by this key.
    #[error("its signature is wrong: the file was altered, or signed with another key")]
    Signature,
}

impl Anchor {
    /// The anchor of a batch.
    #[must_use]
    pub fn of(key: &VerifyingKey, tenant: &TenantId, batch: &Batch) -> Self {
        use base64::Engine as _;
        Self {
            format: HEAD_FORMAT.into(),
            tenant: tenant.clone(),
            batch: batch.number,
            first: batch.first,
            last: batch.last,
            sealed: batch.sealed,
            hash: hex(&batch.hash),
            public_key: key.to_base64(),
            signature: base64::engine::general_purpose::STANDARD.encode(&batch.signature),
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { tenant, batch, first, last, sealed, hash, .. } = self;
        format!("{HEAD_FORMAT}\ntenant {tenant}\nbatch {batch}\nfirst {first}\nlast {last}\nsealed {sealed}\nhash {hash}\n")
    }

    /// Checks the signature by what the anchor holds alone. Whose the key is has to be known from elsewhere.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn check(&self) -> Result<(), AnchorError> {
        if self.format != HEAD_FORMAT {
            return Err(AnchorError::Format);
        }
        let (key, signature) = (VerifyingKey::read(&self.public_key)?, Signature::read(&self.signature)?);
        if key.verifies_text(&self.text(), &signature) { Ok(()) } else { Err(AnchorError::Signature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Keyring, SecretKey};

    fn event(seq: i64) -> StoredEvent {
        StoredEvent {
            seq,
            id: format!("id{seq}"),
            at: Instant(seq * 1_000),
            kind: "grant.added".into(),
            actor_kind: "worker".into(),
            actor_id: "host".into(),
            request_id: None,
            account: Some("ana".into()),
            data: "{}".into(),
            personal: Some(vec![1, 2, 3]),
        }
    }

    fn key() -> SigningKey {
        Keyring::new(SecretKey::from_bytes(&[7; 32]).unwrap()).history().unwrap()
    }

    #[test]
    fn the_encoding_is_the_one_that_the_page_gives() {
        // Computed once with another tool from the page's description: what was sealed years ago must verify for ever.
        let tenant = TenantId::from("acme");
        assert_eq!(hex(&digest(&tenant, &event(1))), "e30d5fd2296cd7f02bd6f3f1aa0b73efbf00a78abf36cf29d0df0248e47d1ac1");
        let batch = seal(&key(), &tenant, None, &[event(1)], Instant(1_790_000_000_123_456)).unwrap();
        assert_eq!(hex(&batch.batch.hash), "273441eabce4d59e29debbd9ee8a9d46f16ee407efcf1d07e010b581097f03c7");
        let anchor = Anchor::of(&key().verifying().unwrap(), &tenant, &batch.batch);
        assert_eq!(
            anchor.text(),
            "rolecall history head 1\ntenant acme\nbatch 1\nfirst 1\nlast 1\nsealed 2026-09-21T14:13:20.123Z\nhash 273441eabce4d59e29debbd9ee8a9d46f16ee407efcf1d07e010b581097f03c7\n"
        );
    }

    #[test]
    fn every_column_and_whether_it_is_there_counts() {
        let (tenant, one) = (TenantId::from("acme"), event(1));
        let other = |change: fn(&mut StoredEvent)| {
            let mut event = one.clone();
            change(&mut event);
            digest(&tenant, &event)
        };
        let digests = [
            digest(&tenant, &one),
            digest(&TenantId::from("acm"), &one),
            other(|event| event.seq = 2),
            other(|event| event.id = "id".into()),
            other(|event| event.at = Instant(1)),
            other(|event| event.kind = "grant.adde".into()),
            other(|event| event.actor_kind = "w".into()),
            other(|event| event.actor_id = "h".into()),
            other(|event| event.request_id = Some(String::new())),
            other(|event| event.account = None),
            other(|event| (event.request_id, event.account) = (Some("ana".into()), None)),
            other(|event| event.data = "{ }".into()),
            other(|event| event.personal = None),
            other(|event| event.personal = Some(vec![1, 2, 4])),
        ];
        let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn nothing_is_sealed_across_a_gap() {
        let tenant = TenantId::from("acme");
        assert_eq!(seal(&key(), &tenant, None, &[], Instant(0)).unwrap_err(), NotSealed::Nothing);
        assert_eq!(seal(&key(), &tenant, None, &[event(2)], Instant(0)).unwrap_err(), NotSealed::Gap(1));
        let first = seal(&key(), &tenant, None, &[event(1), event(2), event(4)], Instant(0)).unwrap();
        assert_eq!((first.batch.first, first.batch.last, first.digests.len()), (1, 2, 64));
        assert_eq!(seal(&key(), &tenant, Some(&first.batch), &[event(4)], Instant(0)).unwrap_err(), NotSealed::Gap(3));
    }

    #[test]
    fn an_anchor_is_checked_without_a_database() {
        let tenant = TenantId::from("acme");
        let batch = seal(&key(), &tenant, None, &[event(1)], Instant(1_790_000_000_123_456)).unwrap().batch;
        assert!(is_signed(&key().verifying().unwrap(), &tenant, &batch));
        let anchor = Anchor::of(&key().verifying().unwrap(), &tenant, &batch);
        let carried: Anchor = serde_json::from_str(&serde_json::to_string(&anchor).unwrap()).unwrap();
        assert_eq!((carried.check(), &carried), (Ok(()), &anchor));
        assert_eq!(Anchor { last: 2, ..anchor.clone() }.check(), Err(AnchorError::Signature));
        assert_eq!(Anchor { sealed: anchor.sealed.plus_seconds(1), ..anchor.clone() }.check(), Err(AnchorError::Signature));
        assert_eq!(Anchor { format: "x".into(), ..anchor.clone() }.check(), Err(AnchorError::Format));
        assert_eq!(Anchor { signature: "x".into(), ..anchor }.check(), Err(AnchorError::Key(SignatureError::Signature)));
    }
}
