//! Cedar sliced by role and group, against asking every policy about every role.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rolecall::mapping::AccountShape;
use rolecall::model::GroupMembership;
use rolecall::policies::{Policies, Principal, Role, Unsliced};

use crate::report::Report;

/// As many policies as roles: each role is given by one group, and every tenth also has a condition on the person.
pub fn many(count: usize) -> (String, Vec<Role>) {
    let mut text = String::new();
    let mut roles = Vec::new();
    for number in 0..count {
        let condition = if number % 10 == 3 { " when { principal has department && principal.department == \"Harbour\" }" } else { "" };
        writeln!(
            text,
            "@id(\"give-{number}\")\n@reason(\"the group works with it\")\npermit (principal in Rolecall::Group::\"group-{number}\", \
             action == Rolecall::Action::\"hold\", resource == Rolecall::Role::\"role-{number}\"){condition};\n"
        )
        .expect("writing to a string can't fail");
        let id = format!("role-{number}");
        roles.push(Role { id, risk: 1, ..Role::default() });
    }
    (text, roles)
}

/// Asks about everybody's roles, both ways.
pub fn measure(report: &mut Report) {
    let shape = AccountShape { user_name: "mara@acme.example".into(), department: Some("Harbour".into()), ..AccountShape::default() };
    let group = |number: usize| GroupMembership { handle: format!("group-{number}"), chain: vec![format!("group-{number}")] };
    let groups = [group(0), group(3), group(7)];
    let principal = Principal::of("00000000-0000-7000-8000-000000000001", "connection", &shape, &groups);
    let proposed = BTreeSet::new();
    for count in [10, 100] {
        let (text, roles) = many(count);
        let policies = Policies::compile(&[("policies/many.cedar".into(), text)], &roles).unwrap_or_else(|problems| panic!("{problems:?}"));
        let as_of = rolecall::model::Instant(1_790_000_000_000_000).timestamp();
        let unsliced = Unsliced::of(&policies).unwrap_or_else(|problem| panic!("{problem}"));
        let sliced = policies.decide(&principal, &proposed, as_of);
        assert_eq!(sliced, unsliced.decide(&principal, &proposed, as_of), "the same answer both ways");
        assert_eq!(sliced.grants.len(), 3, "three groups give three roles");
        report.calls(
            format!("roles of one person, {count} policies"),
            ("sliced", || policies.decide(&principal, &proposed, as_of)),
            ("every policy", || unsliced.decide(&principal, &proposed, as_of)),
        );
    }
}

/// As many permits as policies, all of them about one role and everybody, so that each has to be asked before nobody is given it.
fn all_about_one_role(count: usize) -> Policies {
    let mut text = String::new();
    for number in 0..count {
        writeln!(
            text,
            "@id(\"give-{number}\")\n@reason(\"the department works with it\")\npermit (principal, action == Rolecall::Action::\"hold\", \
             resource == Rolecall::Role::\"role\") when {{ principal has department && principal.department == \"Quay {number}\" }};\n"
        )
        .expect("writing to a string can't fail");
    }
    let roles = [Role { id: "role".into(), risk: 1, ..Role::default() }];
    Policies::compile(&[("policies/one.cedar".into(), text)], &roles).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Asks why somebody has not a role that 1,000 policies could give.
pub fn measure_why_not(report: &mut Report) {
    let shape = AccountShape { user_name: "mara@acme.example".into(), department: Some("Harbour".into()), ..AccountShape::default() };
    let principal = Principal::of("00000000-0000-7000-8000-000000000001", "connection", &shape, &[]);
    let as_of = rolecall::model::Instant(1_790_000_000_000_000).timestamp();
    let policies = all_about_one_role(1_000);
    let why_not = policies.explain(&principal, "role", false, as_of).expect("the catalogue has the role");
    assert_eq!((why_not.decision.as_str(), why_not.nearest.len()), ("no_permit", 20));
    assert_eq!(why_not.nearest[0].saw[0].value, "Harbour", "the value that was seen");
    let proposed = BTreeSet::new();
    report.calls(
        "why not, 1,000 policies about the role",
        ("explained", || policies.explain(&principal, "role", false, as_of)),
        ("decided", || policies.decide(&principal, &proposed, as_of)),
    );
}
