//! Remembered answers are the answers: for whole populations, over dates, in any order.

use super::*;
use crate::model::Tags;
use crate::policies::memo::BYTES_LIMIT;

/// A policy of every kind that can be written, over few groups, people, roles, values and dates, so that they meet.
pub(super) fn any_policy_of_all_kinds() -> impl Strategy<Value = String> {
    let who = prop_oneof![
        4 => (0..5).prop_map(|n| format!("principal in Rolecall::Group::\"g{n}\"")),
        1 => (0..3).prop_map(|n| format!("principal == Rolecall::User::\"u{n}\"")),
        1 => (0..3).prop_map(|n| format!("principal is Rolecall::User in Rolecall::Group::\"g{n}\"")),
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
    let part = prop::sample::select(vec![
        "context.proposed",
        "!context.proposed",
        "!resource.privileged",
        "resource.risk < 20",
        "resource has app && resource.app == \"crm\"",
        "principal in Rolecall::Group::\"g1\"",
        "principal in [Rolecall::Group::\"g2\", Rolecall::Group::\"g3\"]",
        "principal is Rolecall::User in Rolecall::Group::\"g4\"",
        "principal == Rolecall::User::\"u2\"",
        "principal != Rolecall::User::\"u0\"",
        "(principal has manager && principal.manager == Rolecall::User::\"u1\")",
        "(principal has manager && principal.manager == principal)",
        "principal.connection == Rolecall::Connection::\"c1\"",
        "(principal has department && principal.department == \"Sales\")",
        "(principal has department && principal.department like \"S*\")",
        "(principal has title && principal has department && principal.title == principal.department)",
        "(principal has emailDomain && principal.emailDomain == \"example.com\")",
        "principal.hasTag(\"grade\")",
        "(principal.hasTag(\"grade\") && principal.getTag(\"grade\").contains(\"senior\"))",
        "(principal.hasTag(\"site\") && principal.getTag(\"site\").containsAny([\"north\", \"south\"]))",
        "(principal.hasTag(principal.userName) && principal.getTag(principal.userName).isEmpty())",
        "context.asOf < datetime(\"2026-02-01\")",
        "(context.asOf >= datetime(\"2026-01-15T12:00:00Z\") && context.asOf < datetime(\"2026-03-01T00:00:00+0200\"))",
        "(if principal has costCenter then decimal(\"1.50\") else decimal(\"2.25\")).lessThan(decimal(\"2.0\"))",
        "resource.risk + 9223372036854775807 > 0",
        "(principal has department && resource.risk + 9223372036854775797 > 0)",
        "(if context.proposed then resource.risk else 9223372036854775807) + 10 > 0",
        "{\"a\": context}.a.proposed",
        "{\"a\": principal}.a.userName == \"n1\"",
    ]);
    let clause = (any::<bool>(), prop::collection::vec(part, 1..3))
        .prop_map(|(when, parts)| format!("{} {{ {} }}", if when { "when" } else { "unless" }, parts.join(" && ")));
    (prop::bool::weighted(0.7), who, what, prop::collection::vec(clause, 0..3)).prop_map(|(permits, who, what, clauses)| {
        let word = if permits { "permit" } else { "forbid" };
        format!("{word}({who}, action, {what}) {};", clauses.join(" "))
    })
}

/// Somebody: as the policies see them, the groups that they are directly in, and what is nominated.
#[derive(Clone, Debug)]
pub(super) struct Somebody {
    pub user: String,
    pub connection: String,
    pub shape: AccountShape,
    pub directly_in: BTreeSet<usize>,
    proposed: BTreeSet<String>,
}

pub(super) fn anybody() -> impl Strategy<Value = Somebody> {
    let one_of = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values).prop_map(str::to_owned));
    let tags = prop::collection::btree_map(
        prop::sample::select(vec!["grade".to_owned(), "site".into(), "n1".into()]),
        prop::collection::btree_set(prop::sample::select(vec!["senior".to_owned(), "north".into(), "x".into()]), 0..3),
        0..3,
    );
    let attributes = (
        0..4,
        one_of(&["Sales", "Support", "Lab"]),
        one_of(&["Sales", "Clerk"]),
        one_of(&["a@example.com", "b@EXAMPLE.com", "c@other.example"]),
        one_of(&["4711"]),
        one_of(&["u0", "u1", "u3"]),
        tags,
    );
    let groups = prop::collection::btree_set(0..6_usize, 0..4);
    let proposed = prop::sample::subsequence(vec!["mail", "crm-user", "crm-admin", "auditor", "unknown"], 0..4);
    (attributes, groups, proposed, 0..2).prop_map(|(attributes, directly_in, proposed, connection)| {
        let (number, department, title, email, cost_center, manager, tags) = attributes;
        let shape = AccountShape {
            user_name: format!("n{number}"),
            tags: Tags::from_iter(tags),
            department,
            title,
            email,
            cost_center,
            manager,
            ..AccountShape::default()
        };
        let proposed = proposed.into_iter().map(str::to_owned).collect();
        Somebody { user: format!("u{number}"), connection: format!("c{connection}"), shape, directly_in, proposed }
    })
}

/// Groups in groups.
#[derive(Default)]
pub(super) struct Nesting(BTreeSet<(usize, usize)>);

impl Nesting {
    /// The chain from each group that is reached to where it was reached from.
    fn above(&self, group: usize) -> BTreeMap<usize, Vec<usize>> {
        let mut chains = BTreeMap::from([(group, vec![group])]);
        let mut waiting = vec![group];
        while let Some(inner) = waiting.pop() {
            for &(_, outer) in self.0.iter().filter(|(child, _)| *child == inner) {
                if !chains.contains_key(&outer) {
                    let chain: Vec<usize> = chains[&inner].iter().copied().chain([outer]).collect();
                    chains.insert(outer, chain);
                    waiting.push(outer);
                }
            }
        }
        chains
    }

    /// Puts a group into another, unless that would close a cycle, which is refused.
    fn put(&mut self, inner: usize, outer: usize) {
        if !self.above(outer).contains_key(&inner) {
            self.0.insert((inner, outer));
        }
    }

    pub fn memberships(&self, directly_in: &BTreeSet<usize>) -> Vec<GroupMembership> {
        let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &group in directly_in {
            for (above, chain) in self.above(group) {
                found.entry(above).or_insert(chain);
            }
        }
        let name = |group: &usize| format!("g{group}");
        found.iter().map(|(group, chain)| GroupMembership { handle: name(group), chain: chain.iter().map(name).collect() }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    /// Sliced and remembered, sliced and asked afresh, and Cedar's own authorizer over every pair: grants, reasons, errors and next change.
    #[test]
    fn remembering_changes_nothing(
        policies in prop::collection::vec(any_policy_of_all_kinds(), 1..12),
        nested in prop::collection::vec((0..6_usize, 0..6_usize), 0..8),
        people in prop::collection::vec(anybody(), 2..10),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize), 8..24),
    ) {
        // Policies that can never be satisfied are refused, which strict validation says: they are left out one by one.
        let asks = |n: usize, policy: &str| if n % 2 == 1 && policy.starts_with("permit") { format!("@approval(\"a{n}\")") } else { String::new() };
        let named = |(n, policy): (usize, &String)| format!("@id(\"p{n}\") @reason(\"r{n}\") {}\n{policy}\n", asks(n, policy));
        let accepted: String = policies.iter().enumerate().map(named)
            .filter(|text| Policies::compile(&[("policies/a.cedar".into(), text.clone())], &catalogue()).is_ok()).collect();
        let policies = compile(&accepted);
        let everything = Unsliced::of(&policies).unwrap();
        let mut nesting = Nesting::default();
        nested.into_iter().for_each(|(inner, outer)| nesting.put(inner, outer));
        let dates = ["2026-01-01T00:00:00Z", "2026-01-15T12:00:00.001Z", "2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z",
                     "2026-02-28T22:00:00Z", "2026-03-01T00:00:00Z"].map(at);
        for (index, date) in order {
            let somebody = &people[index.index(people.len())];
            let groups = nesting.memberships(&somebody.directly_in);
            let principal = Principal::of(&somebody.user, &somebody.connection, &somebody.shape, &groups);
            let remembered = policies.decide(&principal, &somebody.proposed, dates[date]);
            prop_assert_eq!(&remembered, &policies.decide_afresh(&principal, &somebody.proposed, dates[date]), "{}", accepted);
            prop_assert_eq!(&remembered, &everything.decide(&principal, &somebody.proposed, dates[date]), "{}", accepted);
            prop_assert_eq!(&remembered, &policies.decide(&principal, &somebody.proposed, dates[date]), "{}", accepted);
        }
    }
}

fn is_known(policies: &Policies, shape: &AccountShape, user: &str, handles: &[&str], proposed: &[&str], now: &str) -> bool {
    let groups: Vec<GroupMembership> = handles.iter().map(|handle| member(handle)).collect();
    let proposed = proposed.iter().map(|&role| role.to_owned()).collect();
    let key = policies.memo.key(&Principal::of(user, "c1", shape, &groups), &proposed, at(now));
    key.is_some_and(|key| policies.memo.decided(&key).is_some())
}

#[test]
fn people_share_an_answer_when_all_that_is_read_is_alike() {
    let policies = compile(
        r#"
        @id("g") @reason("r") permit(principal in Rolecall::Group::"g", action, resource == Rolecall::Role::"mail")
        when { principal has department && principal.department == "Sales" && context.asOf < datetime("2026-06-01") };
        @id("h") @reason("r") permit(principal in Rolecall::Group::"h", action, resource == Rolecall::Role::"auditor") when { context.proposed };
        @id("u") @reason("r") permit(principal == Rolecall::User::"u9", action, resource == Rolecall::Role::"auditor");
        "#,
    );
    let sales = AccountShape { department: Some("Sales".into()), ..shape() };
    assert_eq!(granted(&decide(&policies, &sales, &["g", "unnamed"], &["mail"], NOW)), ["mail"]);
    let known = |shape: &AccountShape, user: &str, handles: &[&str], proposed: &[&str], now: &str| {
        is_known(&policies, shape, user, handles, proposed, now)
    };
    let other_name = AccountShape { user_name: "olga".into(), title: Some("x".into()), ..sales.clone() };
    assert!(known(&other_name, "u2", &["g"], &[], "2026-04-01T00:00:00Z"), "nothing that is read is another");
    assert!(!known(&shape(), "u2", &["g"], &[], NOW), "another department");
    assert!(!known(&sales, "u9", &["g"], &[], NOW), "somebody who is named");
    assert!(!known(&sales, "u2", &["g"], &[], "2026-06-01T00:00:00Z"), "a date has come");
    assert!(!known(&sales, "u2", &["g", "h"], &[], NOW), "another group");
    let _ = decide(&policies, &sales, &["h"], &["mail"], NOW);
    assert!(known(&shape(), "u2", &["h"], &["mail"], NOW), "the department is not read in this group");
    assert!(!known(&sales, "u2", &["h"], &["auditor"], NOW), "another role is nominated");
}

#[test]
fn what_failed_and_what_is_opaque_is_never_shared() {
    let failing = compile(&format!(r#"@id("p") @reason("r") permit(principal, action, resource) when {{ {FAILING} }};"#));
    assert_eq!(decide(&failing, &shape(), &[], &[], NOW).errors.len(), 4);
    assert!(!is_known(&failing, &shape(), "u1", &[], &[], NOW));
    let opaque = compile(r#"@id("p") @reason("r") permit(principal, action, resource) when { {"p": principal}.p.userName == "nadia" };"#);
    assert_eq!(granted(&decide(&opaque, &shape(), &[], &[], NOW)).len(), 4);
    let olga = AccountShape { user_name: "olga".into(), ..shape() };
    assert_eq!(granted(&decide(&opaque, &olga, &[], &[], NOW)).len(), 0);
    assert_eq!(opaque.memo.bytes(), 0);
}

#[test]
fn memory_is_bounded_and_what_is_asked_for_stays() {
    let policies = compile(r#"@id("p") @reason("r") permit(principal, action, resource) when { principal.userName like "*nobody" };"#);
    let named = |number: usize| AccountShape { user_name: format!("{number}-{}", "x".repeat(1_000)), ..shape() };
    let regular = named(usize::MAX);
    let proposed = BTreeSet::new();
    for number in 0..4_000 {
        for account in [&regular, &named(number)] {
            let _ = policies.decide(&Principal::of("u1", "c1", account, &[]), &proposed, at(NOW));
        }
        assert!(policies.memo.bytes() <= BYTES_LIMIT, "after {number}");
    }
    assert!(is_known(&policies, &regular, "u1", &[], &[], NOW), "asked for again and again");
    assert!(!is_known(&policies, &named(0), "u1", &[], &[], NOW), "asked for once, long ago");
}
