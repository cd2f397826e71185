//! The starter packs are in order and their tests can fail; what policy tests refuse; declared tags; layouts and comparisons.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::{render, render_findings};
use crate::revision::read_folder;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(files: &Files) -> Rulebook {
    Rulebook::read(files).unwrap_or_else(|problems| panic!("{}", render(&problems, false)))
}

fn files(written: &[(&str, &str)]) -> Files {
    written.iter().map(|&(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect()
}

fn text<'f>(files: &'f Files, path: &str) -> &'f str {
    std::str::from_utf8(&files[path]).unwrap()
}

/// The folders of `policies/` and the example tenants.
fn folders(of: &str) -> Vec<(String, Files)> {
    let mut found: Vec<(String, Files)> = fs::read_dir(repository(of))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, read_folder(&path).unwrap_or_else(|problems| panic!("{}", render(&problems, false))))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn packs_and_examples_are_formatted_and_without_a_finding() {
    for (name, files) in folders("policies").into_iter().chain(folders("examples/tenants")) {
        let formatted = format(&files).unwrap_or_else(|problems| panic!("{}", render(&problems, false)));
        assert!(formatted.is_empty(), "{name}: `rolecall policy fmt` changes\n{}", formatted[0].diff);
        let findings = read(&files).lint(Facts::default()).unwrap();
        assert!(findings.is_empty(), "{name}:\n{}", render_findings(&findings, false));
    }
}

#[test]
fn each_pack_passes_its_tests_and_each_test_file_fails_without_any_of_its_policies() {
    let packs = folders("policies");
    assert!(packs.len() >= 6, "{} packs", packs.len());
    for (name, pack) in packs {
        assert!(repository("policies").join(&name).join("README.md").exists(), "{name} has no page");
        for result in read(&pack).test() {
            assert_eq!(result.diff, None, "{name}: {}", result.name);
        }
        let sources: Vec<&String> = pack.keys().filter(|path| matches!(Kind::of(path), Some(Kind::Policy | Kind::Admin))).collect();
        assert!(!sources.is_empty(), "{name} has no policies");
        for path in sources {
            let tests = path.replace(".cedar", ".test.json");
            assert!(pack.contains_key(&tests), "{name}: no tests beside {path}");
            let policies = policies::texts_by_id(&[(path.clone(), text(&pack, path).to_owned())]);
            for (id, policy) in policies {
                let mut without = pack.clone();
                without.insert(path.clone(), text(&pack, path).replace(&policy, "").into_bytes());
                // Whoever takes a policy out takes it out of the reasons too: what is decided has to differ all the same.
                let mut cases: serde_json::Value = serde_json::from_str(text(&pack, &tests)).unwrap();
                for case in cases.as_array_mut().unwrap() {
                    for named in ["/reasons", "/approval/policies"] {
                        if let Some(named) = case.pointer_mut(named).and_then(serde_json::Value::as_array_mut) {
                            named.retain(|named| *named != id);
                        }
                    }
                }
                without.insert(tests.clone(), cases.to_string().into_bytes());
                let failed = match Rulebook::read(&without) {
                    Ok(rules) => rules.test().iter().any(|result| result.file == tests && result.diff.is_some()),
                    Err(problems) => panic!("{name} without `{id}`: {}", render(&problems, false)),
                };
                assert!(failed, "{name}: no test of {tests} misses the policy `{id}`");
            }
        }
    }
}

const SETTINGS: &str = "name = \"T\"\n[[roles]]\nid = \"mail\"\n";
const POLICY: &str = "@id(\"p\") @reason(\"r\") permit(principal in Rolecall::Group::\"g\", action, resource);\n";

fn with_test(test: &str) -> Files {
    files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", POLICY), ("policies/a.test.json", test)])
}

#[test]
fn a_policy_test_that_fails_shows_the_difference_and_why() {
    let test = r#"[{"description": "d", "groups": ["h"], "role": "mail", "decision": "allow", "reasons": ["p"]}]"#;
    let diff = read(&with_test(test)).test()[0].diff.clone().unwrap();
    assert!(diff.contains("-  \"decision\": \"allow\"") && diff.contains("+  \"decision\": \"no_permit\""), "{diff}");
    assert!(diff.contains("# `p`: not in group \"g\""), "{diff}");
    let chain = r#"[{"description": "d", "groups": [["h", "g"]], "role": "mail", "decision": "allow"}]"#;
    assert_eq!(read(&with_test(chain)).test()[0].diff, None);
    // Who is in a group through another is in that one as well.
    let through = r#"[{"description": "d", "groups": [["g", "h"]], "role": "mail", "decision": "no_permit"}]"#;
    assert!(read(&with_test(through)).test()[0].diff.is_some());
    let wrong_reason = r#"[{"description": "d", "groups": ["g"], "role": "mail", "decision": "allow", "reasons": []}]"#;
    assert!(read(&with_test(wrong_reason)).test()[0].diff.is_some());
}

/// Whether somebody is asked, and by which rule: a permit without `@approval` gives the role at once, the catalogue asks whatever gives it.
#[test]
fn a_policy_test_says_who_is_asked() {
    let settings = "name = \"T\"\n[[roles]]\nid = \"mail\"\n[[roles]]\nid = \"root\"\nprivileged = true\n";
    let asks = "@id(\"asks\") @reason(\"r\") @approval(\"a lead agrees\") permit(principal in Rolecall::Group::\"a\", action, resource);\n";
    let gives = "@id(\"gives\") @reason(\"r\") permit(principal in Rolecall::Group::\"g\", action, resource);\n";
    let policies = format!("{asks}{gives}");
    let diff = |groups: &str, role: &str, approval: &str| {
        let test =
            format!(r#"[{{"description": "d", "groups": {groups}, "role": "{role}", "decision": "allow", "approval": {approval}}}]"#);
        let folder = files(&[("tenant.toml", settings), ("policies/a.cedar", &policies), ("policies/a.test.json", &test)]);
        read(&folder).test()[0].diff.clone()
    };
    for (groups, role, approval) in [
        (r#"["a"]"#, "mail", "true"),
        (r#"["a"]"#, "mail", r#"{"policies": ["asks"]}"#),
        (r#"["a", "g"]"#, "mail", "false"),
        (r#"["a", "g"]"#, "mail", "{}"),
        (r#"["g"]"#, "root", r#"{"role": true}"#),
        (r#"["a"]"#, "root", r#"{"role": true, "policies": ["asks"]}"#),
    ] {
        assert_eq!(diff(groups, role, approval), None, "{groups} {role} {approval}");
    }
    let other = diff(r#"["a"]"#, "mail", "false").expect("somebody is asked");
    assert!(other.contains("-  \"approval\": false") && other.contains("+      \"asks\""), "{other}");
    assert!(diff(r#"["g"]"#, "mail", "true").is_some() && diff(r#"["a"]"#, "root", r#"{"policies": ["asks"]}"#).is_some());
    // A role that is not given is asked about by nobody, whatever is expected.
    let none = diff(r#"["x"]"#, "root", "true").expect("not given");
    assert!(none.contains("+  \"decision\": \"no_permit\"") && none.contains("\"role\": false"), "{none}");
}

#[test]
fn what_policy_tests_name_has_to_be_there() {
    for (test, word) in [
        (r#"[{"description": "d", "role": "none", "decision": "allow"}]"#, "the catalogue has no role `none`"),
        (r#"[{"description": "d", "role": "mail", "decision": "allow", "reasons": ["q"]}]"#, "no policy has the `@id` `q`"),
        (r#"[{"description": "d", "role": "mail", "decision": "maybe"}]"#, "unknown variant `maybe`"),
        (r#"[{"description": "d", "role": "mail", "decision": "deny", "grops": []}]"#, "unknown field `grops`"),
        (r#"[{"description": "d", "role": "mail", "decision": "allow", "approval": {"policies": ["q"]}}]"#, "no policy has the `@id` `q`"),
        (r#"[{"description": "d", "role": "mail", "decision": "deny", "approval": true}]"#, "goes with the decision `allow`"),
        (r#"[{"description": "d", "role": "mail", "decision": "allow", "approval": "yes"}]"#, "true, false, or `{"),
        (r#"[{"description": "", "role": "mail", "decision": "deny"}]"#, "a description of its own"),
        (r#"[{"description": "d", "subject": {"dept": "x"}, "role": "mail", "decision": "deny"}]"#, "unknown field `dept`"),
        (r#"[{"description": "d", "as_of": "soon", "role": "mail", "decision": "deny"}]"#, "RFC 3339"),
    ] {
        let problems = Rulebook::read(&with_test(test)).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.message.contains(word) && problem.line == Some(1)), "{test}: {problems:?}");
    }
}

#[test]
fn declared_tags_are_all_there_are() {
    let settings = format!("{SETTINGS}[tags.worker]\nvalues = [\"contractor\"]\n[tags.team]\n");
    let condition = |condition: &str| {
        let policy = format!("@id(\"p\") @reason(\"r\") permit(principal, action, resource) when {{ {condition} }};");
        let read = Rulebook::read(&files(&[("tenant.toml", &settings), ("policies/a.cedar", &policy)]));
        read.err().unwrap_or_default().into_iter().map(|problem| (problem.code.unwrap_or_default(), problem.message)).collect::<Vec<_>>()
    };
    let of = |tag: &str, rest: &str| format!("principal.hasTag(\"{tag}\") && principal.getTag(\"{tag}\").{rest}");
    assert_eq!(condition(&of("worker", "contains(\"contractor\")")), []);
    assert_eq!(condition(&of("team", "contains(\"whatever\")")), []);
    let unknown = |message: &str| vec![("unknown_tag".to_owned(), message.to_owned())];
    assert_eq!(condition(&of("wroker", "contains(\"x\")")), unknown("the tag `wroker` is not declared"));
    let strange = unknown("the tag `worker` is not declared to have the value `contracter`");
    assert_eq!(condition(&of("worker", "contains(\"contracter\")")), strange);
    assert_eq!(condition(&of("worker", "containsAny([\"contractor\", \"contracter\"])")), strange);
    let test = r#"[{"description": "d", "subject": {"tags": {"worker": ["x"]}}, "role": "mail", "decision": "deny"}]"#;
    let folder = files(&[("tenant.toml", &settings), ("policies/a.cedar", POLICY), ("policies/a.test.json", test)]);
    assert!(Rulebook::read(&folder).is_err(), "a test's tags are declared ones too");
}

#[test]
fn comments_stay_where_policies_are_laid_out() {
    let messy = "// first\n@id(\"p\")   @reason(\"r\")\npermit(principal,action,resource // what\n) when{context.proposed}; // last\n";
    let folder = files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", messy)]);
    let formatted = format(&folder).unwrap();
    for comment in ["// first", "// what", "// last"] {
        assert!(formatted[0].text.contains(comment), "{}", formatted[0].text);
    }
    let again = files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", &formatted[0].text)]);
    assert_eq!(format(&again).unwrap(), [], "once is enough");
    let broken = files(&[("policies/a.cedar", "permit(principal")]);
    assert!(format(&broken).unwrap_err()[0].line.is_some());
}

#[test]
fn comparisons_go_by_id_and_tell_annotations_apart() {
    let before = "@id(\"gone\") @reason(\"r\") permit(principal, action, resource);\n\
        @id(\"same\") @reason(\"r\") permit(principal, action, resource);\n\
        @id(\"noted\") @reason(\"r\") permit(principal, action, resource);\n\
        @id(\"other\") @reason(\"r\") permit(principal, action, resource) when { context.proposed } unless { resource.privileged };";
    let after = "@id(\"other\") @reason(\"r\") forbid(principal in Rolecall::Group::\"g\", action, resource)\n\
        when { context.proposed } when { resource.risk > 5 };\n\
        @id(\"noted\") @reason(\"because\") @owner(\"o\") permit(principal, action, resource);\n\
        // moved, and laid out otherwise\n@reason(\"r\") @id(\"same\")\npermit (\n  principal, action, resource\n);\n\
        @id(\"new\") @reason(\"r\") permit(principal, action, resource);";
    let difference = policy_diff(&files(&[("policies/a.cedar", before)]), &files(&[("policies/b.cedar", after)]));
    let names = |list: &[policies::PolicyText]| list.iter().map(|policy| policy.policy.clone()).collect::<Vec<_>>();
    assert_eq!((names(&difference.added), names(&difference.removed)), (vec!["new".to_owned()], vec!["gone".to_owned()]));
    let clauses = |changed: &policies::ChangedPolicy| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "–".into());
        changed.clauses.iter().map(|c| format!("{}: {} → {}", c.clause, side(&c.before), side(&c.after))).collect::<Vec<_>>()
    };
    assert_eq!(difference.annotated.len(), 1);
    assert_eq!(clauses(&difference.annotated[0]), ["@owner: – → o", "@reason: r → because"]);
    assert_eq!(difference.changed.len(), 1);
    assert_eq!(
        clauses(&difference.changed[0]),
        [
            "effect: permit → forbid",
            "principal: principal → principal in Rolecall::Group::\"g\"",
            "condition: unless { resource.privileged } → when { !(resource.risk <= 5) }",
        ]
    );
    assert_eq!(policy_diff(&files(&[("policies/a.cedar", before)]), &files(&[("policies/b.cedar", before)])), PolicyDifference::default());
    let problems = |text: &str| {
        let problems = incomparable(&files(&[("policies/a.cedar", text)]));
        problems.into_iter().map(|problem| (problem.line, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(problems(before), []);
    assert_eq!(problems("\npermit(principal, action, resource);"), [(Some(2), Some("no_id".into()))]);
    assert_eq!(problems("@id(\"cut\")\npermit(principal, action, resource").len(), 1);
}
