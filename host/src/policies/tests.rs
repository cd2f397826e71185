//! Compiled policies: what they decide, what they explain, and that slicing changes nothing.

mod memo;
mod touch;

use std::collections::BTreeSet;

use cedar_policy::Entities;
use proptest::prelude::*;

use super::*;
use crate::model::Tags;

fn role(id: &str) -> Role {
    Role {
        id: id.into(),
        description: String::new(),
        risk: 10,
        privileged: false,
        approval: None,
        owner: None,
        app: None,
        families: Vec::new(),
    }
}

fn catalogue() -> Vec<Role> {
    vec![
        Role { families: vec!["birthright".into()], risk: 1, ..role("mail") },
        Role { families: vec!["birthright".into()], risk: 2, app: Some("crm".into()), ..role("crm-user") },
        Role { privileged: true, risk: 90, app: Some("crm".into()), ..role("crm-admin") },
        Role { risk: 50, ..role("auditor") },
    ]
}

fn compile(text: &str) -> Policies {
    Policies::compile(&[("policies/a.cedar".into(), text.into())], &catalogue())
        .unwrap_or_else(|found| panic!("{}", crate::diagnostic::render(&found, false)))
}

fn member(handle: &str) -> GroupMembership {
    GroupMembership { handle: handle.into(), chain: vec![format!("team-{handle}"), handle.into()] }
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-03-01T12:00:00Z";

/// Decides both ways, which must agree.
fn decide(policies: &Policies, shape: &AccountShape, handles: &[&str], proposed: &[&str], now: &str) -> Decision {
    let groups: Vec<GroupMembership> = handles.iter().map(|handle| member(handle)).collect();
    let principal = Principal::of("u1", "c1", shape, &groups);
    let proposed: BTreeSet<String> = proposed.iter().map(|&role| role.to_owned()).collect();
    let decision = policies.decide(&principal, &proposed, at(now));
    assert_eq!(decision, Unsliced::of(policies).unwrap().decide(&principal, &proposed, at(now)));
    decision
}

fn explain(policies: &Policies, shape: &AccountShape, handles: &[&str], role: &str, proposed: bool, now: &str) -> Explanation {
    let groups: Vec<GroupMembership> = handles.iter().map(|handle| member(handle)).collect();
    policies.explain(&Principal::of("u1", "c1", shape, &groups), role, proposed, at(now)).unwrap()
}

fn granted(decision: &Decision) -> Vec<&str> {
    decision.grants.iter().map(|grant| grant.role.as_str()).collect()
}

fn shape() -> AccountShape {
    AccountShape { user_name: "nadia".into(), ..AccountShape::default() }
}

const FAILING: &str = "resource.risk + 9223372036854775807 > 0";

#[test]
fn an_approval_says_something_and_stands_on_a_permit() {
    let wrong = |text: &str| {
        let found = Policies::compile(&[("policies/a.cedar".into(), text.into())], &catalogue()).err().unwrap_or_default();
        found.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
    };
    let policy = |annotation: &str| format!("@id(\"p\") @reason(\"r\") {annotation}\npermit(principal, action, resource);");
    assert_eq!(wrong(&policy("@approval(\"required\")")), "");
    for nothing in ["@approval", "@approval(\" \")"] {
        assert_eq!(wrong(&policy(nothing)), "`@approval` says nothing", "{nothing}");
    }
    assert!(wrong(&policy(&format!("@approval(\"{}\")", "x".repeat(501)))).contains("at most 500"));
    assert!(wrong("@id(\"f\") @approval(\"required\") forbid(principal, action, resource);").contains("goes with a `permit`"));
    let explained = compile(&policy("@approval(\"a lead agrees\")"));
    let decision = decide(&explained, &shape(), &[], &[], NOW);
    assert_eq!(decision.grants[0].reasons[0].approval.as_deref(), Some("a lead agrees"));
}

#[test]
fn a_grant_names_its_policies_and_the_chain_of_every_group_that_they_name() {
    let policies = compile(
        r#"
        @id("b-all") @reason("everybody in sales")
        permit(principal in Rolecall::Group::"sales", action, resource in Rolecall::RoleFamily::"birthright")
        when { principal in Rolecall::Group::"staff" || principal in Rolecall::Group::"guests" };
        @id("a-nominated") @reason("nominated")
        permit(principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"mail") when { context.proposed };
        "#,
    );
    let decision = decide(&policies, &shape(), &["sales", "staff", "other"], &["mail", "unknown"], NOW);
    assert_eq!(granted(&decision), ["crm-user", "mail"]);
    let chains = vec![vec!["team-sales".to_owned(), "sales".into()], vec!["team-staff".into(), "staff".into()]];
    let nominated = Reason {
        policy: "a-nominated".into(),
        reason: Some("nominated".into()),
        groups: vec![],
        proposed: true,
        nomination: None,
        approval: None,
    };
    let birthright = Reason {
        policy: "b-all".into(),
        reason: Some("everybody in sales".into()),
        groups: chains,
        proposed: false,
        nomination: None,
        approval: None,
    };
    assert_eq!(decision.grants[1].reasons, [nominated, birthright]);
    assert_eq!(granted(&decide(&policies, &shape(), &["staff"], &[], NOW)), Vec::<&str>::new());
}

#[test]
fn a_forbid_wins() {
    let policies = compile(
        r#"
        @id("p") @reason("r") permit(principal in Rolecall::Group::"g", action, resource);
        @id("f") forbid(principal in Rolecall::Group::"contractors", action, resource) when { resource.privileged };
        "#,
    );
    assert_eq!(granted(&decide(&policies, &shape(), &["g"], &[], NOW)), ["auditor", "crm-admin", "crm-user", "mail"]);
    assert_eq!(granted(&decide(&policies, &shape(), &["g", "contractors"], &[], NOW)), ["auditor", "crm-user", "mail"]);
}

#[test]
fn a_failing_forbid_leaves_what_it_could_have_denied_undecided() {
    let policies = compile(&format!(
        r#"
        @id("p") @reason("r") permit(principal in Rolecall::Group::"g", action, resource == Rolecall::Role::"mail");
        @id("f") forbid(principal, action, resource) when {{ {FAILING} }};
        "#
    ));
    let decision = decide(&policies, &shape(), &["g"], &[], NOW);
    assert_eq!(granted(&decision), Vec::<&str>::new());
    let failed: Vec<(&str, &str)> = decision.errors.iter().map(|error| (error.role.as_str(), error.policy.as_str())).collect();
    assert_eq!(failed, [("mail", "f")]);
    // Whoever no permit concerns has a no, and no doubt.
    assert_eq!(decide(&policies, &shape(), &[], &[], NOW), Decision::default());
    let explanation = explain(&policies, &shape(), &["g"], "mail", false, NOW);
    assert_eq!((explanation.decision.as_str(), explanation.nearest[0].policy.as_str()), ("error", "f"));
}

#[test]
fn a_failing_permit_leaves_the_role_undecided_even_beside_a_satisfied_one_and_a_forbid_settles_it() {
    let text = format!(
        r#"
        @id("p") @reason("r") permit(principal in Rolecall::Group::"g", action, resource == Rolecall::Role::"mail");
        @id("q") @reason("r") permit(principal, action, resource == Rolecall::Role::"mail") when {{ {FAILING} }};
        "#
    );
    let undecided = |decision: &Decision| decision.errors.iter().map(|error| error.policy.clone()).collect::<Vec<_>>();
    let policies = compile(&text);
    for handles in [&["g"][..], &[]] {
        let decision = decide(&policies, &shape(), handles, &[], NOW);
        assert_eq!((granted(&decision), undecided(&decision)), (vec![], vec!["q".to_owned()]));
    }
    let policies = compile(&format!(r#"{text} @id("f") forbid(principal in Rolecall::Group::"out", action, resource);"#));
    assert_eq!(decide(&policies, &shape(), &["g", "out"], &[], NOW), Decision::default());
}

#[test]
fn attributes_and_tags_are_read_as_the_schema_says() {
    let policies = compile(
        r#"
        @id("p") @reason("r") permit(principal, action, resource == Rolecall::Role::"mail") when {
            principal.active && principal.userName == "nadia" && principal.connection == Rolecall::Connection::"c1"
            && principal has emailDomain && principal.emailDomain == "example.com"
            && principal has costCenter && principal.costCenter == "4711" && principal has manager
            && principal.manager == Rolecall::User::"m1"
            && principal.hasTag("grade") && principal.getTag("grade").contains("senior")
        };
        "#,
    );
    let whole = AccountShape {
        email: Some("Nadia@Example.COM".into()),
        cost_center: Some("4711".into()),
        manager: Some("m1".into()),
        tags: Tags::from([("grade".into(), ["senior".to_owned(), "lead".into()].into())]),
        user_type: Some("x".into()),
        title: Some("x".into()),
        department: Some("x".into()),
        division: Some("x".into()),
        organization: Some("x".into()),
        employee_number: Some("x".into()),
        ..shape()
    };
    assert_eq!(granted(&decide(&policies, &whole, &[], &[], NOW)), ["mail"]);
    assert_eq!(granted(&decide(&policies, &AccountShape { tags: Tags::new(), ..whole.clone() }, &[], &[], NOW)), Vec::<&str>::new());
    // What people and roles are made into is what the schema declares.
    let groups = [member("g")];
    let principal = Principal::of("u1", "c1", &whole, &groups);
    let roles = catalogue().iter().map(|role| entity::role(role).unwrap()).collect::<Vec<_>>();
    Entities::from_entities(roles.into_iter().chain([entity::person(&principal).unwrap()]), Some(source::schema())).unwrap();
    let context = entity::context(at(NOW), true).unwrap();
    context.validate(source::schema(), &entity::hold()).unwrap();
}

#[test]
fn dates_turn_decisions_exactly_when_next_change_says() {
    let policies = compile(
        r#"
        @id("from") @reason("r") permit(principal in Rolecall::Group::"g", action, resource == Rolecall::Role::"mail")
        when { context.asOf >= datetime("2026-04-01") };
        @id("after") @reason("r") permit(principal in Rolecall::Group::"g", action, resource == Rolecall::Role::"auditor")
        when { context.asOf > datetime("2026-05-01T00:00:00+0200") };
        @id("others") @reason("r") permit(principal in Rolecall::Group::"h", action, resource == Rolecall::Role::"auditor")
        when { context.asOf > datetime("2026-03-02") };
        "#,
    );
    let mut now = NOW.to_owned();
    let mut history = Vec::new();
    loop {
        let decision = decide(&policies, &shape(), &["g"], &[], &now);
        history.push((granted(&decision).join(" "), decision.next_change.map(|next| next.to_string())));
        match decision.next_change {
            None => break,
            Some(next) => {
                let before = (next - jiff::SignedDuration::from_micros(1)).to_string();
                assert_eq!(decide(&policies, &shape(), &["g"], &[], &before).grants, decision.grants, "nothing changes before {next}");
                now = next.to_string();
            }
        }
    }
    let roles: Vec<&str> = history.iter().map(|(roles, _)| roles.as_str()).collect();
    assert_eq!(roles, ["", "mail", "mail", "mail", "auditor mail"]);
    assert_eq!(history[0].1.as_deref(), Some("2026-04-01T00:00:00Z"));
    assert_eq!(history[3].1.as_deref(), Some("2026-04-30T22:00:00.001Z"));
    assert_eq!(decide(&policies, &shape(), &[], &[], NOW).next_change, None);
}

#[test]
fn privileged_roles_are_found_through_scope_and_through_conditions_on_the_role() {
    let found = |text: &str| {
        let policies = compile(text);
        let handles: Vec<String> = policies.privileged_handles().iter().cloned().collect();
        (handles.join(" "), policies.privileged_by_proposal())
    };
    let in_group = |scope: &str, condition: &str| {
        found(&format!(r#"@id("p") @reason("r") permit(principal in Rolecall::Group::"g", action, {scope}) when {{ {condition} }};"#))
    };
    assert_eq!(in_group("resource", "true"), ("g".into(), false));
    assert_eq!(in_group("resource in Rolecall::RoleFamily::\"birthright\"", "true"), (String::new(), false));
    assert_eq!(in_group("resource", "context.proposed && !resource.privileged"), (String::new(), false));
    assert_eq!(in_group("resource", "context.proposed && resource.risk > 80"), ("g".into(), false));
    let anybody = r#"@id("p") @reason("r") permit(principal, action, resource) when { context.proposed };"#;
    assert_eq!(found(anybody), (String::new(), true));
    assert_eq!(in_group("resource", "resource.privileged || principal in Rolecall::Group::\"h\""), ("g h".into(), false));
    assert_eq!(found(r#"@id("f") forbid(principal in Rolecall::Group::"g", action, resource);"#), (String::new(), false));
    assert_eq!(compile("").privileged().iter().collect::<Vec<_>>(), ["crm-admin"]);
}

#[test]
fn slicing_asks_only_what_can_concern_the_person() {
    let mut text = String::new();
    for n in 0..200 {
        text.push_str(&format!(
            "@id(\"p{n}\") @reason(\"r\") permit(principal in Rolecall::Group::\"g{n}\", action, resource == Rolecall::Role::\"mail\");\n"
        ));
    }
    text.push_str("@id(\"n\") @reason(\"r\") permit(principal, action, resource) when { !resource.privileged && context.proposed };\n");
    text.push_str("@id(\"f\") forbid(principal, action, resource == Rolecall::Role::\"auditor\");\n");
    let policies = compile(&text);
    let asked = |handles: &[&str], proposed: &[&str]| {
        let groups: Vec<GroupMembership> = handles.iter().map(|handle| member(handle)).collect();
        let account = shape();
        let proposed = proposed.iter().map(|&role| role.to_owned()).collect();
        policies.index.questions(&Principal::of("u1", "c1", &account, &groups), &proposed)
    };
    assert_eq!(asked(&[], &[]), 0);
    assert_eq!(asked(&["g1", "g7", "none"], &[]), 2);
    assert_eq!(asked(&["g1"], &["mail", "auditor", "crm-admin", "unknown"]), 4);
    assert_eq!(granted(&decide(&policies, &shape(), &["g1"], &["mail", "auditor", "crm-admin"], NOW)), ["mail"]);
}

#[test]
fn explanations_name_what_decided_and_what_was_missed() {
    let policies = compile(
        r#"
        @id("sales") @reason("sales people") permit(principal in Rolecall::Group::"sales", action, resource == Rolecall::Role::"crm-user");
        @id("title") @reason("managers") permit(principal, action, resource == Rolecall::Role::"crm-user")
        when { principal has title && principal.title == "Manager" && context.proposed };
        @id("plugin") @reason("nominated") permit(principal, action, resource in Rolecall::RoleFamily::"birthright")
        when { context.proposed } unless { principal in Rolecall::Group::"out" };
        @id("never") forbid(principal in Rolecall::Group::"contractors", action, resource) when { resource.app == "crm" } ;
        "#
        .replace("resource.app ==", "resource has app && resource.app ==")
        .as_str(),
    );
    let why_not = explain(&policies, &shape(), &["other"], "crm-user", false, NOW);
    let nearest: Vec<(&str, &str)> = why_not.nearest.iter().map(|near| (near.policy.as_str(), near.unmet.as_str())).collect();
    assert_eq!(why_not.decision, "no_permit");
    assert_eq!(
        nearest,
        [
            ("plugin", "the tenant's plugin does not nominate the role for this person"),
            ("title", "the condition `principal has title` is false"),
            ("sales", "not in group \"sales\""),
        ]
    );
    let manager = AccountShape { title: Some("Clerk".into()), ..shape() };
    let unmet = &explain(&policies, &manager, &["out"], "crm-user", true, NOW).nearest;
    assert!(unmet[0].unmet.starts_with("the condition `!(principal in Rolecall::Group::\"out\")`"), "{unmet:?}");
    assert!(unmet[1].unmet.contains("principal.title == \"Manager\"") || unmet[1].unmet.contains("[\"title\"]"), "{unmet:?}");

    let allowed = explain(&policies, &shape(), &["sales"], "crm-user", true, NOW);
    assert_eq!(allowed.decision, "allow");
    assert_eq!(allowed.reasons, decide(&policies, &shape(), &["sales"], &["crm-user"], NOW).grants[0].reasons);
    assert!(allowed.nearest.is_empty());

    let denied = explain(&policies, &shape(), &["sales", "contractors"], "crm-user", false, NOW);
    assert_eq!((denied.decision.as_str(), denied.forbids[0].policy.as_str(), denied.reasons.len()), ("deny", "never", 0));
    let account = shape();
    assert_eq!(policies.explain(&Principal::of("u", "c", &account, &[]), "unknown", false, at(NOW)), None);
}

#[test]
fn a_record_field_is_no_variable_and_no_function() {
    // Fields named like Cedar's JSON operators must not hide what the policy reads.
    let policies = compile(
        r#"
        @id("p") @reason("r") permit(principal, action, resource)
        when { {"Value": resource.risk, "Var": 1, "offset": [1]}["Value"] < 10 };
        "#,
    );
    assert_eq!(granted(&decide(&policies, &shape(), &[], &[], NOW)), ["crm-user", "mail"]);
}

#[test]
fn nesting_within_the_limits_is_compiled_on_a_small_stack() {
    let deep = |n: usize| {
        format!("@id(\"p\") @reason(\"r\") permit(principal, action, resource) when {{ {}true{} }};", "(".repeat(n), ")".repeat(n))
    };
    let long = |n: usize| {
        format!(
            "@id(\"p\") @reason(\"r\") permit(principal, action, resource) when {{ principal.active{} }};",
            " && principal.active".repeat(n)
        )
    };
    let worst = |n: usize| {
        let not = "!".repeat(4);
        format!(
            "@id(\"p\") @reason(\"r\") permit(principal, action, resource) when {{ {}true{} }};",
            format!("{not}(").repeat(n),
            ")".repeat(n)
        )
    };
    for text in [deep(scan::NESTING_LIMIT - 2), long(scan::OPERATORS_LIMIT / 3 - 3), worst(scan::NESTING_LIMIT - 2)] {
        assert_eq!(granted(&decide(&compile(&text), &shape(), &[], &[], NOW)).len(), 4);
    }
}

/// Policies as people write them, over few groups and roles so that scopes meet.
pub(super) fn any_policy() -> impl Strategy<Value = String> {
    let who = prop_oneof![
        3 => (0..4).prop_map(|n| format!("principal in Rolecall::Group::\"g{n}\"")),
        1 => (0..2).prop_map(|n| format!("principal == Rolecall::User::\"u{n}\"")),
        1 => (0..2).prop_map(|n| format!("principal is Rolecall::User in Rolecall::Group::\"g{n}\"")),
        1 => Just("principal in Rolecall::User::\"u1\"".to_owned()),
        2 => Just("principal".to_owned()),
        1 => Just("principal is Rolecall::User".to_owned()),
    ];
    let what = prop_oneof![
        3 => prop::sample::select(vec!["mail", "crm-user", "crm-admin", "auditor"]).prop_map(|role| format!("resource == Rolecall::Role::\"{role}\"")),
        1 => Just("resource in Rolecall::Role::\"mail\"".to_owned()),
        2 => Just("resource in Rolecall::RoleFamily::\"birthright\"".to_owned()),
        1 => Just("resource is Rolecall::Role".to_owned()),
        2 => Just("resource".to_owned()),
    ];
    let part = prop_oneof![
        2 => Just("context.proposed".to_owned()),
        1 => Just("!context.proposed".to_owned()),
        1 => Just("!resource.privileged".to_owned()),
        1 => Just("resource.risk < 20".to_owned()),
        1 => Just("resource has app && resource.app == \"crm\"".to_owned()),
        1 => Just("principal in Rolecall::Group::\"g1\"".to_owned()),
        1 => Just("(principal has department && principal.department == \"Sales\")".to_owned()),
        1 => Just("context.asOf < datetime(\"2026-02-01\")".to_owned()),
        1 => Just(FAILING.to_owned()),
        1 => Just("(resource.privileged || resource.risk + 9223372036854775797 > 0)".to_owned()),
        1 => Just("(if context.proposed then resource.risk else 9223372036854775807) + 10 > 0".to_owned()),
        1 => Just("{\"a\": context}.a.proposed".to_owned()),
    ];
    let clause = (any::<bool>(), prop::collection::vec(part, 1..4))
        .prop_map(|(when, parts)| format!("{} {{ {} }}", if when { "when" } else { "unless" }, parts.join(" && ")));
    (prop::bool::weighted(0.7), who, what, prop::collection::vec(clause, 0..3)).prop_map(|(permits, who, what, clauses)| {
        let word = if permits { "permit" } else { "forbid" };
        format!("{word}({who}, action, {what}) {};", clauses.join(" "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The sliced answer is the answer: grants, reasons, errors and next change.
    #[test]
    fn slicing_changes_nothing(
        policies in prop::collection::vec(any_policy(), 1..12),
        handles in prop::collection::btree_set(0..5_usize, 0..4),
        proposed in prop::sample::subsequence(vec!["mail", "crm-user", "crm-admin", "auditor", "unknown"], 0..5),
        sales in any::<bool>(),
        month in 1..4,
    ) {
        let text: String = policies.iter().enumerate().map(|(n, policy)| format!("@id(\"p{n}\") @reason(\"r{n}\")\n{policy}\n")).collect();
        // Some combinations can never be satisfied, which strict validation says.
        let compiled = Policies::compile(&[("policies/a.cedar".into(), text)], &catalogue()).ok();
        prop_assume!(compiled.is_some());
        let policies = compiled.unwrap();
        let account = AccountShape { department: sales.then(|| "Sales".into()), ..shape() };
        let handles: Vec<String> = handles.iter().map(|n| format!("g{n}")).collect();
        let handles: Vec<&str> = handles.iter().map(String::as_str).collect();
        let now = format!("2026-0{month}-01T00:00:00Z");
        let decision = decide(&policies, &account, &handles, &proposed, &now);
        for grant in &decision.grants {
            prop_assert!(!grant.reasons.is_empty());
            prop_assert!(decision.errors.iter().all(|error| error.role != grant.role));
        }
        for role in policies.roles() {
            let explained = explain(&policies, &account, &handles, &role.id, proposed.contains(&role.id.as_str()), &now);
            let grant = decision.grants.iter().find(|grant| grant.role == role.id);
            prop_assert_eq!(&explained.reasons, &grant.map(|grant| grant.reasons.clone()).unwrap_or_default());
            prop_assert_eq!(explained.decision == "error", decision.errors.iter().any(|error| error.role == role.id));
        }
    }
}

#[test]
fn nothing_beyond_the_person_and_the_role_can_be_looked_into() {
    // Questions are asked with the person and the role alone, so what needs other entities must not be accepted.
    for condition in [
        "Rolecall::Role::\"mail\" in Rolecall::RoleFamily::\"birthright\"",
        "Rolecall::Role::\"mail\".risk < 5",
        "Rolecall::User::\"u2\" in Rolecall::Group::\"g\"",
        "Rolecall::User::\"u2\".active",
        "Rolecall::Group::\"a\" in Rolecall::Group::\"b\"",
        "principal has manager && principal.manager in Rolecall::Group::\"g\"",
        "principal has manager && principal.manager.active",
        "(if context.proposed then Rolecall::Role::\"mail\" else resource).privileged",
        "(if context.proposed then Rolecall::User::\"u2\" else principal).hasTag(\"t\")",
    ] {
        let text = format!("@id(\"p\") @reason(\"r\") permit(principal, action, resource) when {{ {condition} }};");
        assert!(Policies::compile(&[("policies/a.cedar".into(), text)], &catalogue()).is_err(), "{condition}");
    }
}
