//! Tenant folders as a whole: broken ones with what is said of them, the examples, golden cases that fail, comparisons.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::render;

fn no_plugin(_: &[u8]) -> Result<Arc<Plugin>, PluginError> {
    panic!("no folder here has the file of a plugin")
}

fn assemble(files: &Files) -> Result<Revision, Vec<Diagnostic>> {
    Revision::assemble(files, &no_plugin)
}

fn files(written: &[(&str, &str)]) -> Files {
    written.iter().map(|&(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn assemble_whole(files: &Files) -> Revision {
    assemble(files).unwrap_or_else(|problems| panic!("{}", render(&problems, false)))
}

fn assert_golden(revision: &Revision, files: &Files, at_least: usize) {
    let results = revision.run_tests(files).unwrap();
    assert_eq!(results.len(), revision.golden_cases);
    assert!(results.len() >= at_least, "{} cases", results.len());
    for result in results {
        assert_eq!(result.diff, None, "{}: {}", result.file, result.name);
    }
}

/// Each folder of `testdata/broken-tenants` is refused with the report that stands beside it as `expected.txt`.
/// `UPDATE_EXPECT=1` rewrites the reports.
#[test]
fn broken_folders_are_refused_with_every_problem_in_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/broken-tenants");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let problems = read_folder(&case).and_then(|files| assemble(&files).map(|_| ())).err().unwrap_or_default();
        let report = render(&problems, false);
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &report).unwrap();
        }
        if problems.is_empty() || fs::read_to_string(&expected).unwrap_or_default() != report {
            wrong.push(format!("{}:\n{report}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 rewrites what is expected", wrong.join("\n"));
}

#[test]
fn the_minimal_example_is_in_order() {
    let files = read_folder(&repository("examples/tenants/minimal")).unwrap();
    let revision = assemble_whole(&files);
    assert_golden(&revision, &files, 2);
    assert_eq!(revision.policies.roles().len(), 1);
}

/// With their real plugins, which `scripts/build-plugins` builds.
#[test]
fn the_examples_keep_their_golden_cases() {
    let sandbox = Sandbox::new(&crate::plugins::SandboxConfig::default()).unwrap();
    for (tenant, roles, cases) in [("acme", 13, 12), ("globex", 9, 8)] {
        let files = read_folder(&repository(&format!("examples/tenants/{tenant}"))).unwrap();
        let revision = Revision::build(&files, &sandbox)
            .unwrap_or_else(|problems| panic!("{}\nif a plugin is missing: scripts/build-plugins", render(&problems, false)));
        assert_golden(&revision, &files, cases);
        assert_eq!(revision.policies.roles().len(), roles);
        assert!(!revision.policies.privileged().is_empty());
        assert!(!revision.policies.privileged_by_proposal(), "a nomination alone gives no privileged role");
    }
}

const SETTINGS: &str = "name = \"T\"\n[groups]\nadmins = \"Corp Admins\"\n[[roles]]\nid = \"mail\"\n[[roles]]\nid = \"wiki\"\n";
const POLICIES: &str = "@id(\"p\") @reason(\"r\") permit(principal in Rolecall::Group::\"g\", action, resource);\n\
    @id(\"f\") forbid(principal, action, resource == Rolecall::Role::\"wiki\") when { resource.risk + 9223372036854775807 + 1 > 0 };\n";

#[test]
fn a_golden_case_that_fails_shows_what_differs() {
    let case = |expect: &str| {
        let user = r#"{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "robin", "title": "Lead"}"#;
        let case = format!(r#"{{"name": "n", "user": {user}, "groups": ["g"], "expect": {expect}}}"#);
        let files = files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", POLICIES), ("tests/t.json", &case)]);
        assemble_whole(&files).run_tests(&files).unwrap()[0].diff.clone().unwrap_or_default()
    };
    let diff = case(r#"{"account": {"title": "Boss", "user_name": "robin"}, "roles": ["mail"]}"#);
    assert!(diff.contains("-    \"title\": \"Boss\"") && diff.contains("+    \"title\": \"Lead\""), "{diff}");
    // A failing policy is shown even where the roles are what was expected.
    assert!(diff.contains("\"undecided\"") && diff.contains("policy `f` failed for role `wiki`"), "{diff}");
    let diff = case("\"out_of_scope\"");
    assert!(diff.contains("-\"out_of_scope\"") && diff.contains("+    \"user_name\": \"robin\"") && diff.contains("\"mail\""), "{diff}");
    assert!(case("\"inactive\"").contains("-\"inactive\""));
}

#[test]
fn handles_are_declared_names_or_slugs_and_never_somebody_elses() {
    let revision = assemble_whole(&files(&[("tenant.toml", SETTINGS)]));
    let handle = |name: &str| revision.handle_for(name).map(|handle| handle.0);
    assert_eq!(handle("  CORP admins ").as_deref(), Some("admins"));
    assert_eq!(handle("Grp: Eng / Prod (RW)").as_deref(), Some("grp-eng-prod-rw"));
    assert_eq!(handle("--Ärzte--").as_deref(), Some("rzte"));
    assert_eq!(handle("grp-eng-prod-rw").as_deref(), Some("grp-eng-prod-rw"));
    // A group that calls itself by a declared handle does not become that group.
    assert_eq!(handle("Admins"), None);
    assert_eq!((handle("…"), handle(""), handle(&"x".repeat(129))), (None, None, None));
    assert_eq!(handle(&"x".repeat(128)).map(|handle| handle.len()), Some(128));
}

#[test]
fn hashes_tell_any_two_folders_apart_and_nothing_else() {
    let one = files(&[("tenant.toml", "ab"), ("tests/a.json", "c")]);
    assert_eq!(hash(&one), hash(&one.clone()));
    assert_eq!(hash(&one).0.len(), 64);
    for other in [
        files(&[("tenant.toml", "a"), ("tests/a.json", "bc")]),
        files(&[("tenant.tomla", "b"), ("tests/a.json", "c")]),
        files(&[("tenant.toml", "ab")]),
        files(&[("tenant.toml", "ab"), ("tests/a.json", "c"), ("tests/b.json", "")]),
    ] {
        assert_ne!(hash(&one), hash(&other));
    }
}

#[test]
fn two_revisions_are_compared_in_words_and_in_text() {
    let a = files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", POLICIES), ("plugins/x.wasm", "one")]);
    let settings = SETTINGS.replace("\"wiki\"", "\"chat\"");
    let policies =
        "@id(\"p\") @reason(\"another\") permit(principal, action, resource);\n@id(\"q\") forbid(principal, action, resource);\n";
    let b = files(&[("tenant.toml", &settings), ("policies/b.cedar", policies), ("plugins/x.wasm", "two")]);
    let difference = diff(&a, &b);
    let named = |named: &Named| [named.added.join(" "), named.removed.join(" "), named.changed.join(" ")];
    assert_eq!(named(&difference.policies), ["q", "f", "p"]);
    assert_eq!(named(&difference.roles), ["chat", "wiki", ""]);
    let paths: Vec<&str> = difference.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["plugins/x.wasm", "policies/a.cedar", "policies/b.cedar", "tenant.toml"]);
    let text = difference.to_string();
    assert!(text.starts_with("+ policy q\n- policy f\n~ policy p\n+ role chat\n- role wiki\n"), "{text}");
    assert!(text.contains("-id = \"wiki\"\n+id = \"chat\"") && text.contains("(3 bytes)"), "{text}");
    assert_eq!(diff(&a, &a).to_string(), "no difference\n");
}

#[test]
fn a_hostile_folder_makes_a_bounded_report() {
    let many: String = (0..5_000).map(|n| format!("permit(principal, action, resource) when {{ {n} }};\n")).collect();
    let rows: String = (0..5_000).map(|_| "a\n").collect();
    let problems = assemble(&files(&[("tenant.toml", SETTINGS), ("policies/a.cedar", &many), ("tables/t.csv", &format!("k,v\n{rows}"))]));
    let problems = problems.err().unwrap();
    assert_eq!(problems.len(), PROBLEMS_LIMIT);
}

#[test]
fn settings_reach_plugins_as_json() {
    let text = "name = \"T\"\n[plugins.transform]\nfile = \"plugins/x.wasm\"\n[plugins.transform.settings]\nb = [1, 2.5, true]\na = { d = 2026-01-31 }\n";
    let (settings, problems) = settings::read("tenant.toml", text);
    assert_eq!(problems, []);
    let json: serde_json::Value = serde_json::from_str(&settings.unwrap().transform.unwrap().settings_json).unwrap();
    assert_eq!(json, serde_json::json!({"a": {"d": "2026-01-31"}, "b": [1, 2.5, true]}));
}

#[test]
fn a_plugin_that_can_not_be_loaded_is_said_to_be_so() {
    let text = "name = \"T\"\n[plugins.transform]\nfile = \"plugins/x.wasm\"\n";
    let broken = files(&[("tenant.toml", text), ("plugins/x.wasm", "no wasm")]);
    let sandbox = Sandbox::new(&crate::plugins::SandboxConfig::default()).unwrap();
    let problems = Revision::build(&broken, &sandbox).err().unwrap();
    assert_eq!((problems.len(), problems[0].file.as_str()), (1, "plugins/x.wasm"));
}

/// The blocks of a page that are marked as `language`.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository(page)).unwrap();
    let fenced = text.split("```").skip(1).step_by(2);
    let blocks: Vec<String> = fenced.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect();
    assert!(!blocks.is_empty(), "{page} has no {language}");
    blocks
}

#[test]
fn what_the_guides_show_is_accepted() {
    let mut catalogue = "name = \"Guide\"\n".to_owned();
    for role in ["helpdesk-agent", "invoice-preparer", "invoice-approver", "ledger-viewer"] {
        catalogue.push_str(&format!("[[roles]]\nid = \"{role}\"\nfamilies = [\"birthright-sales\"]\n"));
    }
    let policies = blocks("docs/policies.md", "cedar").concat();
    let revision = assemble_whole(&files(&[("tenant.toml", &catalogue), ("policies/guide.cedar", &policies)]));
    assert_eq!(revision.policies.ids().len(), 9);
    let (asks, decides) = (blocks("docs/governance.md", "cedar").concat(), blocks("policies/admin/README.md", "cedar").concat());
    let tests = format!("[{}]", blocks("docs/governance.md", "json").concat());
    let pack = fs::read_to_string(repository("policies/admin/admin/default.cedar")).unwrap();
    let catalogue = "name = \"Guide\"\n[[roles]]\nid = \"ledger-admin\"\nowner = \"grace@acme.example\"\n";
    let whole = files(&[
        ("tenant.toml", catalogue),
        ("policies/guide.cedar", &asks),
        ("admin/default.cedar", &pack),
        ("admin/guide.cedar", &decides),
        ("admin/guide.test.json", &tests),
    ]);
    assert_golden(&assemble_whole(&whole), &whole, 1);

    let (settings, problems) = settings::read("tenant.toml", &blocks("docs/tenant-folder.md", "toml")[0]);
    assert_eq!((settings.map(|settings| settings.roles.len()), problems), (Some(1), Vec::new()));
    let json = blocks("docs/tenant-folder.md", "json");
    let table = &blocks("docs/tenant-folder.md", "csv")[0];
    let case = ("tests/case.json", json[1].as_str());
    let catalogue = "name = \"Guide\"\n[[roles]]\nid = \"mail\"\n";
    let everybody = "@id(\"p\") @reason(\"r\") permit(principal, action, resource);";
    let whole = files(&[
        ("tenant.toml", catalogue),
        ("policies/all.cedar", everybody),
        ("schemas/hr.json", &json[0]),
        ("tables/teams.csv", table),
        case,
    ]);
    let revision = assemble_whole(&whole);
    assert_golden(&revision, &whole, 1);
    assert_eq!(revision.tables["teams"]["payments"]["app"], "billing");
}
