//! Cursors (RFC 9865): what one holds, as bytes.
//!
//! Owns the payload and what a cursor may be used for. Signing it, so that nobody can make one up, is the caller's:
//! `text(payload ‖ signature)` is what clients get.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::filter::{Filter, Literal, Test};
use crate::path::AttrPath;
use crate::sort::{SORT_TEXT_CHARS_LIMIT, Sort};
use crate::{ResourceKind, ScimError};

/// The longest sort key in a cursor in bytes: one letter and [`SORT_TEXT_CHARS_LIMIT`] characters.
pub const SORT_KEY_BYTES_LIMIT: usize = 1 + 4 * SORT_TEXT_CHARS_LIMIT;
/// The longest id in a cursor in bytes: identifiers are UUIDs, and more than that is none of ours.
pub const CURSOR_ID_BYTES_LIMIT: usize = 128;
/// The longest cursor in characters, with the caller's signature: it has to fit into a URL.
pub const CURSOR_CHARS_LIMIT: usize = 2_048;

/// The format of the payload. Cursors of another version are refused: a client starts again.
const VERSION: u8 = 1;
const HAS_SORT_KEY: u8 = 1;
const BACKWARDS: u8 = 2;
const USER: u8 = 4;
const GROUP: u8 = 8;

/// Where a page starts, and of which question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What was asked, see [`question()`].
    pub question: u64,
    /// When the cursor was made, in seconds since 1970.
    pub issued_s: i64,
    /// Where to go on.
    pub position: Position,
}

/// A place in an ordered list of resources that stays right while resources come and go: next to a resource that was
/// seen, whether it is still there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Towards the start of the list (`previousCursor`).
    pub backwards: bool,
    /// The kind of the resource, where a list has several.
    pub kind: Option<ResourceKind>,
    /// The resource's sort key, see [`crate::sort::SortKey::to_text`].
    pub sort_key: Option<String>,
    /// The resource's id.
    pub id: String,
}

impl Cursor {
    /// The payload.
    ///
    /// # Errors
    /// 400 `invalidCursor` when the id or the sort key are longer than they can be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ScimError> {
        let Position { backwards, kind, sort_key, id } = &self.position;
        let sort_key_bytes = sort_key.as_deref().unwrap_or_default().as_bytes();
        if sort_key_bytes.len() > SORT_KEY_BYTES_LIMIT || id.len() > CURSOR_ID_BYTES_LIMIT {
            return Err(invalid());
        }
        let mut flags = if sort_key.is_some() { HAS_SORT_KEY } else { 0 };
        flags |= if *backwards { BACKWARDS } else { 0 };
        flags |= match kind {
            None => 0,
            Some(ResourceKind::User) => USER,
            Some(ResourceKind::Group) => GROUP,
        };
        let length = u16::try_from(sort_key_bytes.len()).map_err(|_| invalid())?;
        let mut bytes = vec![VERSION, flags];
        bytes.extend(self.question.to_be_bytes());
        bytes.extend(self.issued_s.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(sort_key_bytes);
        bytes.extend(id.as_bytes());
        Ok(bytes)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// 400 `invalidCursor`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ScimError> {
        Self::read(bytes).ok_or_else(invalid)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[version, flags], rest) = bytes.split_first_chunk()?;
        let (question, rest) = rest.split_first_chunk()?;
        let (issued_s, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sort_key, id) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let kind = match flags & !(HAS_SORT_KEY | BACKWARDS) {
            0 => None,
            USER => Some(ResourceKind::User),
            GROUP => Some(ResourceKind::Group),
            _ => return None,
        };
        let sort_key = match (flags & HAS_SORT_KEY != 0, sort_key) {
            (true, sort_key) if sort_key.len() <= SORT_KEY_BYTES_LIMIT => Some(String::from_utf8(sort_key.to_vec()).ok()?),
            (false, []) => None,
            _ => return None,
        };
        if version != VERSION || id.len() > CURSOR_ID_BYTES_LIMIT {
            return None;
        }
        let id = String::from_utf8(id.to_vec()).ok()?;
        let position = Position { backwards: flags & BACKWARDS != 0, kind, sort_key, id };
        Some(Self { question: u64::from_be_bytes(*question), issued_s: i64::from_be_bytes(*issued_s), position })
    }

    /// Whether it may be used for a question at an instant (seconds since 1970).
    ///
    /// # Errors
    /// 400 `invalidCursor` for another question than it was given for, `expiredCursor` past `timeout_s`.
    pub fn check(&self, question: u64, now_s: i64, timeout_s: i64) -> Result<(), ScimError> {
        if self.question != question {
            return Err(ScimError::invalid_cursor(
                "the cursor belongs to another query: send it with the same `filter`, `sortBy` and `sortOrder` to the same endpoint",
            ));
        }
        if now_s.saturating_sub(self.issued_s) > timeout_s {
            return Err(ScimError::expired_cursor(format!("the cursor is older than {timeout_s} s: start again with an empty `cursor`")));
        }
        Ok(())
    }
}

fn invalid() -> ScimError {
    ScimError::invalid_cursor("the cursor is none of this server's: start with an empty `cursor`, then send `nextCursor` as it is")
}

/// Bytes as a cursor's text, of the characters that RFC 9865 §2 allows.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a cursor's text.
///
/// # Errors
/// 400 `invalidCursor` for what is no such text or longer than [`CURSOR_CHARS_LIMIT`].
pub fn bytes(text: &str) -> Result<Vec<u8>, ScimError> {
    if text.len() > CURSOR_CHARS_LIMIT {
        return Err(invalid());
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())
}

/// A digest of what was asked: a cursor is good for one question alone. The case of names makes no difference.
///
/// It keeps clients from mistakes. Who finds two questions with one digest gains nothing: either can be asked anyway.
#[must_use]
pub fn question(kinds: &[ResourceKind], filter: Option<&Filter>, sort: Option<&Sort>) -> u64 {
    let mut digest = Digest::default();
    kinds.iter().for_each(|kind| digest.word(kind.name()));
    if let Some(filter) = filter {
        digest.word("filter");
        digest.filter(filter);
    }
    if let Some(Sort { path, descending }) = sort {
        digest.word(if *descending { "descending" } else { "ascending" });
        digest.path(path);
    }
    digest.0
}

/// FNV-1a, which is the same in every version and on every machine.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// A word and its end: no byte of UTF-8 is 255.
    fn word(&mut self, word: &str) {
        word.bytes().chain([u8::MAX]).for_each(|byte| self.byte(byte));
    }

    fn name(&mut self, name: &str) {
        self.word(&name.to_ascii_lowercase());
    }

    fn path(&mut self, AttrPath { urn, name, sub }: &AttrPath) {
        self.name(urn.as_deref().unwrap_or_default());
        self.name(name);
        self.name(sub.as_deref().unwrap_or_default());
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::And(left, right) | Filter::Or(left, right) => {
                self.word(if matches!(filter, Filter::And(..)) { "and" } else { "or" });
                self.filter(left);
                self.filter(right);
            }
            Filter::Not(inner) => {
                self.word("not");
                self.filter(inner);
            }
            Filter::Test(path, test) => {
                self.word("test");
                self.path(path);
                self.test(test);
            }
            Filter::Values { attribute, filter, then } => {
                self.word("values");
                self.path(attribute);
                self.filter(filter);
                if let Some((sub, test)) = then {
                    self.name(sub);
                    self.test(test);
                }
                self.word("end");
            }
        }
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::Present => self.word("pr"),
            Test::Compare(op, literal) => {
                self.word(op.word());
                match literal {
                    Literal::Text(text) => self.word(&format!("\"{text}")),
                    other => self.word(&other.to_string()),
                }
            }
        }
    }
}
