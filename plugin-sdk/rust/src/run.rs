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
    let settings = serde_json::from_str(settings).map_err(|error| Refusal::new("settings_invalid", error.to_string()))?;
    P::check(&settings)
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
