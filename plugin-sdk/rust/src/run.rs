//! A plugin's hooks over the contract's texts: what the sandbox calls, and what unit tests and benchmarks call natively.

use crate::{Account, Answer, Call, Host, Plugin, Proposal, Propose, Refusal, Transform, User};

/// A question as it crosses the contract.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// RFC 3339, UTC, whole seconds.
    pub as_of: String,
    /// The connection's id.
    pub connection: String,
    /// A JSON object.
    pub settings: String,
    /// A JSON object.
    pub user: String,
    /// Handles.
    pub groups: Vec<String>,
}

/// An answer as it crosses the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An account.
    Account {
        /// A JSON object.
        json: String,
        /// Attribute and source.
        provenance: Vec<(String, String)>,
    },
    /// Why not.
    OutOfScope(String),
}

/// `validate-settings`.
///
/// # Errors
/// What is wrong with the settings.
pub fn validate_settings<P: Plugin>(settings: &str) -> Result<(), Refusal> {
    let settings = serde_json::from_str(settings).map_err(|error| unreadable(settings, &error))?;
    P::check(&settings)
}

/// The longest path that the contract takes, in bytes.
const PATH_BYTES_LIMIT: usize = 256;

/// A refusal of settings with the name of what is wrong: its author has not seen the text that serde counts lines and columns of.
#[cold]
fn unreadable(settings: &str, error: &serde_json::Error) -> Refusal {
    let message = error.to_string();
    if !error.is_data() {
        return Refusal::new("settings_invalid", message);
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let refusal = Refusal::new("settings_invalid", message.strip_suffix(&place).unwrap_or(&message));
    let start: usize = settings.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let name = setting_at(settings, start + error.column());
    if name.is_empty() || name.len() > PATH_BYTES_LIMIT { refusal } else { refusal.at(name) }
}

/// The setting that is read after so many bytes of a JSON object.
fn setting_at(settings: &str, end: usize) -> &str {
    let (mut name, mut depth, mut is_value, mut escaped) = ("", 0, false, false);
    // Where the text began that is read.
    let mut text = None;
    for (at, byte) in settings.bytes().enumerate().take(end) {
        match (text, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(start), b'"') => {
                if depth == 1 && !is_value {
                    name = &settings[start..at];
                }
                text = None;
            }
            (Some(_), _) => {}
            (None, b'"') => text = Some(at + 1),
            (None, b'{' | b'[') => depth += 1,
            (None, b'}' | b']') => depth -= 1,
            (None, b':') if depth == 1 => is_value = true,
            (None, b',') if depth == 1 => is_value = false,
            _ => {}
        }
    }
    // What is wrong with the whole is seen at its end.
    if depth == 0 { "" } else { name }
}

/// `transform-user`.
///
/// # Errors
/// The plugin's refusal of the person.
///
/// # Panics
/// When the texts are not what Rolecall sends: in the sandbox a fault, so that nothing is decided on it.
pub fn transform<P: Transform>(question: &Question, host: &dyn Host) -> Result<Reply, Refusal> {
    let settings = expect_json(&question.settings, "settings");
    let user = expect_json::<User<'_>>(&question.user, "user");
    match P::transform(&call(question, host), &settings, &user)? {
        Answer::OutOfScope(reason) => Ok(Reply::OutOfScope(reason)),
        Answer::Account(account) => {
            let json = serde_json::to_string(&account).expect("an account has texts for keys and can't fail to serialise");
            Ok(Reply::Account { json, provenance: account.into_provenance() })
        }
    }
}

/// `propose-roles`.
///
/// # Errors
/// The plugin gives no verdict.
///
/// # Panics
/// As [`transform`].
pub fn propose<P: Propose>(question: &Question, account: &str, host: &dyn Host) -> Result<Vec<Proposal>, Refusal> {
    let settings = expect_json(&question.settings, "settings");
    let user = expect_json::<User<'_>>(&question.user, "user");
    let account = expect_json::<Account>(account, "account");
    P::propose(&call(question, host), &settings, &user, &account)
}

fn call<'a>(question: &'a Question, host: &'a dyn Host) -> Call<'a> {
    Call { as_of: &question.as_of, connection: &question.connection, groups: &question.groups, host }
}

fn expect_json<'a, T: serde::Deserialize<'a>>(json: &'a str, what: &str) -> T {
    match serde_json::from_str(json) {
        Ok(value) => value,
        Err(error) => panic!("the {what} could not be read: {error}"),
    }
}
