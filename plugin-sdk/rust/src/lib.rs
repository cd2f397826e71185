//! Write Rolecall plugins in Rust.
//!
//! A plugin implements [`Plugin`] and [`Transform`], [`Propose`] or both, and names itself to [`export!`].
//! The same code runs natively through [`run`], which is how plugins are unit-tested and compared with their sandboxed selves.
//! What goes over the contract (`plugin-sdk/wit`) as JSON text is typed here: [`User`], [`Account`].

mod account;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
#[cfg(all(target_family = "wasm", feature = "allocator"))]
mod memory;
pub mod run;
mod text;
mod user;

pub use account::{Account, Attribute, TEXT_BYTES_LIMIT};
pub use text::Value;
pub use user::{Email, Extension, User};

/// What every plugin says of itself.
pub trait Plugin {
    /// Its name, for people.
    const NAME: &'static str;
    /// Its version, for people.
    const VERSION: &'static str;
    /// The SCIM paths that it reads; the [`User`] holds these and nothing else. `{x}` stands for the text of the setting `x`.
    const READS: &'static [&'static str];
    /// Its settings. `#[serde(deny_unknown_fields, default)]` is what their authors will thank you for.
    type Settings: serde::de::DeserializeOwned;

    /// Whether settings that could be read will do. Asked when a revision is checked, not at every call.
    ///
    /// # Errors
    /// What is wrong with them and what to do.
    fn check(settings: &Self::Settings) -> Result<(), Refusal> {
        let _ = settings;
        Ok(())
    }
}

/// Shapes accounts.
pub trait Transform: Plugin {
    /// What becomes of a person.
    ///
    /// # Errors
    /// A refusal of this person: no account, and a reason that people see.
    fn transform(call: &Call<'_>, settings: &Self::Settings, user: &User<'_>) -> Result<Answer, Refusal>;
}

/// Nominates roles; policies decide.
pub trait Propose: Plugin {
    /// The roles that are nominated for a person with this account.
    ///
    /// # Errors
    /// No verdict, as when a lookup table that is needed has no row: nothing new is granted and the tenant is told.
    fn propose(call: &Call<'_>, settings: &Self::Settings, user: &User<'_>, account: &Account) -> Result<Vec<Proposal>, Refusal>;
}

/// What becomes of a person who is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An account.
    Account(Box<Account>),
    /// None of the tenant's, and why.
    OutOfScope(String),
}

impl From<Account> for Answer {
    fn from(account: Account) -> Self {
        Self::Account(Box::new(account))
    }
}

/// The author says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word: lower-case letters, digits and underscores.
    pub code: String,
    /// What is concerned: a SCIM path, or a path in the settings.
    pub path: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal that concerns nothing in particular.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), path: None, message: message.into() }
    }

    /// The same, with what it concerns.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..self }
    }
}

/// A nominated role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proposal {
    /// The role's id.
    pub role: String,
    /// The rule that nominated it.
    pub because: Option<String>,
}

impl Proposal {
    /// A nomination with its rule.
    #[must_use]
    pub fn new(role: impl Into<String>, because: impl Into<String>) -> Self {
        Self { role: role.into(), because: Some(because.into()) }
    }
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Wrong.
    Error,
}

/// A row of a lookup table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub Vec<(String, String)>);

impl Row {
    /// The value in a column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value.as_str())
    }
}

/// What a plugin may ask of Rolecall.
pub trait Host {
    /// Writes a line to the tenant's plugin log.
    fn log(&self, level: Level, message: &str);
    /// The row with that key in a lookup table.
    fn lookup(&self, table: &str, key: &str) -> Option<Row>;
}

/// What every call carries beside the person.
pub struct Call<'a> {
    as_of: &'a str,
    connection: &'a str,
    groups: &'a [String],
    host: &'a dyn Host,
}

impl Call<'_> {
    /// The instant of the evaluation, RFC 3339 in UTC with whole seconds: texts of this form compare as instants do.
    #[must_use]
    pub fn as_of(&self) -> &str {
        self.as_of
    }

    /// The connection's id.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.connection
    }

    /// The handles of the person's groups, direct and inherited, sorted.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        self.groups
    }

    /// Writes a line to the tenant's plugin log. Too much is dropped.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// The row with that key in one of the tenant's lookup tables.
    #[must_use]
    pub fn lookup(&self, table: &str, key: &str) -> Option<Row> {
        self.host.lookup(table, key)
    }
}

/// Makes a crate (`crate-type = ["cdylib"]`) a plugin: `rolecall_plugin::export!(People: transform)`, `export!(Roles: propose)`,
/// `export!(Both: transform, propose)`. Natively it does nothing.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($hook:ident),+) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::guest::Exported<$plugin>;
            $crate::guest::info::export!(Exported with_types_in $crate::guest::info);
            $($crate::export!(@ $hook);)+
        };
    };
    (@ transform) => {
        $crate::guest::transform::export!(Exported with_types_in $crate::guest::transform);
    };
    (@ propose) => {
        $crate::guest::propose::export!(Exported with_types_in $crate::guest::propose);
    };
}
