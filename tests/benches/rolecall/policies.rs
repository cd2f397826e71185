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
        roles.push(Role {
            id,
            description: String::new(),
            risk: 1,
            privileged: false,
            approval: None,
            owner: None,
            app: None,
            families: Vec::new(),
        });
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
