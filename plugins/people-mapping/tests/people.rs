//! The mapping over invented people, natively: the same texts that cross the contract.
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use people_mapping::PeopleMapping;
use rolecall_plugin::run::{Question, Reply, transform, validate_settings};
use rolecall_plugin::{Host, Level, Refusal, Row};
use serde_json::{Value, json};

struct Nothing;

impl Host for Nothing {
    fn log(&self, _: Level, message: &str) {
        panic!("nothing is logged, least of all {message}");
    }
    fn lookup(&self, _: &str, _: &str) -> Option<Row> {
        panic!("nothing is looked up");
    }
}

fn settings() -> Value {
    json!({
        "extension": "urn:ietf:params:scim:schemas:extension:acme:2.0:User",
        "department_attribute": "orgUnit",
        "cost_center_attribute": "kostenstelle",
        "contractor_email_suffixes": ["@contractors.acme.example"],
        "require_employee_number": true,
        "login_domain": "acme.example",
        "test_account_prefixes": ["test-"]
    })
}

fn map(settings: &Value, user: &Value) -> Result<Reply, Refusal> {
    validate_settings::<PeopleMapping>(&settings.to_string()).unwrap();
    let question = Question { settings: settings.to_string(), user: user.to_string(), ..Question::default() };
    transform::<PeopleMapping>(&question, &Nothing)
}

fn account(reply: Reply) -> (Value, std::collections::BTreeMap<String, String>) {
    match reply {
        Reply::Account { json, provenance } => (serde_json::from_str(&json).unwrap(), provenance.into_iter().collect()),
        Reply::OutOfScope(reason) => panic!("out of scope: {reason}"),
    }
}

#[test]
fn an_employee_gets_department_and_cost_centre_from_the_extension() {
    let user = json!({
        "userName": "José.Müller@acme.onmicrosoft.example",
        "displayName": "Müller, José",
        "name": {"givenName": "José", "familyName": "Müller"},
        "emails": [{"type": "work", "value": "Jose.Mueller@acme.example"}],
        "title": "Lead  Engineer",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "employeeNumber": "1007", "department": "ignored", "costCenter": "CC-1", "manager": {"value": "m-1"}},
        "urn:ietf:params:scim:schemas:extension:acme:2.0:User": {"orgUnit": "Research"}
    });
    let (shape, provenance) = account(map(&settings(), &user).unwrap());
    let expected = json!({
        "user_name": "jose.muller@acme.example", "display_name": "José Müller", "given_name": "José", "family_name": "Müller",
        "email": "jose.mueller@acme.example", "user_type": "employee", "title": "Lead Engineer", "department": "Research",
        "cost_center": "CC-1", "employee_number": "1007", "manager": "m-1", "tags": {"worker_type": ["employee"]}
    });
    assert_eq!(shape, expected);
    assert_eq!(provenance["department"], "urn:ietf:params:scim:schemas:extension:acme:2.0:User:orgUnit");
    assert_eq!(provenance["cost_center"], "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter");
    assert_eq!(provenance["user_name"], "userName");
    assert_eq!(provenance["email"], "emails[type eq \"work\"].value");
}

#[test]
fn a_contractor_needs_no_employee_number_and_keeps_the_domain() {
    let user = json!({"userName": "ana@contractors.acme.example", "userType": "External",
        "emails": [{"type": "home", "primary": true, "value": "ana@home.example"}, {"type": "work", "value": "Ana@Contractors.acme.example"}]});
    let (shape, provenance) = account(map(&settings(), &user).unwrap());
    assert_eq!(shape["user_name"], "ana@contractors.acme.example");
    assert_eq!(shape["user_type"], "contractor");
    assert_eq!(shape["tags"], json!({"worker_type": ["contractor"], "idp_user_type": ["External"]}));
    assert_eq!(provenance["user_type"], "contractor_email_suffixes: @contractors.acme.example");
}

#[test]
fn an_employee_without_a_number_is_refused() {
    let user = json!({"userName": "bo@acme.example", "emails": [{"type": "work", "value": "bo@acme.example"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "  "}});
    let refusal = map(&settings(), &user).unwrap_err();
    assert_eq!(refusal.code, "employee_number_missing");
    assert_eq!(refusal.path.as_deref(), Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"));
    assert!(map(&json!({}), &user).is_ok(), "by default nobody needs one");
}

#[test]
fn test_accounts_are_out_of_scope_before_anything_else() {
    let reply = map(&settings(), &json!({"userName": "TEST-robot"})).unwrap();
    assert_eq!(reply, Reply::OutOfScope("test account: the user name starts with `test-`".into()));
}

#[test]
fn a_login_that_can_not_be_spelled_is_refused() {
    let refusal = map(&json!({}), &json!({"userName": "王伟@acme.example"})).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.path.as_deref()), ("login_unsupported", Some("userName")));
    assert_eq!(map(&json!({}), &json!({})).unwrap_err().code, "user_name_missing");
}

#[test]
fn settings_that_would_go_wrong_are_refused() {
    for (settings, path) in [
        (json!({"extension": "acme"}), "extension"),
        (json!({"contractor_email_suffixes": [".example"]}), "contractor_email_suffixes"),
        (json!({"login_domain": "@acme.example"}), "login_domain"),
        (json!({"test_account_prefixes": [" "]}), "test_account_prefixes"),
        (json!({"department_attribute": "a,\"b", "login_domain": 5}), "login_domain"),
        (json!({"contractor_email_suffixes": ["@a", "@b", {}], "login_domain": null}), "contractor_email_suffixes"),
        (json!({"extension": {"a": []}}), "extension"),
        (json!({"extention": "x"}), "extention"),
    ] {
        let refusal = validate_settings::<PeopleMapping>(&settings.to_string()).unwrap_err();
        assert_eq!(refusal.path.as_deref(), Some(path), "{settings}");
    }
    assert!(validate_settings::<PeopleMapping>(r#"{"extention": "x"}"#).unwrap_err().message.contains("`extention`"));
    let refusal = validate_settings::<PeopleMapping>("{\n  \"login_domain\": 5\n}").unwrap_err();
    let expected = ("invalid type: integer `5`, expected a string".to_owned(), Some("login_domain".to_owned()));
    assert_eq!((refusal.message, refusal.path), expected);
    for (text, said) in [("[", "EOF"), ("5", "expected struct Settings")] {
        let refusal = validate_settings::<PeopleMapping>(text).unwrap_err();
        assert!(refusal.path.is_none() && refusal.message.contains(said), "{refusal:?}");
    }
}
