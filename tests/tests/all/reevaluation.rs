//! A population is decided under another revision: leavers go ahead, a kill costs nothing, several hosts share it, and how far it has
//! come can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rolecall::jobs;
use rolecall::model::ResourceId;
use rolecall_tests::process::{self, Process};
use rolecall_tests::tenant::{patch, roles_in_effect};
use rolecall_tests::{Connection, Database, Kind, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

/// So many that their evaluation lasts for many requests.
const PEOPLE: usize = 2_500;
/// How long the whole of it may take.
const LIMIT: Duration = Duration::from_secs(240);
/// Everybody is a reader instead of a developer, but for the titles `t3`.
const OTHER_POLICIES: &str = r#"
@id("readers")
@reason("engineers read")
permit (principal in Rolecall::Group::"engineering", action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader")
unless { principal has title && principal.title == "t3" };
"#;

/// A tenant with a crowd of developers.
async fn crowd(server: &Server) -> (Tenant, Connection, Vec<String>) {
    let acme = server.tenant("acme").create().await;
    let entra = acme.connection(server, "Entra ID").await;
    let people = entra.crowd("person", PEOPLE).await;
    let members: Vec<&str> = people.iter().map(String::as_str).collect();
    entra.group("Engineering", &members).await;
    server.settle().await;
    assert_eq!(progress(&acme).await, (PEOPLE, PEOPLE));
    (acme, entra, people)
}

async fn activate_other_policies(server: &Server, acme: &Tenant) {
    acme.activate(server, server.tenant("acme").with_policies(OTHER_POLICIES).files()).await;
    assert_eq!(progress(acme).await, (0, PEOPLE));
}

/// Done and total.
async fn progress(acme: &Tenant) -> (usize, usize) {
    let answer = acme.api.get("/progress").await.expect(200);
    let count = |key: &str| usize::try_from(answer[key].as_u64().unwrap_or_default()).expect("a count");
    assert_eq!(count("remaining"), count("total") - count("done"), "{answer}");
    (count("done"), count("total"))
}

/// Waits until some are decided; how many.
async fn until_begun(acme: &Tenant) -> usize {
    let begun = async {
        loop {
            match progress(acme).await {
                (0, _) => tokio::task::yield_now().await,
                (done, _) => return done,
            }
        }
    };
    tokio::time::timeout(LIMIT, begun).await.expect("somebody is decided")
}

async fn until_done(acme: &Tenant) {
    let done = async {
        while acme.api.get("").await.expect(200)["pending"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, done).await.expect("everybody is decided");
}

/// What everybody holds now.
async fn expect_other_roles(acme: &Tenant, leaver: Option<&str>) {
    let accounts: BTreeMap<String, Value> = acme.accounts().await;
    assert_eq!(accounts.len(), PEOPLE);
    for (name, account) in &accounts {
        let number: usize = name.trim_start_matches("person").split('@').next().and_then(|digits| digits.parse().ok()).expect("a number");
        let is_reader = number % 7 != 3 && leaver != Some(name);
        let expected = if is_reader { BTreeSet::from(["reader".to_owned()]) } else { BTreeSet::new() };
        assert_eq!(roles_in_effect(account), expected, "{account}");
        assert_eq!(account["pending"], false, "{account}");
    }
}

on_both_databases! {
    /// Thousands are being decided; whoever leaves meanwhile has left with the answer, and stays gone.
    async fn a_leaver_does_not_wait_behind_the_crowd(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, people) = crowd(&server).await;
        activate_other_policies(&server, &acme).await;
        let app = Arc::clone(server.app());
        let jobs = tokio::spawn(async move { jobs::run_until_idle(&app).await });
        until_begun(&acme).await;
        let leaver = people.last().expect("a crowd");
        let body = patch(json!([{"op": "replace", "path": "active", "value": false}]));
        entra.scim.patch(&format!("/Users/{leaver}"), body).await.expect_one_of(&[200, 204]);
        let name = format!("person{:05}@acme.example", PEOPLE - 1);
        let account = acme.account(&name).await;
        assert_eq!((&account["state"], &account["grants"]), (&json!("suspended"), &json!([])), "{account}");
        let (done, total) = progress(&acme).await;
        assert!(done < total / 2, "the crowd is still at work: {done} of {total}");
        jobs.await.expect("the jobs end").expect("the jobs run");
        assert_eq!(progress(&acme).await, (PEOPLE, PEOPLE));
        expect_other_roles(&acme, Some(&name)).await;
    }

    /// kill -9 in the middle; whoever comes next goes on where it stopped, beside others where the database allows it.
    async fn a_killed_activation_goes_on_and_ends_the_same(database: Database) {
        let server = Server::start(&database).await;
        let (acme, _, _) = crowd(&server).await;
        activate_other_policies(&server, &acme).await;
        let operator = server.operator.clone();
        server.stop().await;
        let process = Process::serve(&database).await;
        let begun = until_begun(&acme.at(&operator, &process.url)).await;
        process.kill().await;
        assert!(begun < PEOPLE, "the kill fell into the middle");
        let hosts = if database.kind == Kind::Postgres { 2 } else { 1 };
        let mut processes = Vec::new();
        for _ in 0..hosts {
            processes.push(Process::serve(&database).await);
        }
        let acme = acme.at(&operator, &processes[0].url);
        assert!(progress(&acme).await.0 >= begun, "what was decided is decided");
        until_done(&acme).await;
        expect_other_roles(&acme, None).await;
        let token = operator.token.clone().unwrap_or_default();
        let environment = [("ROLECALL_SERVER", processes[0].url.as_str()), ("ROLECALL_TOKEN", &token)];
        let (done, out, error) = process::run(&["tenant", "progress", "--tenant", "acme"], &environment).await;
        assert!(done && out.starts_with(&format!("{PEOPLE} of {PEOPLE} people are decided under ")), "{out}{error}");
        for process in processes {
            process.terminate().await;
        }
        // Nobody was decided twice with an effect.
        let server = Server::start(&database).await;
        let acme = server.existing("acme");
        let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in acme.events(&server).await {
            if event["kind"].as_str().is_some_and(|kind| kind.starts_with("grant.")) {
                let change = format!("{} {}", event["kind"].as_str().unwrap_or_default(), event["data"]["role"].as_str().unwrap_or_default());
                changes.entry(event["account"].as_str().unwrap_or_default().to_owned()).or_default().push(change);
            }
        }
        assert_eq!(changes.len(), PEOPLE);
        for (account, changes) in changes {
            let mut sorted = changes.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), changes.len(), "{account}: {changes:?}");
        }
    }

    /// One policy more: whom it can't touch is decided alike, and is not decided again.
    async fn a_policy_for_some_leaves_the_others_as_they_are(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people = entra.crowd("person", 21).await;
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &members).await;
        server.settle().await;
        let ids: Vec<ResourceId> = people.iter().map(|id| id.as_str().into()).collect();
        let versions = async || -> Vec<i64> {
            let found = server.app().store.people(&acme.id, &entra.id.as_str().into(), &ids).await.expect("they are read");
            let versions: BTreeMap<_, _> = found.into_iter().map(|person| (person.resource.id, person.evaluation.input_version)).collect();
            ids.iter().map(|id| versions[id]).collect()
        };
        let before = versions().await;
        let some = "@id(\"some\") @reason(\"titles\") permit (principal, action, resource == Rolecall::Role::\"reader\") \
                    when { principal has title && principal.title == \"t3\" };";
        acme.activate(&server, server.tenant("acme").and_policies(some).files()).await;
        assert_eq!(progress(&acme).await, (0, people.len()));
        server.settle().await;
        assert_eq!(progress(&acme).await, (people.len(), people.len()));
        let decided: Vec<usize> =
            before.iter().zip(versions().await).enumerate().filter(|(_, (before, after))| *before != after).map(|(number, _)| number).collect();
        assert_eq!(decided, [3, 10, 17]);
        for (name, account) in acme.accounts().await {
            let expected: &[&str] = if account["profile"]["title"] == "t3" { &["developer", "reader"] } else { &["developer"] };
            assert_eq!(roles_in_effect(&account), expected.iter().map(|&role| role.to_owned()).collect(), "{name}");
            assert_eq!(account["pending"], false, "{account}");
        }
    }
}
