//! The schema and the code have one list of actions and nothing of identity providers; what the default policies say; what is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

fn compiled(text: &str) -> Result<Arc<AdminPolicies>, Vec<Diagnostic>> {
    AdminPolicies::compile(&[("admin/a.cedar".into(), text.into())], Some(&[ledger()]))
}

fn ledger() -> Role {
    Role { id: "ledger".into(), risk: 90, privileged: true, owner: Some("Grace@acme.example".into()), ..Role::default() }
}

fn admin(write: bool, roles: &[&str]) -> Admin {
    let admin_roles = roles.iter().map(|&role| role.to_owned()).collect();
    let admin = Admin::of("token", Some("GRACE@acme.example"), (write, &admin_roles), &[ledger()]);
    assert_eq!((admin.id.as_str(), admin.owns.len()), ("grace@acme.example", 1));
    admin
}

fn matter(action: AdminAction) -> Matter<'static> {
    static LEDGER: LazyLock<Role> = LazyLock::new(ledger);
    match About::of(action) {
        About::Role => Matter::Role(&LEDGER),
        About::Hold => Matter::Hold { id: "h", scope: GuardScope::Role, direction: GuardDirection::Gains, privileged: false },
        About::Revision => Matter::Revision { hash: "r", privileged: true },
        About::Tenant => Matter::Tenant("acme"),
    }
}

/// The schema in Cedar's JSON form.
fn schema() -> Value {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(ADMIN_SCHEMA).unwrap();
    serde_json::from_str::<Value>(&fragment.to_json_string().unwrap()).unwrap()["RolecallAdmin"].clone()
}

#[test]
fn schema_and_code_have_the_same_actions_and_each_can_be_asked() {
    let written: BTreeSet<String> = schema()["actions"].as_object().unwrap().keys().cloned().collect();
    let known: BTreeSet<String> = AdminAction::ALL.iter().map(|action| action.word().to_owned()).collect();
    assert_eq!(written, known);
    for action in AdminAction::ALL {
        assert_eq!(AdminPolicies::default_policies().ask(&admin(true, &[]), *action, matter(*action), true), Ok(()), "{action}");
    }
}

/// The floor: an admin policy reads these and nothing else, so that no attribute of an identity provider picks who approves.
#[test]
fn nothing_that_an_identity_provider_controls_can_be_read() {
    let schema = schema();
    let attributes = |entity: &Value| -> Vec<String> {
        assert!(entity.get("tags").is_none(), "{entity}");
        entity["shape"]["attributes"].as_object().into_iter().flat_map(|found| found.keys().cloned()).collect()
    };
    let found: BTreeMap<String, Vec<String>> =
        schema["entityTypes"].as_object().unwrap().iter().map(|(name, entity)| (name.clone(), attributes(entity))).collect();
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let expected = BTreeMap::from([
        ("Admin".to_owned(), list(&["adminRoles", "named", "owns", "write"])),
        ("Hold".to_owned(), list(&["direction", "privileged", "scope"])),
        ("Revision".to_owned(), list(&["privileged"])),
        ("Role".to_owned(), list(&["app", "id", "owner", "privileged", "risk"])),
        ("RoleFamily".to_owned(), list(&[])),
        ("Tenant".to_owned(), list(&[])),
    ]);
    assert_eq!(found, expected);
    assert_eq!(schema["entityTypes"]["Admin"]["memberOfTypes"], Value::Null, "nobody is in a group here");
    let manager =
        r#"@id("m") @reason("r") permit(principal, action, resource) when { principal has manager && principal.manager == principal };"#;
    for reads in [manager, &manager.replace("principal.manager == principal", "true").replace(" has manager", ".hasTag(\"manager\")")] {
        assert!(compiled(reads).is_err(), "{reads}");
    }
}

#[test]
fn the_default_policies_give_each_admin_role_its_own() {
    use AdminAction as A;
    let allowed = |roles: &[&str], write: bool| -> Vec<AdminAction> {
        let policies = AdminPolicies::default_policies();
        let may = |action: &&AdminAction| policies.ask(&admin(write, roles), **action, matter(**action), false).is_ok();
        AdminAction::ALL.iter().filter(may).copied().collect()
    };
    let everything = AdminAction::ALL.to_vec();
    let cases: [(&[&str], bool, Vec<AdminAction>); 9] = [
        (&[], true, everything.clone()),
        (&[], false, vec![]),
        (&["tenant-owner"], false, everything.clone()),
        (&["policy-author"], false, vec![A::ActivateRevision, A::ConfirmRevision, A::AuthorRevisions, A::TryRevisions, A::ConfirmHandles]),
        (&["plugin-author"], false, vec![A::AuthorRevisions, A::TryRevisions, A::ManagePlugins]),
        (&["reviewer"], false, vec![A::ApproveRole, A::RejectRole, A::DecideReview]),
        (&["auditor"], false, vec![]),
        (&["auditor"], true, vec![]),
        (&["somebody-else"], false, vec![]),
    ];
    for (roles, write, expected) in cases {
        assert_eq!(allowed(roles, write), expected, "{roles:?} {write}");
    }
    let other = Role { owner: None, ..ledger() };
    let reviewer = Admin { owns: BTreeSet::new(), ..admin(false, &["reviewer"]) };
    assert!(AdminPolicies::default_policies().ask(&reviewer, A::ApproveRole, Matter::Role(&other), true).is_err());
}

#[test]
fn a_refusal_says_which_policy_and_what_one_can_do() {
    let policies = compiled(
        r#"
        @id("owners") @reason("owners approve") permit(principal, action == RolecallAdmin::Action::"approveRole", resource)
        when { principal.owns.contains(resource.id) };
        @id("not-alone") @reason("privileged roles are for the board") forbid(principal, action, resource is RolecallAdmin::Role)
        when { resource.privileged && context.gives };
        "#,
    )
    .unwrap();
    let ask = |owns: &[&str], action: AdminAction, gives: bool| {
        let owns = owns.iter().map(|&role| role.to_owned()).collect();
        policies.ask(&Admin { owns, ..admin(true, &[]) }, action, matter(action), gives).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(ask(&["ledger"], AdminAction::ApproveRole, false), Ok(()));
    let forbidden = ask(&["ledger"], AdminAction::ApproveRole, true).unwrap_err();
    assert!(
        forbidden.starts_with(
            "the admin policy `not-alone` (privileged roles are for the board) forbids `approveRole` on the role `ledger`: ask"
        ),
        "{forbidden}"
    );
    let nobody = ask(&[], AdminAction::ApproveRole, false).unwrap_err();
    assert!(
        nobody
            .starts_with("no admin policy allows you `approveRole` on the role `ledger`; it is allowed by `owners` (owners approve): ask"),
        "{nobody}"
    );
    let at_all = ask(&[], AdminAction::AnswerHold, false).unwrap_err();
    assert!(at_all.starts_with("no admin policy allows `answerHold` on the hold `h` to anybody: "), "{at_all}");
}

#[test]
fn a_policy_that_fails_allows_nothing() {
    let policies = compiled(
        r#"
        @id("all") @reason("r") permit(principal, action, resource);
        @id("fails") forbid(principal, action, resource is RolecallAdmin::Role) when { resource.risk + 9223372036854775807 > 0 };
        "#,
    )
    .unwrap();
    let refused = policies.ask(&admin(true, &[]), AdminAction::ApproveRole, matter(AdminAction::ApproveRole), true).unwrap_err();
    assert!(refused.to_string().contains("the admin policy `fails` failed"), "{refused}");
    assert!(policies.ask(&admin(true, &[]), AdminAction::AnswerHold, matter(AdminAction::AnswerHold), true).is_ok());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, message, line) in [
        ("@id(\"p\") @reason(\"r\")\npermit(principal, action, resource) when { principal.admin_roles.isEmpty() };", "admin_roles", 2),
        ("@id(\"p\") @reason(\"r\")\npermit(principal, action == RolecallAdmin::Action::\"approve\", resource);", "approve", 2),
        (
            "@id(\"p\") @reason(\"r\")\npermit(principal, action, resource == RolecallAdmin::Role::\"none\");",
            "the catalogue has no role `none`",
            2,
        ),
        ("@reason(\"r\")\npermit(principal, action, resource);", "the policy has no `@id`", 2),
        ("@id(\"p\")\npermit(principal, action, resource);", "the policy has no `@reason`", 2),
        ("@id(\"p\") @reason(\"r\")\npermit(principal, action, resource is Rolecall::Role);", "Rolecall::Role", 2),
    ] {
        let problems = compiled(text).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.message.contains(message) && problem.line == Some(line)), "{text}: {problems:?}");
    }
}

#[test]
fn lints_say_what_nobody_can_have_meant() {
    let found = |text: &str| -> Vec<(String, String)> {
        let found = lint_admin(&[("admin/a.cedar".into(), text.into())], &[ledger()]).unwrap();
        found.into_iter().map(|finding| (finding.code.unwrap(), finding.message)).collect()
    };
    let codes = |text: &str| found(text).into_iter().map(|(code, _)| code).collect::<BTreeSet<_>>();
    assert_eq!(codes(r#"@id("p") @reason("r") permit(principal, action, resource);"#), BTreeSet::from(["admin_for_everybody".to_owned()]));
    assert_eq!(codes(r#"@id("p") @reason("r") @allow("admin_for_everybody") permit(principal, action, resource);"#), BTreeSet::new());
    let named = r#"@id("p") @reason("r") permit(principal == RolecallAdmin::Admin::"Grace@acme.example", action, resource);"#;
    assert_eq!(codes(named), BTreeSet::from(["admin_never_met".to_owned()]));
    let one =
        r#"@id("p") @reason("r") permit(principal, action == RolecallAdmin::Action::"approveRole", resource) when { principal.named };"#;
    assert_eq!(found(one).len(), AdminAction::ALL.len() - 1);
    assert_eq!(lint_admin(&[("admin/default.cedar".into(), ADMIN_DEFAULT.into())], &[]), Ok(Vec::new()));
}
