//! What a backup says of itself: **pure**. The head of the file, and whether it may be restored.
//!
//! The head has a fixed length, so that it can be written once what follows it is known, and begins with words that people can read.

use serde::{Deserialize, Serialize};

use crate::crypto::Keyring;
use crate::model::Instant;
use crate::store::copy::{Counts, DatabaseKind};

/// The bytes of the head.
pub const HEAD_BYTES: usize = 4_096;
/// The form of the file that is written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// What the file begins with.
const MAGIC: &str = "rolecall backup\n";
/// What the manifest is tagged as.
const TAGGED_AS: &str = "manifest of a backup";

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the file.
    pub format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// Which database it is of; it goes back into one of the kind.
    pub database: DatabaseKind,
    /// The number of the last migration that the database had seen.
    pub schema: i64,
    /// When it was begun: what was written since is not in it.
    pub begun: Instant,
    /// How much is in it.
    pub counts: Counts,
    /// The bytes that follow the head.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
    /// The fingerprint of the master key that it needs. The key itself is not in it.
    pub master_key: String,
}

/// Why a file is no backup that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is something else.
    #[error("it is no backup of Rolecall's")]
    NotOne,
    /// Another version wrote it.
    #[error("it was written by a newer Rolecall ({program}), in format {format}: restore it with that version")]
    Format {
        /// The form.
        format: u32,
        /// The version.
        program: String,
    },
    /// Its head was altered.
    #[error("its head was altered, or it was written with another master key than it says: take another backup")]
    Altered,
    /// What follows the head is not what was written.
    #[error("it was altered or cut off: it holds {found}, and {wrote} were written. Take another backup")]
    Digest {
        /// What is there.
        found: String,
        /// What should be.
        wrote: String,
    },
    /// Its database was migrated further than this program knows.
    #[error("its database has schema {schema} and this program knows {known}: restore it with Rolecall {program} or newer")]
    Newer {
        /// The backup's.
        schema: i64,
        /// The program's.
        known: i64,
        /// The version that wrote it.
        program: String,
    },
    /// The other database.
    #[error("it is of {} and the database is {}: a backup goes back into the kind it was made of", of.name(), into.name())]
    Kind {
        /// The backup's.
        of: DatabaseKind,
        /// The target's.
        into: DatabaseKind,
    },
    /// Another master key.
    #[error(
        "it needs the master key with fingerprint {needs}, and the one here has {here}: put the right one into the data directory (`master.key`) or ROLECALL_MASTER_KEY"
    )]
    Key {
        /// The backup's.
        needs: String,
        /// The one that is there.
        here: String,
    },
}

impl Manifest {
    /// The head of a file.
    ///
    /// # Errors
    /// When it can't be written down: never for a manifest of ours.
    pub fn head(&self, keyring: &Keyring) -> std::io::Result<Vec<u8>> {
        let text = serde_json::to_string(self)?;
        let tag = crate::crypto::hex(&keyring.backups().tag(TAGGED_AS, text.as_bytes()));
        let mut head = format!("{MAGIC}{text}\n{tag}\n").into_bytes();
        if head.len() >= HEAD_BYTES {
            return Err(std::io::Error::other("the manifest is too long"));
        }
        head.resize(HEAD_BYTES - 1, b' ');
        head.push(b'\n');
        Ok(head)
    }

    /// Reads a head. With a key, whether the head is as it was written; without one, only whether it can be read.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn read(head: &[u8], keyring: Option<&Keyring>) -> Result<Self, Unfit> {
        let text = std::str::from_utf8(head).ok().and_then(|head| head.strip_prefix(MAGIC)).ok_or(Unfit::NotOne)?;
        let mut lines = text.lines();
        let (manifest, tag) = lines.next().zip(lines.next()).ok_or(Unfit::NotOne)?;
        // A newer form may have other fields: it says so before anything else is asked of it.
        let value: serde_json::Value = serde_json::from_str(manifest).map_err(|_| Unfit::NotOne)?;
        let format = value["format"].as_u64().and_then(|format| u32::try_from(format).ok()).ok_or(Unfit::NotOne)?;
        if format > FORMAT {
            let program = value["program"].as_str().unwrap_or("an unknown version").chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(Unfit::Format { format, program });
        }
        let read: Self = serde_json::from_value(value).map_err(|_| Unfit::NotOne)?;
        if let Some(keyring) = keyring.filter(|keyring| keyring.fingerprint() == read.master_key) {
            let made = crate::crypto::hex(&keyring.backups().tag(TAGGED_AS, manifest.as_bytes()));
            if !crate::crypto::same(&made, tag.trim_end()) {
                return Err(Unfit::Altered);
            }
        }
        Ok(read)
    }

    /// Whether what follows the head is what was written.
    ///
    /// # Errors
    /// [`Unfit::Digest`].
    pub fn check_payload(&self, bytes: u64, sha256: &str) -> Result<(), Unfit> {
        if (bytes, sha256) == (self.bytes, self.sha256.as_str()) {
            return Ok(());
        }
        let words = |bytes: u64, sha256: &str| format!("{bytes} bytes with SHA-256 {sha256}");
        Err(Unfit::Digest { found: words(bytes, sha256), wrote: words(self.bytes, &self.sha256) })
    }

    /// Whether it may be restored here.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check_target(&self, into: DatabaseKind, known: i64, keyring: &Keyring) -> Result<(), Unfit> {
        if self.database != into {
            return Err(Unfit::Kind { of: self.database, into });
        }
        if self.schema > known {
            return Err(Unfit::Newer { schema: self.schema, known, program: self.program.clone() });
        }
        let here = keyring.fingerprint();
        if self.master_key != here {
            return Err(Unfit::Key { needs: self.master_key.clone(), here });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    fn manifest(keyring: &Keyring) -> Manifest {
        Manifest {
            format: FORMAT,
            program: "0.1.0".into(),
            database: DatabaseKind::Sqlite,
            schema: 14,
            begun: Instant(7_000_000),
            counts: Counts { tenants: 1, people: 2, ..Counts::default() },
            bytes: 5,
            sha256: "ab".repeat(32),
            master_key: keyring.fingerprint(),
        }
    }

    #[test]
    fn what_was_written_is_read_and_shows_no_key() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let keyring = Keyring::new(key);
        let head = manifest(&keyring).head(&keyring).unwrap();
        assert_eq!(head.len(), HEAD_BYTES);
        assert!(head.starts_with(b"rolecall backup\n{\"format\":1,"), "people can read it");
        assert!(!String::from_utf8(head.clone()).unwrap().contains(&"07".repeat(32)));
        for with in [Some(&keyring), None] {
            assert_eq!(Manifest::read(&head, with), Ok(manifest(&keyring)));
        }
        assert_eq!(keyring.fingerprint().len(), 16);
    }

    #[test]
    fn an_altered_head_is_refused_where_the_key_is_known() {
        let keyring = Keyring::new(SecretKey::random());
        let head = String::from_utf8(manifest(&keyring).head(&keyring).unwrap()).unwrap();
        for (from, to) in [("\"schema\":14", "\"schema\":13"), ("\"people\":2", "\"people\":3"), ("\"bytes\":5", "\"bytes\":6")] {
            let altered = head.replace(from, to);
            assert_ne!(altered, head);
            assert_eq!(Manifest::read(altered.as_bytes(), Some(&keyring)), Err(Unfit::Altered), "{from}");
        }
        for other in ["", "PGDMP", "rolecall backup\n", "rolecall backup\n{}\n\n", "rolecall backup\n[1]\nx\n"] {
            assert_eq!(Manifest::read(other.as_bytes(), None), Err(Unfit::NotOne), "{other}");
        }
        let newer = head.replace("\"format\":1", "\"format\":2");
        assert_eq!(Manifest::read(newer.as_bytes(), Some(&keyring)), Err(Unfit::Format { format: 2, program: "0.1.0".into() }));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_reason() {
        let (keyring, other) = (Keyring::new(SecretKey::random()), Keyring::new(SecretKey::random()));
        let manifest = manifest(&keyring);
        assert_eq!(manifest.check_target(DatabaseKind::Sqlite, 14, &keyring), Ok(()));
        assert_eq!(manifest.check_target(DatabaseKind::Sqlite, 20, &keyring), Ok(()), "migrations run forward");
        let cases = [
            (manifest.check_target(DatabaseKind::Postgres, 14, &keyring), "it is of SQLite and the database is PostgreSQL"),
            (manifest.check_target(DatabaseKind::Sqlite, 13, &keyring), "its database has schema 14 and this program knows 13"),
            (manifest.check_target(DatabaseKind::Sqlite, 14, &other), "it needs the master key with fingerprint"),
            (manifest.check_payload(5, "00"), "it was altered or cut off: it holds 5 bytes"),
            (manifest.check_payload(4, &manifest.sha256), "it was altered or cut off: it holds 4 bytes"),
        ];
        for (refused, words) in cases {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.starts_with(words), "{refused}");
        }
        assert_eq!(manifest.check_payload(5, &manifest.sha256), Ok(()));
    }
}
