//! Whom a change of policies can't touch is decided alike by both sets; and conditions are taken apart as they are written.

use super::memo::{Nesting, any_policy_of_all_kinds, anybody};
use super::*;
use crate::policies::rule;

/// Of generated policies those that can be satisfied: the others are refused, which strict validation says.
fn accepted(policies: &[(usize, String)], roles: &[Role]) -> Policies {
    let named = |(n, policy): &(usize, String)| format!("@id(\"p{n}\") @reason(\"r{n}\")\n{policy}\n");
    let compile = |text: String| Policies::compile(&[("policies/a.cedar".into(), text)], roles);
    let text: String = policies.iter().map(named).filter(|text| compile(text.clone()).is_ok()).collect();
    compile(text).unwrap_or_else(|found| panic!("{}", crate::diagnostic::render(&found, false)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    /// Grants, reasons, errors and next change of whoever is not touched are the same under both.
    #[test]
    fn whom_a_change_can_not_touch_is_decided_alike(
        shared in prop::collection::vec(any_policy_of_all_kinds(), 0..6),
        removed in prop::collection::vec(any_policy_of_all_kinds(), 0..3),
        added in prop::collection::vec(any_policy_of_all_kinds(), 0..3),
        with_role in any::<bool>(),
        people in prop::collection::vec(anybody(), 4..12),
        date in 0..4_usize,
    ) {
        let numbered = |from: usize, policies: &[String]| -> Vec<(usize, String)> { policies.iter().cloned().enumerate().map(|(n, policy)| (from + n, policy)).collect() };
        let roles = catalogue();
        let more: Vec<Role> = roles.iter().cloned().chain(with_role.then(|| Role { families: vec!["birthright".into()], ..role("reader") })).collect();
        // What is removed and what is added have numbers in common: policies that are changed.
        let before = accepted(&[numbered(0, &shared), numbered(100, &removed)].concat(), &roles);
        let after = accepted(&[numbered(0, &shared), numbered(100, &added)].concat(), &more);
        let touch = Touch::between(&before, &after).unwrap();
        let at = ["2026-01-01T00:00:00Z", "2026-01-15T12:00:00.001Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"].map(at)[date];
        for somebody in &people {
            let groups = Nesting::default().memberships(&somebody.directly_in);
            let principal = Principal::of(&somebody.user, &somebody.connection, &somebody.shape, &groups);
            let alone = Principal::of(&somebody.user, &somebody.connection, &somebody.shape, &[]);
            prop_assert!(touch.reads_groups() || touch.touches(&principal, at) == touch.touches(&alone, at));
            if !touch.touches(&principal, at) {
                let nominated = BTreeSet::new();
                prop_assert_eq!(before.decide(&principal, &nominated, at), after.decide(&principal, &nominated, at));
            }
        }
    }

    /// Explanations take conditions apart as their texts say.
    #[test]
    fn conditions_are_taken_apart_as_they_are_written(policies in prop::collection::vec(any_policy_of_all_kinds(), 1..8)) {
        let policies = accepted(&policies.into_iter().enumerate().collect::<Vec<_>>(), &catalogue());
        for (number, rule) in policies.rules.iter().enumerate() {
            let written = rule::conjuncts(&rule.policy().unwrap().to_json().unwrap()).unwrap();
            let kept = policies.index.condition(number).whole().unwrap();
            let parts = |of: &[rule::Conjunct]| of.iter().map(|part| (part.expression().clone(), part.text())).collect::<Vec<_>>();
            prop_assert_eq!(parts(&kept), parts(&written), "{}", rule.source());
        }
    }
}

#[test]
fn a_change_touches_those_whom_it_can_concern_and_nobody_else() {
    let two = r#"
        @id("sales") @reason("r") permit(principal in Rolecall::Group::"sales", action, resource == Rolecall::Role::"mail");
        @id("lab") @reason("r") permit(principal, action, resource == Rolecall::Role::"auditor") when { principal has department && principal.department == "Lab" };
    "#;
    let lab = AccountShape { department: Some("Lab".into()), ..shape() };
    let touched = |before: &Policies, after: &Policies| {
        let touch = Touch::between(before, after).unwrap();
        let mut found = Vec::new();
        for (name, account, handle) in [("nobody", &shape(), "other"), ("sales", &shape(), "sales"), ("lab", &lab, "other")] {
            let groups = [member(handle)];
            found.extend(touch.touches(&Principal::of("u1", "c1", account, &groups), at(NOW)).then_some(name));
        }
        found
    };
    let whole = compile(two);
    assert_eq!(touched(&whole, &compile(two)), Vec::<&str>::new());
    assert_eq!(touched(&whole, &compile(&two.replace("== \"Lab\"", "== \"Quay\""))), ["lab"], "who loses a role");
    assert_eq!(touched(&whole, &compile("")), ["sales", "lab"]);
    assert_eq!(touched(&compile(""), &whole), ["sales", "lab"]);
    assert_eq!(touched(&whole, &compile(&two.replacen("\"r\"", "\"another reason\"", 1))), ["sales"], "reasons are kept with roles");
    assert!(!Touch::between(&whole, &compile(two)).unwrap().reads_groups());
    // A catalogue whose roles are other ones may touch anybody; one with more of them, whom policies give them to.
    let riskier: Vec<Role> = catalogue().into_iter().map(|role| Role { risk: role.risk + 1, ..role }).collect();
    let with = |roles: &[Role], text: &str| Policies::compile(&[("policies/a.cedar".into(), text.into())], roles).unwrap();
    assert!(Touch::between(&whole, &with(&riskier, two)).is_none());
    let every = r#"@id("p") @reason("r") permit(principal in Rolecall::Group::"sales", action, resource);"#;
    let more = [catalogue(), vec![role("reader")]].concat();
    assert_eq!(touched(&compile(every), &with(&more, every)), ["sales"]);
}
