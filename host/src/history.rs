//! History, sealed: numbered events become hash-linked, signed batches, and what stood from when to when is told from them.
//!
//! `chain.rs` says what is hashed and signed, `standing.rs` what events make of grants and accounts, `verify.rs` what is compared:
//! all three are pure. This file carries between them and the store. Knows nothing of HTTP and of how events come about.
//!
//! Sealing holds up nobody: what is to be sealed is read and hashed outside of any transaction that writes (numbered events never
//! change), and of several processes that seal the same batch the first one keeps it.

pub mod chain;
pub mod standing;
pub mod verify;

use std::collections::BTreeSet;

use crate::crypto::Keyring;
use crate::crypto::signature::SignatureError;
use crate::model::{AccountId, Instant, TenantId};
use crate::store::history::{Batch, Evidence, Standing, Start, StoredEvent, VerifyBounds};
use crate::store::{Store, StoreError};

use self::chain::{Anchor, NotSealed};
use self::verify::{Finding, Verified};

/// The most events of one batch: bounds what is hashed and kept at once.
pub const BATCH_EVENTS: i64 = 1_000;
/// The most bytes that the events of one batch have together: an event that has more by itself is a batch of its own.
pub const BATCH_BYTES_LIMIT: i64 = 4 << 20;
/// Batches of a tenant that are sealed in one go, before others have their turn.
pub const BATCHES_AT_ONCE: usize = 10;
/// The most events that one request verifies.
pub const VERIFY_EVENTS: i64 = 5_000;
/// The most bytes of events that one request verifies: the largest batches four at a time; an event that has more by itself is a batch of its own.
pub const VERIFY_BYTES: i64 = 16 << 20;
/// The most batches that one request verifies.
pub const VERIFY_BATCHES: i64 = 500;

/// Why history could not be sealed, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing is sealed across a gap: it would hide it.
    #[error("history of `{tenant}` can't be sealed: event {seq} is missing. Run `rolecall history verify --tenant {tenant}`")]
    Gap {
        /// The tenant.
        tenant: TenantId,
        /// The event that should be there.
        seq: i64,
    },
    /// The installation's key does not sign.
    #[error("the head of a history can't be signed")]
    Key(#[from] SignatureError),
}

/// Seals what is numbered of all tenants, a few batches each. Returns whether there may be more; a tenant whose history has a
/// gap is said in the log and keeps nobody else waiting.
///
/// # Errors
/// The store's.
pub async fn seal_all(store: &dyn Store, keyring: &Keyring, now: Instant) -> Result<bool, HistoryError> {
    let mut more = false;
    for tenant in store.unsealed().await? {
        match seal(store, keyring, &tenant, now, BATCH_EVENTS).await {
            Ok(again) => more |= again,
            Err(error @ HistoryError::Gap { .. }) => tracing::error!(%tenant, %error, "history was altered"),
            Err(error) => return Err(error),
        }
    }
    Ok(more)
}

/// Seals what is numbered of a tenant, at most [`BATCHES_AT_ONCE`] batches of at most `limit` events and [`BATCH_BYTES_LIMIT`] bytes. Returns whether there may be more.
///
/// # Errors
/// The store's, and [`HistoryError::Gap`].
pub async fn seal(store: &dyn Store, keyring: &Keyring, tenant: &TenantId, now: Instant, limit: i64) -> Result<bool, HistoryError> {
    let key = keyring.history()?;
    for _ in 0..BATCHES_AT_ONCE {
        let unsealed = store.next_batch(tenant, limit, BATCH_BYTES_LIMIT).await?;
        let batch = match chain::seal(&key, tenant, unsealed.head.as_ref(), &unsealed.events, now) {
            Ok(batch) => batch,
            Err(NotSealed::Nothing) => return Ok(false),
            Err(NotSealed::Gap(seq)) => return Err(HistoryError::Gap { tenant: tenant.clone(), seq }),
            Err(NotSealed::Key(error)) => return Err(error.into()),
        };
        let events: Vec<_> = unsealed.events.into_iter().filter(|event| event.seq <= batch.batch.last).collect();
        let latest = store.latest_standings(tenant, &standing::keys(&events), batch.batch.first).await?;
        let made = standing::project(latest, &events);
        let sealed = store.seal_batch(tenant, &batch, &made.began, &made.ended).await?;
        if sealed && !unsealed.more {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Seals what there is for somebody who asks about it now: numbered first, where that has not been done. What a gap leaves
/// unsealed is told by verifying.
///
/// # Errors
/// The store's.
pub async fn catch_up(store: &dyn Store, keyring: &Keyring, tenant: &TenantId, now: Instant) -> Result<Option<Batch>, HistoryError> {
    store.number_events().await?;
    match seal(store, keyring, tenant, now, BATCH_EVENTS).await {
        Ok(_) | Err(HistoryError::Gap { .. }) => Ok(store.last_batch(tenant).await?),
        Err(error) => Err(error),
    }
}

/// The signed head of a tenant's history; `None` while nothing is sealed.
///
/// # Errors
/// The store's.
pub async fn head(store: &dyn Store, keyring: &Keyring, tenant: &TenantId, now: Instant) -> Result<Option<Anchor>, HistoryError> {
    let key = keyring.history()?.verifying()?;
    Ok(catch_up(store, keyring, tenant, now).await?.map(|batch| Anchor::of(&key, tenant, &batch)))
}

/// Verifies a bounded part of a tenant's history, and with the last part what is behind it.
///
/// # Errors
/// The store's.
pub async fn verify(
    store: &dyn Store,
    keyring: &Keyring,
    tenant: &TenantId,
    start: Start,
    bounds: VerifyBounds,
) -> Result<Verified, HistoryError> {
    let key = keyring.history()?.verifying()?;
    let evidence = store.evidence(tenant, start, bounds).await?;
    let (latest, ending) = around(store, tenant, &evidence).await?;
    let tenant = tenant.clone();
    // Hashing thousands of events takes long enough to keep others waiting.
    let verified = tokio::task::spawn_blocking(move || verify::verify(&key, &tenant, &evidence, latest, &ending)).await;
    verified.map_err(|_| StoreError::Corrupt("verifying ended abruptly".into()).into())
}

/// What stood when the range began, and the events outside of it that ended what began in it.
async fn around(store: &dyn Store, tenant: &TenantId, evidence: &Evidence) -> Result<(Vec<Standing>, Vec<StoredEvent>), StoreError> {
    let Some(first) = evidence.events.first().map(|event| event.seq) else { return Ok((Vec::new(), Vec::new())) };
    let last = evidence.events.last().map_or(first, |event| event.seq);
    let mut keys: BTreeSet<(AccountId, String)> = standing::keys(&evidence.events).into_iter().collect();
    keys.extend(evidence.standings.iter().map(standing::key));
    let latest = store.latest_standings(tenant, &keys.into_iter().collect::<Vec<_>>(), first).await?;
    let outside: BTreeSet<i64> = evidence.standings.iter().filter_map(|standing| standing.until_seq).filter(|seq| *seq > last).collect();
    let ending = store.events_at(tenant, &outside.into_iter().collect::<Vec<_>>()).await?;
    Ok((latest, ending))
}

/// Compares an anchor that was kept outside with what is stored.
///
/// # Errors
/// The store's.
pub async fn compare(store: &dyn Store, keyring: &Keyring, tenant: &TenantId, anchor: &Anchor) -> Result<Vec<Finding>, HistoryError> {
    let key = keyring.history()?.verifying()?;
    let stored: Option<Batch> = store.batch(tenant, anchor.batch).await?;
    Ok(verify::compare(&key, tenant, anchor, stored.as_ref()))
}
