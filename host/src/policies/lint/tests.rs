//! Findings of each kind, near misses that stay silent, and that what is claimed holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::diagnostic::render_findings;
use crate::mapping::AccountShape;
use crate::model::GroupMembership;
use crate::policies::tests::any_policy;
use crate::policies::{Decision, Facts, LINTS, Policies, Principal, Role, lint_policies};

/// Each file of `testdata/lints` is policies over one catalogue, with what is found of them in a comment at the end of each line:
/// `// ~ code` marks the line above or the line itself. `UPDATE_EXPECT=1` does nothing here: what should be found is written by hand.
fn cases() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lints");
    let mut cases: Vec<(String, String)> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    cases.sort();
    cases
}

fn role(id: &str, privileged: bool, risk: i64, families: &[&str]) -> Role {
    let families = families.iter().map(|&family| family.to_owned()).collect();
    Role { id: id.into(), risk, privileged, families, ..Role::default() }
}

fn catalogue() -> Vec<Role> {
    vec![role("mail", false, 1, &["birthright"]), role("crm", false, 30, &["birthright", "sales"]), role("root", true, 95, &["admin"])]
}

fn facts() -> Facts {
    Facts {
        handles: Some(["staff", "sales", "admins", "auditors"].map(str::to_owned).into()),
        unconfirmed: ["auditors".to_owned()].into(),
        held: None,
        now: Some("2026-06-01T00:00:00Z".parse().unwrap()),
    }
}

/// (line, code) of what is found of policies; roles aside, which the cases don't all give.
fn found(text: &str) -> Vec<(usize, String)> {
    let sources = [("policies/a.cedar".to_owned(), text.to_owned())];
    let found =
        lint_policies(&sources, &catalogue(), &facts()).unwrap_or_else(|problems| panic!("{}\n{text}", render_findings(&problems, false)));
    let of_policies = found.into_iter().filter(|finding| finding.file != "tenant.toml");
    of_policies.map(|finding| (finding.line.unwrap(), finding.code.unwrap())).collect()
}

#[test]
fn each_case_finds_what_it_marks_and_nothing_else() {
    let mut marked = BTreeSet::new();
    for (name, text) in cases() {
        let mut expected: Vec<(usize, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            for code in line.split_once("// ~ ").into_iter().flat_map(|(_, codes)| codes.split_whitespace()) {
                expected.push((number + 1, code.to_owned()));
                marked.insert(code.to_owned());
            }
        }
        let mut found = found(&text);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name}");
        assert_eq!(name.starts_with("silent"), expected.is_empty(), "{name}: silent cases say so in their name");
    }
    for lint in LINTS.iter().filter(|lint| !lint.refused) {
        let of_roles = [
            "role_without_permit",
            "role_nobody_holds",
            "partly_compared",
            "admin_for_everybody",
            "admin_never_met",
            "action_without_permit",
        ]
        .contains(&lint.code);
        assert!(of_roles || marked.contains(lint.code), "`{}` has no case", lint.code);
    }
}

#[test]
fn roles_that_stand_for_nothing_are_told() {
    let text = "@id(\"p\") @reason(\"r\") permit(principal, action, resource in Rolecall::RoleFamily::\"birthright\");";
    let sources = [("policies/a.cedar".to_owned(), text.to_owned())];
    let held = Some(BTreeSet::from(["crm".to_owned()]));
    let found = lint_policies(&sources, &catalogue(), &Facts { held, ..Facts::default() }).unwrap();
    let told: Vec<(&str, &str)> = found.iter().map(|finding| (finding.code.as_deref().unwrap(), finding.message.as_str())).collect();
    assert_eq!(
        told,
        [("role_nobody_holds", "nobody holds the role `mail`"), ("role_without_permit", "no permit can give the role `root` to anybody")]
    );
}

#[test]
fn too_much_to_compare_is_said() {
    let many: String = (0..500)
        .map(|n| format!("@id(\"p{n}\") @reason(\"r\") permit(principal, action, resource) when {{ principal.userName == \"u{n}\" }};\n"))
        .collect();
    assert!(found_of_file(&many).iter().any(|code| code == "partly_compared"));
    // Fewer of those that have many alternatives: a read token is enough to ask.
    let shared: String = (0..60).map(|n| format!("principal.userName == \"u{n}\" || ")).collect();
    let wide: String = (0..40)
        .map(|n| {
            format!(
                "@id(\"p{n}\") @reason(\"r\") permit(principal, action, resource) when {{ {shared}principal.userName == \"own{n}\" }};\n"
            )
        })
        .collect();
    assert!(found_of_file(&wide).iter().any(|code| code == "partly_compared"));
    let few: String = wide.lines().take(4).map(|line| format!("{line}\n")).collect();
    assert!(!found_of_file(&few).iter().any(|code| code == "partly_compared"));
}

fn found_of_file(text: &str) -> Vec<String> {
    let sources = [("policies/a.cedar".to_owned(), text.to_owned())];
    lint_policies(&sources, &catalogue(), &facts()).unwrap().into_iter().filter_map(|finding| finding.code).collect()
}

#[test]
fn a_policy_that_is_wrong_is_refused_with_a_code_that_the_table_has() {
    let wrong = "permit(principal, action, resource == Rolecall::Role::\"none\");\n\
        @id(\"f\") forbid(principal, action, resource in Rolecall::RoleFamily::\"none\");";
    let sources = [("policies/a.cedar".to_owned(), wrong.to_owned())];
    let problems = lint_policies(&sources, &catalogue(), &Facts::default()).unwrap_err();
    let codes: BTreeSet<&str> = problems.iter().filter_map(|problem| problem.code.as_deref()).collect();
    assert_eq!(codes, BTreeSet::from(["no_id", "no_reason", "unknown_family", "unknown_role"]));
    assert!(codes.iter().all(|code| LINTS.iter().any(|lint| lint.refused && lint.code == *code)));
}

/// docs/policies.md has the table of lints as it stands here. `UPDATE_EXPECT=1` rewrites it.
#[test]
fn the_page_about_policies_lists_every_lint() {
    const BEGIN: &str = "<!-- lints: begin -->\n";
    const END: &str = "<!-- lints: end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table ends");
    let row = |lint: &crate::policies::Lint| {
        format!("| `{}` | {} | {} | {} |\n", lint.code, if lint.refused { "refused" } else { "lint" }, lint.meaning, lint.remedy)
    };
    let table: String = LINTS.iter().map(row).collect();
    let expected = format!("{before}{BEGIN}\n| code | | what it is | what to do |\n|---|---|---|---|\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == expected, "docs/policies.md is behind: UPDATE_EXPECT=1 rewrites it");
}

/// What is decided of one person by these policies; `None` where they can't be compiled.
fn decide(policies: &[String], handles: &[String], user: &str, nominated: bool, sales: bool, month: u8) -> Option<Decision> {
    let roles = generated_roles();
    let policies = Policies::compile(&[("policies/a.cedar".to_owned(), policies.concat())], &roles).ok()?;
    let shape = AccountShape { user_name: "nadia".into(), department: sales.then(|| "Sales".into()), ..AccountShape::default() };
    let groups: Vec<GroupMembership> =
        handles.iter().map(|handle| GroupMembership { handle: handle.clone(), chain: vec![handle.clone()] }).collect();
    let proposed = if nominated { roles.into_iter().map(|role| role.id).collect() } else { BTreeSet::new() };
    let at = format!("2026-0{month}-01T00:00:00Z").parse().unwrap();
    Some(policies.decide(&Principal::of(user, "c", &shape, &groups), &proposed, at))
}

/// The roles that generated policies name.
fn generated_roles() -> Vec<Role> {
    let app = |role: Role| Role { app: Some("crm".into()), ..role };
    vec![
        role("mail", false, 1, &["birthright"]),
        app(role("crm-user", false, 2, &["birthright"])),
        app(role("crm-admin", true, 90, &[])),
        role("auditor", false, 50, &[]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What is called dead changes no decision, and what is called shadowed changes none beside the other; what is called overruled gives nothing.
    #[test]
    fn what_is_claimed_holds(
        policies in prop::collection::vec(any_policy(), 1..8),
        people in prop::collection::vec(
            (prop::collection::btree_set(0..5_usize, 0..4), 0..3_u8, any::<bool>(), any::<bool>(), 1..4_u8),
            6,
        ),
    ) {
        let policies: Vec<String> =
            policies.iter().enumerate().map(|(n, policy)| format!("@id(\"p{n}\") @reason(\"r{n}\")\n{policy}\n")).collect();
        let sources = [("policies/a.cedar".to_owned(), policies.concat())];
        let found = lint_policies(&sources, &generated_roles(), &Facts::default());
        // Some combinations can never be satisfied, which strict validation says.
        prop_assume!(found.is_ok());
        for finding in found.unwrap() {
            let code = finding.code.unwrap_or_default();
            let Some(number) = policies.iter().scan(0, |line, policy| {
                let from = *line;
                *line += policy.lines().count();
                Some((from, *line))
            }).position(|(from, to)| finding.line.is_some_and(|line| line > from && line <= to)) else { continue };
            if !["dead_policy", "shadowed_policy", "overruled_permit"].contains(&code.as_str()) {
                continue;
            }
            let mut without = policies.clone();
            without.remove(number);
            for (handles, user, nominated, sales, month) in &people {
                let handles: Vec<String> = handles.iter().map(|n| format!("g{n}")).collect();
                let decided = |policies: &[String]| decide(policies, &handles, &format!("u{user}"), *nominated, *sales, *month).unwrap();
                let (all, rest) = (decided(&policies), decided(&without));
                let granted = |decision: &Decision| decision.grants.iter().map(|grant| grant.role.clone()).collect::<Vec<_>>();
                prop_assert_eq!(granted(&all), granted(&rest), "{} {}\n{}", code, number, policies.concat());
                prop_assert_eq!(&all.errors, &rest.errors, "{} {}\n{}", code, number, policies.concat());
                let gives = all.grants.iter().flat_map(|grant| &grant.reasons).any(|reason| reason.policy == format!("p{number}"));
                prop_assert!(!gives || code == "shadowed_policy", "{} {}\n{}", code, number, policies.concat());
            }
        }
    }
}
