//! What Entra ID customers ask of a mapping: department and cost centre from a custom extension, contractors by e-mail suffix,
//! names and logins made regular, people without an employee number refused, test accounts left out.

mod ascii;
mod names;

use rolecall_plugin::{Account, Answer, Attribute, Call, Plugin, Refusal, Transform, User, Value};
use serde::Deserialize;

/// The plugin.
pub struct PeopleMapping;

rolecall_plugin::export!(PeopleMapping: transform);

/// How one tenant's directory differs from the next. All may be left out.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The URN of the custom extension that holds department and cost centre.
    pub extension: Option<String>,
    /// The extension's attribute for the department.
    pub department_attribute: String,
    /// The extension's attribute for the cost centre.
    pub cost_center_attribute: String,
    /// Whose work e-mail address ends with one of these is a contractor.
    pub contractor_email_suffixes: Vec<String>,
    /// Whether employees need an employee number; contractors never do.
    pub require_employee_number: bool,
    /// The domain of employees' logins; without it they keep the one of their user name.
    pub login_domain: Option<String>,
    /// Accounts whose user name starts with one of these are out of scope.
    pub test_account_prefixes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extension: None,
            department_attribute: "department".into(),
            cost_center_attribute: "costCenter".into(),
            contractor_email_suffixes: Vec::new(),
            require_employee_number: false,
            login_domain: None,
            test_account_prefixes: Vec::new(),
        }
    }
}

impl Plugin for PeopleMapping {
    const NAME: &'static str = "people-mapping";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const READS: &'static [&'static str] = &[
        "userName",
        "displayName",
        "name",
        "emails",
        "userType",
        "title",
        "locale",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "{extension}",
    ];
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Refusal> {
        let refuse = |path: &str, message: &str| Err(Refusal::new("settings_invalid", message).at(path));
        if settings.extension.as_ref().is_some_and(|urn| !urn.starts_with("urn:")) {
            return refuse("extension", "expected the URN of an extension, such as `urn:ietf:params:scim:schemas:extension:acme:2.0:User`");
        }
        if settings.contractor_email_suffixes.iter().any(|suffix| !suffix.contains('@')) {
            return refuse(
                "contractor_email_suffixes",
                "a suffix has an `@` in it, such as `@contractors.acme.example`: others match too many people",
            );
        }
        if settings.login_domain.as_ref().is_some_and(|domain| domain.is_empty() || domain.contains('@') || !domain.is_ascii()) {
            return refuse("login_domain", "expected an ASCII domain without `@`, such as `acme.example`");
        }
        if settings.test_account_prefixes.iter().any(|prefix| prefix.trim().is_empty()) {
            return refuse("test_account_prefixes", "an empty prefix would leave everybody out");
        }
        Ok(())
    }
}

impl Transform for PeopleMapping {
    fn transform(_: &Call<'_>, settings: &Settings, user: &User<'_>) -> Result<Answer, Refusal> {
        let user_name = user.user_name().ok_or_else(|| Refusal::new("user_name_missing", "the person has no user name").at("userName"))?;
        if let Some(prefix) = settings.test_account_prefixes.iter().find(|prefix| names::starts_with(user_name.text(), prefix)) {
            return Ok(Answer::OutOfScope(format!("test account: the user name starts with `{prefix}`")));
        }
        let contractor_suffix = contractor_suffix(settings, user);
        if settings.require_employee_number && contractor_suffix.is_none() && user.employee_number().is_none() {
            let message = "an employee needs an employee number: fill it in at the identity provider, \
                           or give the person a contractor's e-mail address";
            let path = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";
            return Err(Refusal::new("employee_number_missing", message).at(path));
        }
        let domain = settings.login_domain.as_deref().filter(|_| contractor_suffix.is_none());
        let login = names::login(user_name.text(), domain).ok_or_else(|| {
            let message = "no ASCII login can be made of the user name: use letters of the Latin, Greek or Cyrillic script before the `@`";
            Refusal::new("login_unsupported", message).at("userName")
        })?;

        let mut account = Account::new(user_name.map(|_| login));
        account.set(Attribute::DisplayName, names::display_name(user));
        account.set(Attribute::GivenName, user.given_name().map(|name| name.map(names::tidy)));
        account.set(Attribute::FamilyName, user.family_name().map(|name| name.map(names::tidy)));
        account.set(Attribute::Email, user.best_email().map(|email| email.map(str::to_lowercase)));
        let worker_type = match contractor_suffix {
            Some(suffix) => Value::new("contractor", format!("contractor_email_suffixes: {suffix}")),
            None => Value::new("employee", "no contractor's e-mail address"),
        };
        account.tag("worker_type", worker_type.clone());
        account.set(Attribute::UserType, worker_type);
        account.set(Attribute::Title, user.title().map(|title| title.map(names::tidy)));
        let extension = settings.extension.as_ref().and_then(|urn| user.extension(urn));
        let custom = |attribute: &str| extension.as_ref().and_then(|extension| extension.text(attribute));
        account.set(Attribute::Department, custom(&settings.department_attribute).or_else(|| user.department()));
        account.set(Attribute::CostCenter, custom(&settings.cost_center_attribute).or_else(|| user.cost_center()));
        account.set(Attribute::Division, user.division());
        account.set(Attribute::Organization, user.organization());
        account.set(Attribute::EmployeeNumber, user.employee_number());
        account.set(Attribute::Manager, user.manager());
        account.set(Attribute::Locale, user.locale());
        account.tag("idp_user_type", user.user_type());
        Ok(account.into())
    }
}

/// The suffix that makes this person a contractor.
fn contractor_suffix<'a>(settings: &'a Settings, user: &User<'_>) -> Option<&'a str> {
    let email = user.email("work").or_else(|| user.best_email())?;
    settings.contractor_email_suffixes.iter().map(String::as_str).find(|suffix| names::ends_with(email.text(), suffix))
}
