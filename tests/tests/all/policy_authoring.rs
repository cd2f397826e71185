//! Policies as their authors work on them: on the command line without a server, over the API, and what events say of a lost role.

use std::path::Path;

use rolecall_tests::process;
use rolecall_tests::tenant::{POLICIES, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// The folder of a pack.
fn pack(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// A tenant folder of one policy file and perhaps one of tests.
fn folder(policies: &str, tests: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("policies")).expect("a folder");
    let settings = "name = \"T\"\n[groups]\nsales = \"Sales\"\n[[roles]]\nid = \"mail\"\n[[roles]]\nid = \"crm\"\n";
    let files = [("tenant.toml", Some(settings)), ("policies/a.cedar", Some(policies)), ("policies/a.test.json", tests)];
    for (path, text) in files {
        text.map(|text| std::fs::write(dir.path().join(path), text)).transpose().expect("written");
    }
    dir
}

/// Runs `rolecall policy` without a server; in JSON, whether all was well, and the answer.
async fn policy(arguments: &[&str]) -> (bool, Value) {
    let (ok, out, error) = process::run(&[&["policy"], arguments, &["--json"]].concat(), &[]).await;
    assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    (ok, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{error}")))
}

const SALES: &str = "@id(\"sales\")\n@reason(\"people of Sales\")\npermit (\n  principal in Rolecall::Group::\"sales\",\n  action == Rolecall::Action::\"hold\",\n  \
    resource\n);\n";

#[tokio::test]
async fn every_pack_is_in_order_on_the_command_line() {
    for name in ["birthright", "groups-by-convention", "contractors", "privileged-roles", "separation-of-duty", "emergency-access"] {
        let dir = pack(name);
        for command in [&["check"][..], &["fmt", "--check"], &["lint"], &["test"]] {
            let (ok, answer) = policy(&[command, &[dir.as_str()]].concat()).await;
            assert!(ok && answer["ok"] == true, "{name} {command:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_has_a_place_and_an_exit_code() {
    let broken =
        folder("@id(\"p\") @reason(\"r\")\npermit (principal, action, resource)\nwhen { principal.departement == \"x\" };\n", None);
    let dir = broken.path().to_str().expect("a path");
    let (ok, answer) = policy(&["check", dir]).await;
    let problem = &answer["problems"][0];
    assert_eq!((ok, &problem["line"], &problem["column"]), (false, &json!(3), &json!(8)), "{answer}");
    let (ok, out, _) = process::run(&["policy", "check", dir], &[]).await;
    assert!(!ok && out.contains("policies/a.cedar:3:8") && out.contains("^^^") && out.contains("department"), "{out}");
    for command in [&["lint"][..], &["test"], &["diff", dir]] {
        let (ok, _) = policy(&[command, &[dir]].concat()).await;
        // Two broken folders that are alike do not differ.
        assert_eq!(ok, command[0] == "diff", "{command:?}");
    }
    let (ok, _, error) = process::run(&["policy", "lint"], &[]).await;
    assert!(!ok && error.contains("DIR"), "{error}");
}

#[tokio::test]
async fn lint_names_its_findings_by_code() {
    let dead =
        "@id(\"typo\")\n@reason(\"r\")\npermit (principal in Rolecall::Group::\"slaes\", action, resource == Rolecall::Role::\"mail\");\n";
    let dir = folder(&format!("{SALES}{dead}"), None);
    let (ok, answer) = policy(&["lint", dir.path().to_str().expect("a path")]).await;
    assert_eq!(
        (ok, &answer["findings"][0]["code"], &answer["findings"][0]["line"]),
        (false, &json!("unknown_group"), &json!(10)),
        "{answer}"
    );
    let (_, out, _) = process::run(&["policy", "lint", dir.path().to_str().expect("a path")], &[]).await;
    assert!(out.contains("unknown_group: no group has the handle `slaes`") && out.contains("1 finding\n"), "{out}");
}

#[tokio::test]
async fn policies_are_laid_out_in_place_from_standard_input_or_not_at_all() {
    let messy = "// kept\n@id(\"sales\") @reason(\"people of Sales\") permit(principal in Rolecall::Group::\"sales\",action == Rolecall::Action::\"hold\",resource);\n";
    let dir = folder(messy, None);
    let (path, file) = (dir.path().to_str().expect("a path"), dir.path().join("policies/a.cedar"));
    let (ok, answer) = policy(&["fmt", "--check", path]).await;
    assert!(!ok && text(&answer["changed"][0]["diff"]).contains("+permit ("), "{answer}");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), messy, "--check changes nothing");
    let (ok, _) = policy(&["fmt", path]).await;
    let expected = format!("// kept\n{SALES}");
    assert_eq!((ok, std::fs::read_to_string(&file).expect("the file")), (true, expected.clone()));
    let (ok, _) = policy(&["fmt", "--check", file.to_str().expect("a path")]).await;
    assert!(ok, "once is enough");
    let (ok, out, _) = process::feed(&["policy", "fmt", "-"], &[], messy).await;
    assert_eq!((ok, out), (true, expected));
    let (ok, out, _) = process::feed(&["policy", "fmt", "-"], &[], "permit(").await;
    assert!(!ok && out.contains("1 problem"), "{out}");
}

#[tokio::test]
async fn tests_beside_policies_pass_or_show_a_difference() {
    let tests = r#"[
        {"description": "sales", "groups": ["sales"], "role": "mail", "decision": "allow", "reasons": ["sales"]},
        {"description": "others", "groups": ["legal"], "role": "mail", "decision": "allow"}
    ]"#;
    let dir = folder(SALES, Some(tests));
    let (ok, answer) = policy(&["test", dir.path().to_str().expect("a path")]).await;
    assert_eq!((ok, &answer["cases"][0]["diff"]), (false, &Value::Null), "{answer}");
    let (_, out, _) = process::run(&["policy", "test", dir.path().to_str().expect("a path")], &[]).await;
    assert!(out.contains("pass sales") && out.contains("FAIL others") && out.contains("-  \"decision\": \"allow\""), "{out}");
    assert!(out.contains("not in group \"sales\"") && out.contains("1 passed, 1 failed"), "{out}");
    // They are part of the folder's other tests, too.
    let (ok, out, _) = process::run(&["tenant", "test", dir.path().to_str().expect("a path")], &[]).await;
    assert!(!ok && out.contains("FAIL others"), "{out}");
}

#[tokio::test]
async fn a_person_in_a_file_is_explained_and_folders_are_compared() {
    let dir = pack("contractors");
    let person = tempfile::NamedTempFile::new().expect("a file");
    let written = json!({"subject": {"tags": {"worker_type": ["contractor"]}}, "groups": [["backend", "engineering"]]});
    std::fs::write(person.path(), written.to_string()).expect("written");
    let file = person.path().to_str().expect("a path");
    let (ok, answer) = policy(&["explain", &dir, "--person", file, "--role", "source-writer"]).await;
    assert_eq!((ok, &answer["decision"], &answer["forbids"][0]["policy"]), (true, &json!("deny"), &json!("contractors-approved-for-risk")));
    let (_, allowed) = policy(&["explain", &dir, "--person", file, "--role", "wiki-editor"]).await;
    assert_eq!(allowed["reasons"][0]["groups"], json!([["backend", "engineering"]]), "the chain that gave it");
    let birthright = pack("birthright");
    std::fs::write(person.path(), json!({"subject": {"department": "Legal"}}).to_string()).expect("written");
    let (_, out, _) = process::run(&["policy", "explain", &birthright, "--person", file, "--role", "crm-user"], &[]).await;
    assert!(out.contains("principal.department == \"Sales\"") && out.contains("principal.department: \"Legal\""), "{out}");
    let (ok, _, error) = process::run(&["policy", "explain", &birthright, "--person", file, "--role", "none"], &[]).await;
    assert!(!ok && error.contains("`--role` is `none`") && error.contains("no such role"), "{error}");
    let (ok, answer) = policy(&["diff", &birthright, &dir]).await;
    assert_eq!(
        (ok, answer["added"].as_array().map(Vec::len), answer["removed"].as_array().map(Vec::len)),
        (false, Some(3), Some(4)),
        "{answer}"
    );
    assert!(policy(&["diff", &dir, &dir]).await.0);
}

on_both_databases! {
    /// Check, format, lint, test and explain over the API: of posted texts, of a stored revision, of the active one.
    async fn policies_are_worked_on_over_the_api(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let post = async |what: &str, body: Value| acme.api.post(&format!("/policies/{what}"), body).await;
        let active = text(&acme.api.get("").await.expect(200)["active_revision"]);
        let counted = post("check", json!({})).await.expect(200);
        assert_eq!((&counted["policies"], &counted["roles"]), (&json!(3), &json!(3)));
        let with = |policies: &str| json!({"files": {"policies/a.cedar": policies}});
        // The catalogue is the active revision's where none is posted.
        let unknown = POLICIES.replace("Role::\"admin\"", "Role::\"none\"");
        let problem = post("check", with(&unknown)).await.expect(422);
        assert_eq!((&problem["problems"][0]["code"], &problem["problems"][0]["line"]), (&json!("unknown_role"), &json!(8)), "{problem}");
        let stray = post("check", json!({"files": {"plugins/x.wasm": ""}})).await.expect(422);
        assert!(text(&stray["problems"][0]["message"]).contains("no say"), "{stray}");
        let formatted = post("format", with(POLICIES)).await.expect(200);
        let tidy = text(&formatted["files"][0]["text"]);
        assert!(tidy.contains("  resource == Rolecall::Role::\"developer\"\n);"), "{tidy}");
        assert_eq!(post("format", with(&tidy)).await.expect(200)["files"], json!([]));
        // No group is there yet: the server knows, and a folder alone does not.
        let findings = async |body: Value| -> Vec<String> {
            let found = post("lint", body).await.expect(200);
            found["findings"].as_array().expect("a list").iter().map(|finding| text(&finding["code"])).collect()
        };
        assert_eq!(findings(json!({})).await, ["unknown_group", "unknown_group", "unknown_group"]);
        let entra = acme.connection(&server, "Entra ID").await;
        for group in ["Engineering", "Staff"] {
            entra.group(group, &[]).await;
        }
        server.settle().await;
        assert_eq!(findings(json!({"revision": active})).await, ["unknown_group"], "of the group that is not there");
        // Somebody holds one of the roles: of the others it is said that nobody does.
        let ada = entra.create("ada@acme.example").await;
        entra.group("Support", &[&ada]).await;
        let more = POLICIES.replace("Group::\"engineering\"", "Group::\"support\"");
        acme.activate(&server, server.tenant("acme").with_policies(&more).files()).await;
        server.settle().await;
        assert_eq!(findings(json!({})).await, ["unknown_group", "role_nobody_holds", "role_nobody_holds"]);
        acme.activate(&server, server.tenant("acme").files()).await;
        let tests = |decision: &str| {
            let case = json!([{"description": "d", "groups": ["engineering"], "role": "developer", "decision": decision}]);
            json!({"files": {"policies/a.cedar": POLICIES, "policies/a.test.json": case.to_string()}})
        };
        let passed = post("test", tests("allow")).await.expect(200);
        assert_eq!((&passed["passed"], &passed["failed"]), (&json!(1), &json!(0)));
        assert_eq!(post("test", tests("deny")).await.expect(200)["failed"], json!(1));
        let person = json!({"groups": [["platform", "engineering"]]});
        let why = post("explain", json!({"person": person, "role": "developer"})).await.expect(200);
        assert_eq!((&why["decision"], &why["reasons"][0]["groups"]), (&json!("allow"), &json!([["platform", "engineering"]])), "{why}");
        post("explain", json!({"person": person, "role": "none"})).await.expect(404);
        post("lint", json!({"revision": "0".repeat(64)})).await.expect(404);
        // A revision whose policy tests fail is refused like one whose golden cases fail.
        let mut files = server.tenant("acme").files();
        files.insert("policies/roles.test.json".into(), br#"[{"description": "d", "role": "developer", "decision": "allow"}]"#.to_vec());
        assert!(acme.try_activate(&server, files).await.is_err());
        server.stop().await;
    }

    /// Two stored revisions are compared, and people are explained under the one that is not active.
    async fn revisions_are_compared_and_asked(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let first = text(&acme.api.get("").await.expect(200)["active_revision"]);
        let narrowed = POLICIES.replacen("Role::\"developer\");", "Role::\"developer\") when { principal has title && principal.title == \"dev\" };", 1);
        acme.activate(&server, server.tenant("acme").with_policies(&narrowed.replace("operators run", "operators keep")).files()).await;
        server.settle().await;
        let difference = acme.api.get(&format!("/policies/diff?from={first}")).await.expect(200);
        assert_eq!((&difference["changed"][0]["policy"], &difference["annotated"][0]["policy"]), (&json!("engineers"), &json!("operators")));
        assert_eq!(difference["changed"][0]["clauses"][0]["before"], Value::Null, "a condition came: {difference}");
        let explain = async |query: &str| acme.api.get(&format!("/accounts/ada@acme.example/explain?role=developer{query}")).await;
        assert_eq!(explain(&format!("&revision={first}")).await.expect(200)["decision"], "allow");
        let why_not = explain("").await.expect(200);
        assert_eq!((&why_not["decision"], &why_not["nearest"][0]["saw"]), (&json!("no_permit"), &json!([{"expression": "principal.title", "value": null}])));
        explain(&format!("&revision={}", "0".repeat(64))).await.expect(404);
        // The command line says the same.
        let token = server.operator.token.clone().unwrap_or_default();
        let (url, base) = (server.url(), ["policy", "diff", "--tenant", "acme", first.as_str(), "active"]);
        let (differ, out, error) = process::run(&base, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        assert!(!differ && out.contains("~ engineers\n") && out.contains("~ operators (annotations only)"), "{out}{error}");
        let asked = ["policy", "explain", "--tenant", "acme", "--user", "ada@acme.example", "--role", "developer"];
        let (ok, out, error) = process::run(&asked, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        assert!(ok && out.contains("principal.title: not set"), "{out}{error}");
        let dir = pack("birthright");
        let (ok, out, error) = process::run(&["policy", "lint", &dir, "--tenant", "acme"], &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        assert!(ok, "{out}{error}");
        server.stop().await;
    }

    /// The event of a lost role says which permit no longer holds, or which forbid came; what the condition saw is personal.
    async fn events_say_why_a_role_was_lost(database: Database) {
        let server = Server::start(&database).await;
        let policies = r#"
            @id("sales") @reason("people of Sales")
            permit (principal, action, resource == Rolecall::Role::"reader")
            when { principal has department && principal.department == "Sales" };
            @id("blocked") @reason("people whose title says so hold nothing")
            forbid (principal, action, resource) when { principal has title && principal.title == "blocked" };
            @id("admins") @reason("admins")
            permit (principal in Rolecall::Group::"admins", action, resource == Rolecall::Role::"developer");
        "#;
        let acme = server.tenant("acme").with_policies(policies).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let department = |name: &str| json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": name}});
        let ada = entra.create_with("ada@acme.example", department("Sales")).await;
        let admins = entra.group("Admins", &[&ada]).await;
        entra.set(&ada, "title", json!("blocked")).await;
        entra.set(&ada, "title", json!("free")).await;
        entra.remove(&admins, &ada).await;
        entra.set(&ada, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", json!("Legal Affairs")).await;
        let events = acme.events(&server).await;
        let removed: Vec<&Value> = events.iter().filter(|event| event["kind"] == "grant.removed").collect();
        let lost: Vec<(String, &Value)> = removed.iter().map(|event| (text(&event["data"]["role"]), &event["data"]["lost"])).collect();
        assert_eq!(lost.len(), 4, "{removed:?}");
        for (_, lost) in &lost[..2] {
            assert_eq!((&lost["forbids"][0]["policy"], &lost["permits"]), (&json!("blocked"), &json!([])), "{lost}");
        }
        assert_eq!(lost[2].1["permits"], json!([{"policy": "admins", "unmet": "not in group \"admins\""}]));
        assert_eq!(lost[3].1["permits"][0]["policy"], "sales");
        assert!(text(&lost[3].1["permits"][0]["unmet"]).contains("principal.department == \"Sales\""), "{lost:?}");
        assert!(!removed[3]["data"].to_string().contains("Legal Affairs"), "values are personal");
        assert_eq!(removed[3]["personal"]["saw"]["sales"], json!([{"expression": "principal.department", "value": "Legal Affairs"}]));
        // A leaver loses everything without anybody being asked.
        entra.set(&ada, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", json!("Sales")).await;
        entra.deactivate(&ada).await;
        let events = acme.events(&server).await;
        let last = events.iter().rfind(|event| event["kind"] == "grant.removed").expect("it went");
        assert_eq!((&last["data"]["why"], last["data"].get("lost")), (&json!("inactive"), None));
        server.stop().await;
    }
}
