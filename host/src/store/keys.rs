//! The keys between the master key and what is sealed: purposes, and tenants' keys kept opened. Knows no rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Result, StoreError};
use crate::crypto::{CryptoError, Keyring, SecretKey};
use crate::model::{AccountId, ConnectionId, ResourceId, TenantId};

/// Opened tenants' keys. One is 32 bytes and tenants are never forgotten, so this grows with their number alone.
pub(super) struct Keys {
    keyring: Arc<Keyring>,
    tenants: Mutex<HashMap<TenantId, SecretKey>>,
}

impl Keys {
    pub(super) fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, tenants: Mutex::default() }
    }

    /// The keyed hash under which a token is stored and found.
    pub(super) fn token_hash(&self, token: &str) -> String {
        self.keyring.token_hash(token)
    }

    /// A new tenant's key, sealed under the master key.
    pub(super) fn new_tenant_key(&self, tenant: &TenantId) -> Result<Vec<u8>> {
        let (_, sealed) = self.keyring.master().new_sealed_key(&tenant_purpose(tenant)).map_err(unsealable)?;
        Ok(sealed)
    }

    /// The tenant's key if it was opened before.
    pub(super) fn opened(&self, tenant: &TenantId) -> Option<SecretKey> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// Opens a tenant's key and keeps it.
    pub(super) fn open(&self, tenant: &TenantId, sealed: &[u8]) -> Result<SecretKey> {
        let key = self.keyring.master().open_key(&tenant_purpose(tenant), sealed).map_err(unsealable)?;
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), key.clone());
        Ok(key)
    }
}

fn tenant_purpose(tenant: &TenantId) -> String {
    format!("tenant key of {tenant}")
}

/// What a person's key is sealed for under the tenant's key.
pub(super) fn person_purpose(tenant: &TenantId, account: &AccountId) -> String {
    format!("person key of {tenant}/{account}")
}

/// What an event's personal values are sealed for under the person's key.
pub(super) fn event_purpose(tenant: &TenantId, event: &str) -> String {
    format!("event of {tenant}/{event}")
}

/// What a target alone is told with an event, sealed under the person's key.
pub(super) fn delivery_purpose(tenant: &TenantId, event: &str) -> String {
    format!("delivery of {tenant}/{event}")
}

/// What a secret of the tenant (a target's) is sealed for under the tenant's key.
pub(super) fn secret_purpose(tenant: &TenantId) -> String {
    format!("secret of {tenant}")
}

/// What a part of a plugin's failure is sealed for under the tenant's key.
pub(super) fn failure_purpose(tenant: &TenantId, likeness: &str, part: &str) -> String {
    format!("plugin failure of {tenant}/{likeness}/{part}")
}

/// What a line of a reconciliation is sealed for under the tenant's key.
pub(super) fn drift_purpose(tenant: &TenantId, reconciliation: &str, line: i64) -> String {
    format!("drift of {tenant}/{reconciliation}/{line}")
}

/// What a plugin's line about a person is sealed for under the tenant's key.
pub(super) fn line_purpose(tenant: &TenantId, connection: &ConnectionId, user: &ResourceId) -> String {
    format!("plugin line of {tenant}/{connection}/{user}")
}

/// A sealed value that can't be opened: another master key than the one that made the database, or damage.
pub(super) fn unsealable(error: CryptoError) -> StoreError {
    StoreError::Corrupt(format!("{error}: is this the master key that the database was made with?"))
}
