//! Credentials as they were last read. One process writes the file, through one writer, and triggers count each change of a
//! credential: until the count is another, a second look would find the same row, and a trip to a reader's thread is most of what a
//! small read costs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::ConnectionCredential;

/// The most credentials that are remembered: some hundred bytes each. Past it all are forgotten.
const REMEMBERED_LIMIT: usize = 10_000;

/// Gives how often credentials have changed.
pub(super) const CHANGES: &str = "SELECT changes FROM credential_changes";

/// What was read since the writer's epoch began.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Read>);

#[derive(Default)]
struct Read {
    epoch: u64,
    by_hash: HashMap<String, ConnectionCredential>,
}

impl Remembered {
    /// The credential, if it was read in this epoch. What is remembered under a hash was found by
    /// it; that it is this hash is still the caller's to compare, in constant time.
    pub(super) fn get(&self, epoch: u64, hash: &str) -> Option<ConnectionCredential> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if read.epoch == epoch { read.by_hash.get(hash).cloned() } else { None }
    }

    /// Remembers what was read when this epoch had begun, and perhaps a later one.
    pub(super) fn put(&self, epoch: u64, hash: &str, credential: &ConnectionCredential) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if read.epoch > epoch {
            return;
        }
        if read.epoch < epoch || read.by_hash.len() >= REMEMBERED_LIMIT {
            *read = Read { epoch, by_hash: HashMap::new() };
        }
        // What is active may change while credentials don't.
        read.by_hash.insert(hash.to_owned(), ConnectionCredential { revision: None, ..credential.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConnectionState;
    use crate::store::CredentialKind;

    fn credential(id: &str) -> ConnectionCredential {
        ConnectionCredential {
            tenant: "t".into(),
            connection: "c".into(),
            state: ConnectionState::Active,
            token_id: id.into(),
            kind: CredentialKind::Bearer,
            hash: id.into(),
            revision: None,
            expires: None,
            last_used: None,
        }
    }

    fn id(found: Option<ConnectionCredential>) -> Option<String> {
        found.map(|credential| credential.token_id)
    }

    #[test]
    fn what_was_read_before_a_write_is_forgotten_with_it() {
        let remembered = Remembered::default();
        assert_eq!(id(remembered.get(0, "a")), None);
        remembered.put(0, "a", &credential("a"));
        assert_eq!(id(remembered.get(0, "a")), Some("a".into()));
        assert_eq!(id(remembered.get(0, "b")), None);
        assert_eq!(id(remembered.get(1, "a")), None, "something was written");
        remembered.put(1, "b", &credential("b"));
        assert_eq!((id(remembered.get(1, "a")), id(remembered.get(1, "b"))), (None, Some("b".into())));
        // A read that began before the write and came back after it.
        remembered.put(0, "a", &credential("a"));
        assert_eq!(id(remembered.get(1, "a")), None);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let remembered = Remembered::default();
        for number in 0..=REMEMBERED_LIMIT {
            let hash = number.to_string();
            remembered.put(0, &hash, &credential(&hash));
        }
        assert_eq!(id(remembered.get(0, "0")), None);
        assert_eq!(id(remembered.get(0, &REMEMBERED_LIMIT.to_string())), Some(REMEMBERED_LIMIT.to_string()));
    }
}
