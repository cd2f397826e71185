//! What becomes of a person: an account, out of scope, or a refusal.

use rolecall_plugin::{Account, Answer, Attribute, Call, Plugin, Refusal, Transform, User};

/// The plugin.
pub struct Mapping;

rolecall_plugin::export!(Mapping: transform);

/// What tenant.toml says under `settings`. A member that is not listed here is refused when the folder is checked.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// People whose user name ends with one of these are out of scope.
    ignored_suffixes: Vec<String>,
}

impl Plugin for Mapping {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    // What is not named here is cut out of the user before the plugin sees it.
    const READS: &'static [&'static str] =
        &["userName", "displayName", "name", "emails", "title", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"];
    type Settings = Settings;
}

impl Transform for Mapping {
    fn transform(_call: &Call<'_>, settings: &Settings, user: &User<'_>) -> Result<Answer, Refusal> {
        let login = user.user_name().ok_or_else(|| Refusal::new("user_name_missing", "a person needs a user name").at("userName"))?;
        if settings.ignored_suffixes.iter().any(|suffix| login.text().ends_with(suffix.as_str())) {
            return Ok(Answer::OutOfScope("the user name has a suffix that is ignored".into()));
        }
        let mut account = Account::new(login.map(str::to_lowercase));
        account.set(Attribute::DisplayName, user.display_name());
        account.set(Attribute::Email, user.best_email());
        account.set(Attribute::Title, user.title());
        account.set(Attribute::Department, user.department());
        Ok(account.into())
    }
}
