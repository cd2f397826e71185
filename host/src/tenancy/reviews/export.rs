//! Access reviews for auditors: as JSON Lines and as CSV that no spreadsheet takes for formulas, each with a last line that signs all
//! before it. Pure: pages are read elsewhere.

use serde_json::{Value, json};

use crate::crypto::Hasher;
use crate::crypto::signature::{Signature, SignatureError, SigningKey, VerifyingKey};
use crate::model::{Instant, Reason, Review, ReviewLine, TenantId};
use crate::spreadsheet::{as_it_was, row};

/// What the last line of a CSV file begins with.
const SIGNED: &str = "#signed";
/// The columns of CSV.
const COLUMNS: [&str; 22] = [
    "tenant",
    "review",
    "review_name",
    "line",
    "account",
    "user_name",
    "role",
    "reviewer",
    "decision",
    "decided",
    "decided_by",
    "reason",
    "instead",
    "outcome",
    "exception",
    "since",
    "why",
    "last_change",
    "privileged",
    "peers",
    "connection",
    "reviewer_by",
];

/// How a review is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, every cell quoted.
    Csv,
    /// One JSON document a line.
    Json,
}

/// Why a file is not what was exported.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// The last line is none that signs: cut off, or no export.
    #[error("the file has no signature in its last line: it was cut off, or is no export of a review")]
    Unsigned,
    /// Something was changed.
    #[error("the file is not what was signed: something in it was changed")]
    Changed,
    /// Signed by somebody else.
    #[error("the signature is not this key's")]
    AnotherKey,
}

/// An export on its way: what is written is hashed.
pub struct Export {
    format: Format,
    tenant: TenantId,
    review: Review,
    hasher: Hasher,
}

impl Export {
    /// An export of a review, and its first line.
    #[must_use]
    pub fn begin(format: Format, tenant: TenantId, review: Review, at: Instant) -> (Self, String) {
        let mut export = Self { format, tenant, review, hasher: Hasher::default() };
        let first = match format {
            Format::Csv => row(&COLUMNS),
            Format::Json => line_of(&json!({"tenant": export.tenant, "review": export.review, "exported": at})),
        };
        (export.hasher).update(first.as_bytes());
        (export, first)
    }

    /// The next lines.
    #[must_use]
    pub fn lines(&mut self, lines: &[ReviewLine]) -> String {
        let text: String = match self.format {
            Format::Csv => lines.iter().map(|line| row(&cells(&self.tenant, &self.review, line))).collect(),
            Format::Json => lines.iter().map(|line| line_of(&json!(line))).collect(),
        };
        self.hasher.update(text.as_bytes());
        text
    }

    /// The last line, which signs the others.
    ///
    /// # Errors
    /// Never for a key that could be made.
    pub fn end(self, key: &SigningKey) -> Result<String, SignatureError> {
        last_line(self.format, &self.hasher.finish(), key)
    }
}

/// The line that signs a digest.
fn last_line(format: Format, digest: &str, key: &SigningKey) -> Result<String, SignatureError> {
    let signature = key.sign_text(&signed_text(digest))?.to_base64();
    let id = key.verifying()?.id();
    Ok(match format {
        Format::Csv => row(&[SIGNED, digest, &id, &signature]),
        Format::Json => line_of(&json!({"signed": {"sha256": digest, "key": id, "signature": signature}})),
    })
}

/// What is signed of an export: `openssl pkeyutl -verify -rawin` takes it as well.
#[must_use]
pub fn signed_text(digest: &str) -> String {
    format!("rolecall review sha256:{digest}\n")
}

/// Checks an export. How many lines stand before the signature, the first one not counted.
///
/// # Errors
/// [`Invalid`].
pub fn verify(file: &[u8], key: &VerifyingKey) -> Result<usize, Invalid> {
    let body = file.strip_suffix(b"\n").ok_or(Invalid::Unsigned)?;
    let start = body.iter().rposition(|byte| *byte == b'\n').ok_or(Invalid::Unsigned)? + 1;
    let (signed, last) = (&file[..start], std::str::from_utf8(&body[start..]).map_err(|_| Invalid::Unsigned)?);
    let (digest, signature) = trailer(last.trim_end_matches('\r')).ok_or(Invalid::Unsigned)?;
    let mut hasher = Hasher::default();
    hasher.update(signed);
    if hasher.finish() != digest {
        return Err(Invalid::Changed);
    }
    let signature = Signature::read(&signature).map_err(|_| Invalid::Changed)?;
    if !key.verifies_text(&signed_text(&digest), &signature) {
        return Err(Invalid::AnotherKey);
    }
    Ok(records(signed).saturating_sub(1))
}

/// The digest and signature that a last line names.
fn trailer(line: &str) -> Option<(String, String)> {
    if let Ok(value) = serde_json::from_str::<Value>(line) {
        let text = |name: &str| value["signed"][name].as_str().map(str::to_owned);
        return text("sha256").zip(text("signature"));
    }
    // Base64 can begin like a formula, with a plus sign.
    let cells: Vec<&str> = line.split(',').map(|cell| as_it_was(cell.trim_matches('"'))).collect();
    match cells[..] {
        [SIGNED, digest, _, signature] => Some((digest.to_owned(), signature.to_owned())),
        _ => None,
    }
}

/// Lines that no quotes are open over.
fn records(text: &[u8]) -> usize {
    let mut quoted = false;
    let json = text.first() == Some(&b'{');
    text.iter()
        .filter(|byte| {
            quoted ^= !json && **byte == b'"';
            **byte == b'\n' && !quoted
        })
        .count()
}

fn line_of(value: &Value) -> String {
    format!("{value}\n")
}

fn cells(tenant: &TenantId, review: &Review, line: &ReviewLine) -> [String; COLUMNS.len()] {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let evidence = &line.evidence;
    let why: Vec<String> = evidence.reasons.iter().map(why).collect();
    [
        tenant.0.clone(),
        review.id.clone(),
        review.name.clone(),
        line.line.to_string(),
        line.account.0.clone(),
        word(&line.user_name),
        line.role.0.clone(),
        word(&line.reviewer),
        line.decision.to_string(),
        line.decided.map(|at| at.to_string()).unwrap_or_default(),
        word(&line.decided_by),
        word(&line.reason),
        word(&line.instead),
        line.outcome.map(|outcome| outcome.to_string()).unwrap_or_default(),
        word(&line.exception),
        evidence.since.to_string(),
        why.join("; "),
        evidence.last_change.to_string(),
        evidence.privileged.to_string(),
        evidence.peers.to_string(),
        evidence.connection.as_ref().map(ToString::to_string).unwrap_or_default(),
        evidence.reviewer_by.to_string(),
    ]
}

fn why(reason: &Reason) -> String {
    let said = reason.reason.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
    let groups: Vec<String> = reason.groups.iter().map(|chain| chain.join(" > ")).collect();
    let groups = if groups.is_empty() { String::new() } else { format!(" by {}", groups.join(", ")) };
    format!("{}{said}{groups}", reason.policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for (cell, written) in [
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("  =1", "\"'  =1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a=1", "\"a=1\""),
            ("say \"=1\"", "\"say \"\"=1\"\"\""),
            ("a\",=1", "\"a\"\",=1\""),
            ("", "\"\""),
        ] {
            assert_eq!(row(&[cell.to_owned()]), format!("{written}\r\n"), "{cell:?}");
        }
    }

    /// One signature of 64 begins with a plus sign, which a spreadsheet would take for a formula.
    #[test]
    fn whatever_a_signature_begins_with_it_verifies() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let public = key.verifying().unwrap();
        let mut defused = 0;
        for name in 0..300 {
            let lines = row(&["name".to_owned()]) + &row(&[name.to_string()]);
            let mut hasher = Hasher::default();
            hasher.update(lines.as_bytes());
            let digest = hasher.finish();
            for format in [Format::Csv, Format::Json] {
                let last = last_line(format, &digest, &key).unwrap();
                defused += usize::from(last.contains("\"'+"));
                assert_eq!(verify(format!("{lines}{last}").as_bytes(), &public), Ok(1), "{last}");
            }
        }
        assert!(defused > 0);
    }

    #[test]
    fn what_is_no_export_is_said() {
        let key = SigningKey::read(&SigningKey::generate()).unwrap();
        let public = key.verifying().unwrap();
        for text in ["", "\n", "a\nb\n", "{}\n{}\n", "a\n\"#signed\",\"x\"\n"] {
            assert_eq!(verify(text.as_bytes(), &public), Err(Invalid::Unsigned), "{text:?}");
        }
    }
}
