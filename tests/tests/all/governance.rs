//! What waits for a person: holds past the guard's limits, approvals, exceptions, staging. Explicit departures never wait.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall::jobs;
use rolecall_tests::tenant::{group, patch, text};
use rolecall_tests::{Client, Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

/// The guard lets so many people pass in a small tenant.
const LIMIT: usize = 5;

/// Many people who work on the code, made before the guard counts, and their group.
async fn crowd(server: &Server, count: usize) -> (Tenant, Connection, Vec<String>, String) {
    let acme = server.tenant("acme").create().await;
    let entra = acme.connection(server, "Entra ID").await;
    let people = entra.crowd("p", count).await;
    let ids: Vec<&str> = people.iter().map(String::as_str).collect();
    let engineering = entra.group("Engineering", &ids).await;
    server.settle().await;
    acme.guard(&entra).await;
    (acme, entra, people, engineering)
}

async fn remove_all(entra: &Connection, group: &str, people: &[String]) {
    let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
    let body = patch(json!([{"op": "remove", "path": "members", "value": members}]));
    entra.scim.patch(&format!("/Groups/{group}"), body).await.expect_one_of(&[200, 204]);
}

/// How many accounts hold the role in effect.
async fn holders(acme: &Tenant, role: &str) -> usize {
    let accounts = acme.accounts().await;
    accounts.values().filter(|account| rolecall_tests::tenant::roles_in_effect(account).contains(role)).count()
}

/// The one open hold.
async fn the_hold(acme: &Tenant) -> Value {
    let listed = acme.api.get("/holds?state=open").await.expect(200);
    let holds = listed["holds"].as_array().expect("a list");
    let waiting: Vec<&Value> = holds.iter().filter(|hold| hold["people"] != 0).collect();
    assert_eq!(waiting.len(), 1, "{listed}");
    waiting[0].clone()
}

async fn held_accounts(acme: &Tenant, hold: &Value) -> Vec<String> {
    let people = acme.api.get(&format!("/holds/{}/people?state=open", text(&hold["id"]))).await.expect(200);
    let accounts: BTreeSet<String> = people["rulings"].as_array().expect("a list").iter().map(|ruling| text(&ruling["account"])).collect();
    accounts.into_iter().collect()
}

async fn person(server: &Server, acme: &Tenant, name: &str) -> Client {
    let made = server.operator.post("/tokens", json!({"tenant": "acme", "write": true, "person": name})).await.expect(201);
    acme.api.with_token(made["token"].as_str())
}

fn in_days(server: &Server, days: i64) -> String {
    server.app().clock.now().plus_seconds(days * 86_400).to_string()
}

on_both_databases! {
    /// Losses past the limit wait as one item; the identity provider's write is stored and read back as written.
    async fn losses_past_the_limit_wait_and_are_answered(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, people, engineering) = crowd(&server, 20).await;
        remove_all(&entra, &engineering, &people[..12]).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 20 - LIMIT);
        let read = entra.scim.get(&format!("/Groups/{engineering}")).await.expect(200);
        assert_eq!(read["members"].as_array().map(Vec::len), Some(8), "read back as written");
        let hold = the_hold(&acme).await;
        assert_eq!((text(&hold["direction"]), text(&hold["scope"]), hold["limit"].as_i64()), ("losses".into(), "connection".into(), Some(5)));
        let held = held_accounts(&acme, &hold).await;
        assert_eq!(held.len(), 12 - LIMIT);
        // The same write again and again changes nothing, and counts nobody twice.
        remove_all(&entra, &engineering, &people[..12]).await;
        server.settle().await;
        assert_eq!((holders(&acme, "developer").await, held_accounts(&acme, &hold).await.len()), (15, 7));

        let id = text(&hold["id"]);
        let answer = json!({"accounts": &held[..2], "reason": "they have moved"});
        let released = acme.api.post(&format!("/holds/{id}/release"), answer).await.expect(200);
        assert_eq!((released["answered"].as_i64(), released["people"].as_i64()), (Some(2), Some(5)));
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 13);
        // What is rejected needs an owner and an end.
        acme.api.post(&format!("/holds/{id}/reject"), json!({"reason": "a mistake"})).await.expect(400);
        let rejection = json!({"reason": "a mistake", "owner": "iam@acme.example", "ends": in_days(&server, 30)});
        let rejected = acme.api.post(&format!("/holds/{id}/reject"), rejection).await.expect(200);
        assert_eq!((text(&rejected["state"]), rejected["answered"].as_i64()), ("closed".into(), Some(5)));
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 13, "what stands stays");
        server.clock.advance_hours(31 * 24);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 13 - LIMIT, "its end: counted again, in a window of its own");
        server.stop().await;
    }

    /// A window that is over begins anew, and the limit is of the people that there are then.
    async fn within_a_window_no_more_than_the_limit_take_effect(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, people, engineering) = crowd(&server, 20).await;
        remove_all(&entra, &engineering, &people[..4]).await;
        server.clock.advance_hours(23);
        remove_all(&entra, &engineering, &people[4..8]).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 15, "4 and 1 in 24 hours");
        server.clock.advance_hours(2);
        remove_all(&entra, &engineering, &people[8..13]).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 11, "the 4 are a day ago: 4 more");
        server.stop().await;
    }

    /// Thirty-two clients at once: never more than the limit take effect, and no departure waits.
    async fn clients_at_once_can_t_overshoot_it(database: Database) {
        let server = Server::start(&database).await;
        // A tenth of them is the same number with and without those who leave meanwhile.
        let (acme, entra, people, engineering) = crowd(&server, 55).await;
        let mut clients = Vec::new();
        for (number, id) in people.iter().enumerate().take(40) {
            let (entra, engineering, id) = (entra.clone(), engineering.clone(), id.clone());
            clients.push(tokio::spawn(async move {
                if number < 32 { entra.remove(&engineering, &id).await } else { entra.deactivate(&id).await }
            }));
        }
        for client in clients {
            client.await.expect("the request ends");
        }
        // Before any job has run: what stands is what the writes did.
        let accounts = acme.accounts().await;
        let suspended = accounts.values().filter(|account| account["state"] == "suspended").count();
        assert_eq!(suspended, 8, "nobody who is called gone waits");
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 55 - 8 - LIMIT);
        let holds = acme.api.get("/holds?state=open").await.expect(200);
        let directions: BTreeSet<String> = holds["holds"].as_array().expect("a list").iter().map(|hold| text(&hold["direction"])).collect();
        assert_eq!(directions, BTreeSet::from(["losses".into(), "leavers".into()]), "8 departures are past the limit, and reversible");
        server.stop().await;
    }

    /// Departures past the limit are suspensions that one action undoes, for all or some, until the exception ends.
    async fn departures_past_the_limit_can_be_undone(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, people, _) = crowd(&server, 20).await;
        for id in &people[..9] {
            entra.deactivate(id).await;
        }
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 11, "all nine are gone");
        let hold = the_hold(&acme).await;
        assert_eq!((text(&hold["direction"]), hold["people"].as_i64()), ("leavers".into(), Some(4)));
        let held = held_accounts(&acme, &hold).await;
        let id = text(&hold["id"]);
        let rejection = json!({"accounts": &held[..3], "reason": "a wrong filter", "owner": "iam@acme.example", "ends": in_days(&server, 2)});
        acme.api.post(&format!("/holds/{id}/reject"), rejection).await.expect(200);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 14, "three are back as they were");
        acme.api.post(&format!("/holds/{id}/release"), json!({"reason": "she did leave"})).await.expect(200);
        server.settle().await;
        let account = acme.account(&held[3]).await;
        assert_eq!((text(&account["state"]), &account["grants"]), ("suspended".into(), &json!([])));
        let restored = acme.account(&held[0]).await;
        assert_eq!((text(&restored["state"]), text(&restored["note"]["code"])), ("active".into(), "restored".into()));
        // What is said of somebody who is back counts: a forbid and a leave take away what they had, and why is told.
        let forbid = json!({"role": "developer", "effect": "forbid", "ends": in_days(&server, 2), "reason": "an audit", "owner": "iam@acme.example"});
        acme.api.post(&format!("/accounts/{}/exceptions", held[1]), forbid).await.expect(201);
        let leave = json!({"ends": in_days(&server, 1), "reason": "a doubt"});
        acme.api.post(&format!("/accounts/{}/leave", held[2]), leave).await.expect(201);
        server.settle().await;
        assert_eq!(acme.account(&held[1]).await["grants"], json!([]));
        let away = acme.account(&held[2]).await;
        assert_eq!((text(&away["state"]), text(&away["grants"][0]["state"])), ("suspended".into(), "dormant".into()));
        assert_eq!(holders(&acme, "developer").await, 12);
        for (account, kind) in [(&held[1], "forbid"), (&held[2], "absence")] {
            let why = acme.api.get(&format!("/accounts/{account}/explain?role=developer")).await.expect(200);
            let said = why["said"].as_array().into_iter().flatten().find(|ruling| ruling["kind"] == kind);
            assert!(said.is_some() && why["grant"]["state"] != "effective", "{kind}: {why}");
        }
        // Once the identity provider has said that somebody is there, its next word counts.
        let name = text(&restored["user_name"]);
        let found = entra.scim.get(&format!("/Users?filter=userName eq \"{name}\"").replace(' ', "%20").replace('"', "%22")).await.expect(200);
        let user = text(&found["Resources"][0]["id"]);
        entra.set(&user, "active", json!(true)).await;
        entra.deactivate(&user).await;
        server.settle().await;
        let left = acme.account(&held[0]).await;
        assert_eq!(text(&left["state"]), "suspended", "{left}");
        server.clock.advance_hours(49);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 11, "the exception is over");
        server.stop().await;
    }

    /// Of people who were deleted as well: given back as they were for a time, with nothing erased, and decided afresh when they come back.
    async fn deleted_people_can_be_given_back(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings("[processes]\nretain_days = 1\n").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut people = Vec::new();
        for number in 0..10 {
            people.push(entra.create_with(&format!("p{number}@acme.example"), json!({"externalId": format!("x{number}")})).await);
        }
        let ids: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &ids).await;
        server.settle().await;
        acme.guard(&entra).await;
        for id in &people[..9] {
            entra.scim.delete(&format!("/Users/{id}")).await.expect(204);
        }
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 1, "nobody who is deleted waits");
        let hold = the_hold(&acme).await;
        assert_eq!((text(&hold["direction"]), hold["people"].as_i64()), ("leavers".into(), Some(4)));
        // Whoever can be given back is not erased meanwhile.
        server.clock.advance_hours(26);
        jobs::erase_retained(server.app()).await.expect("it runs");
        let held = held_accounts(&acme, &hold).await;
        let waiting = acme.account(&held[0]).await;
        assert_eq!((text(&waiting["state"]), text(&waiting["grants"][0]["state"])), ("removed".into(), "dormant".into()));
        assert!(waiting["user_name"].is_string(), "{waiting}");

        let path = format!("/holds/{}", text(&hold["id"]));
        let rejection = json!({"accounts": &held[..3], "reason": "a wrong filter", "owner": "iam@acme.example", "ends": in_days(&server, 2)});
        acme.api.post(&format!("{path}/reject"), rejection).await.expect(200);
        acme.api.post(&format!("{path}/release"), json!({"reason": "she did leave"})).await.expect(200);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 4, "three are back as they were");
        let back = acme.account(&held[0]).await;
        assert_eq!((text(&back["state"]), text(&back["note"]["code"]), &back["source"]), ("active".into(), "restored".into(), &Value::Null));
        assert_eq!(acme.account(&held[3]).await["grants"], json!([]), "of whom somebody said that she left nothing is left");
        let shown = acme.api.get(&format!("{path}/people?state=yes")).await.expect(200);
        assert_eq!(shown["rulings"].as_array().map(Vec::len), Some(3), "standing differences");
        // A role is kept away from somebody whom nothing evaluates, too.
        let forbid = json!({"role": "developer", "effect": "forbid", "ends": in_days(&server, 5), "reason": "under review", "owner": "audit"});
        acme.api.post(&format!("/accounts/{}/exceptions", held[1]), forbid).await.expect(201);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 3);

        // The identity provider creates one of them again: the same account, decided afresh.
        let name = text(&back["user_name"]);
        let number = name.trim_start_matches('p').split('@').next().unwrap_or_default().to_owned();
        entra.create_with(&name, json!({"externalId": format!("x{number}")})).await;
        server.settle().await;
        let revived = acme.account(&held[0]).await;
        assert_eq!((text(&revived["state"]), &revived["note"], &revived["grants"]), ("active".into(), &Value::Null, &json!([])));
        let events = acme.events(&server).await;
        let of_them = |kind: &str| events.iter().filter(|event| event["kind"] == kind && text(&event["account"]) == held[0]).count();
        assert_eq!((of_them("account.revived"), of_them("account.created")), (1, 1));

        server.clock.advance_hours(49);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 1, "the exception is over");
        let gone = acme.account(&held[2]).await;
        assert_eq!((text(&gone["state"]), &gone["grants"]), ("removed".into(), &json!([])));
        server.clock.advance_hours(25);
        jobs::erase_retained(server.app()).await.expect("it runs");
        assert_eq!(acme.account(&held[2]).await["user_name"], Value::Null, "and now its time counts");
        assert_eq!(text(&acme.account(&held[0]).await["user_name"]), name);
        server.stop().await;
    }

    /// A whole group that goes, and an activation that takes a role from everybody, wait in holds of their own.
    async fn a_deleted_group_and_an_activation_wait(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, _, engineering) = crowd(&server, 20).await;
        let without = server.tenant("acme").with_policies("").files();
        acme.activate(&server, without).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 15);
        let hold = the_hold(&acme).await;
        assert_eq!((text(&hold["scope"]), hold["people"].as_i64()), ("revision".into(), Some(15)));
        acme.activate(&server, server.tenant("acme").files()).await;
        server.settle().await;
        assert_eq!(the_resolved(&acme).await, 0, "going back resolves it");
        let open = acme.api.get("/holds?state=open").await.expect(200);
        assert_eq!(open["holds"], json!([]), "a hold in which nobody waits closes itself");
        let closed = acme.events(&server).await.into_iter().filter(|event| event["kind"] == "hold.closed").collect::<Vec<_>>();
        assert!(!closed.is_empty() && closed.iter().all(|event| event["data"]["why"] == "resolved" && event["actor"]["kind"] == "worker"), "{closed:?}");
        server.clock.advance_hours(25);
        entra.scim.delete(&format!("/Groups/{engineering}")).await.expect(204);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 20 - LIMIT - LIMIT + LIMIT, "of those who hold it, five lose it");
        server.stop().await;
    }

    /// Gains are guarded too: a group that gives a role to everybody at once.
    async fn gains_past_the_limit_wait(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, people, _) = crowd(&server, 20).await;
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.scim.post("/Groups", group("Staff", &members)).await.expect(201);
        server.settle().await;
        assert_eq!(holders(&acme, "reader").await, LIMIT);
        let hold = the_hold(&acme).await;
        assert_eq!((text(&hold["direction"]), hold["people"].as_i64()), ("gains".into(), Some(15)));
        let waiting = acme.account(&held_accounts(&acme, &hold).await[0]).await;
        let grant = waiting["grants"].as_array().expect("a list").iter().find(|grant| grant["role"] == "reader").expect("it is listed").clone();
        assert_eq!((text(&grant["state"]), text(&grant["waits_for"])), ("pending".into(), "hold".into()));
        acme.api.post(&format!("/holds/{}/release", text(&hold["id"])), json!({"reason": "planned"})).await.expect(200);
        server.settle().await;
        assert_eq!(holders(&acme, "reader").await, 20);
        server.stop().await;
    }

    /// Whoever is in a hold gives themselves nothing by answering it, by whatever name their token calls them.
    async fn nobody_answers_a_hold_that_they_are_in(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut people = Vec::new();
        for number in 0..7 {
            people.push(entra.create_with(&format!("p{number}"), json!({"emails": [{"value": format!("mail{number}@acme.example")}]})).await);
        }
        server.settle().await;
        acme.guard(&entra).await;
        let ids: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.scim.post("/Groups", group("Staff", &ids)).await.expect(201);
        server.settle().await;
        let hold = the_hold(&acme).await;
        let held = held_accounts(&acme, &hold).await;
        let own = acme.account(&held[0]).await;
        let (name, email) = (text(&own["user_name"]), text(&own["profile"]["email"]));
        let path = format!("/holds/{}/release", text(&hold["id"]));
        for known_as in [name.to_uppercase(), email.to_uppercase(), held[0].clone()] {
            let refused = person(&server, &acme, &known_as).await.post(&path, json!({"reason": "mine"})).await.expect(403);
            assert!(text(&refused["detail"]).contains("in themselves"), "{known_as}: {refused}");
        }
        // The others may be let through by them.
        let others = json!({"reason": "the others", "accounts": &held[1..]});
        person(&server, &acme, &email).await.post(&path, others).await.expect(200);
        person(&server, &acme, "grace@acme.example").await.post(&path, json!({"reason": "theirs"})).await.expect(200);
        server.stop().await;
    }

    /// A privileged role waits for somebody else's yes, and an approval does not outlive the grant.
    async fn a_privileged_role_waits_for_a_yes(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let operations = entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        let waiting = acme.account("ada@acme.example").await;
        assert_eq!((text(&waiting["grants"][0]["state"]), text(&waiting["grants"][0]["waits_for"])), ("pending".into(), "approval".into()));
        let request = open_request(&acme).await;

        let path = format!("/approvals/{request}/approve");
        let yes = json!({"reason": "on call"});
        acme.api.post(&path, yes.clone()).await.expect(403);
        let own = person(&server, &acme, "ADA@acme.example").await;
        let refused = own.post(&path, yes.clone()).await.expect(403);
        assert!(text(&refused["detail"]).contains("nobody approves"), "{refused}");
        let boss = person(&server, &acme, "grace@acme.example").await;
        boss.post(&path, json!({"reason": ""})).await.expect(422);
        assert_eq!(text(&boss.post(&path, yes.clone()).await.expect(200)["state"]), "yes");
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into()]));

        entra.remove(&operations, &ada).await;
        entra.add(&operations, &ada).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "the approval went with the role");
        let again = open_request(&acme).await;
        assert_ne!(again, request);
        boss.post(&format!("/approvals/{again}/reject"), json!({"reason": "no"})).await.expect(200);
        server.settle().await;
        assert_eq!(acme.account("ada@acme.example").await["grants"], json!([]));
        boss.post(&format!("/approvals/{again}/approve"), json!({"reason": "after all", "ends": in_days(&server, 1)})).await.expect(200);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into()]));
        server.clock.advance_hours(25);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "the yes was for a day");
        let kinds: BTreeSet<String> = acme.events(&server).await.iter().map(|event| text(&event["kind"])).collect();
        for kind in ["grant.pending", "ruling.yes", "ruling.no", "grant.added", "grant.removed"] {
            assert!(kinds.contains(kind), "{kind}: {kinds:?}");
        }
        server.stop().await;
    }

    /// Somebody is reminded of a request in time; one that nobody answers lapses, and says so.
    async fn a_request_is_reminded_of_and_lapses(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let reminded = async |acme: &Tenant| {
            acme.events(&server).await.into_iter().filter(|event| event["kind"] == "approval.reminded").collect::<Vec<_>>()
        };
        server.clock.advance_hours(143);
        assert_eq!(reminded(&acme).await.len(), 0);
        server.clock.advance_hours(2);
        server.settle().await;
        assert_eq!(reminded(&acme).await.len(), 1);
        server.settle().await;
        assert_eq!(reminded(&acme).await.len(), 1, "once");
        let request = open_request(&acme).await;
        server.clock.advance_hours(24);
        server.settle().await;
        assert_eq!(acme.account("ada@acme.example").await["grants"], json!([]));
        let lapsed = acme.events(&server).await.into_iter().find(|event| event["data"]["why"] == "approval_lapsed");
        assert_eq!(lapsed.map(|event| text(&event["kind"])), Some("grant.removed".into()));
        // A yes that comes too late is a yes.
        let boss = person(&server, &acme, "grace@acme.example").await;
        boss.post(&format!("/approvals/{request}/approve"), json!({"reason": "late"})).await.expect(200);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into()]));
        server.stop().await;
    }

    /// What decides about privileged roles changes only when two people have said so; the way back needs nobody.
    async fn privileged_roles_change_by_two_people(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let (ada, grace) = (person(&server, &acme, "ada@acme.example").await, person(&server, &acme, "grace@acme.example").await);
        let first = text(&acme.api.get("/revisions/active").await.expect(200)["hash"]);
        let store = async |files| text(&acme.api.post("/revisions", json!({"files": files})).await.expect(201)["hash"]);
        let files = |policies: &str| {
            let files = server.tenant("acme").asking().and_policies(policies).files();
            let encoded = files.into_iter().map(|(path, bytes)| (path, json!(STANDARD.encode(bytes))));
            Value::Object(encoded.collect())
        };
        let plain = r#"
@id("readers")
@reason("everybody reads")
permit (principal in Rolecall::Group::"guests", action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader");
"#;
        let harmless = store(files(plain)).await;
        ada.post(&format!("/revisions/{harmless}/activate"), json!({"replaces": first})).await.expect(204);
        let grave = store(files(&plain.replace("readers", "admins").replace("\"reader\"", "\"admin\""))).await;
        let path = format!("/revisions/{grave}/activate");
        let held = ada.post(&path, json!({"replaces": harmless})).await.expect(409);
        assert!(text(&held["detail"]).contains("second person"), "{held}");
        ada.post(&path, json!({"replaces": harmless})).await.expect(409);
        acme.api.post(&path, json!({"replaces": harmless})).await.expect(409);
        let listed = acme.api.get("/activations").await.expect(200);
        assert_eq!(text(&listed["activations"][0]["state"]), "held");
        // The same person by another spelling is no second one.
        let again = person(&server, &acme, "ADA@Acme.example").await;
        again.post(&path, json!({"replaces": harmless})).await.expect(409);
        // Nor does it become one that was active by another being held in its place.
        let graver = store(files(&plain.replace("readers", "all-admins").replace("\"reader\"", "\"admin\""))).await;
        ada.post(&format!("/revisions/{graver}/activate"), json!({"replaces": harmless})).await.expect(409);
        let listed = acme.api.get("/activations").await.expect(200);
        assert_eq!((text(&listed["activations"][0]["state"]), text(&listed["activations"][1]["state"])), ("held".into(), "dropped".into()));
        ada.post(&path, json!({"replaces": harmless})).await.expect(409);
        grace.post(&path, json!({"replaces": harmless})).await.expect(204);
        ada.post(&format!("/revisions/{harmless}/activate"), json!({"replaces": grave})).await.expect(204);
        // Nor does one person take away what asks for the second: whether somebody approves, how many gain at once.
        for alone in ["[approvals]\nsecond_person = \"never\"\n", "[approvals]\nprivileged = false\n", "[guard]\nenabled = false\n"] {
            let mut loosened = server.tenant("acme").asking().and_policies(plain).files();
            let settings = loosened.get_mut("tenant.toml").expect("it has settings");
            settings.extend(alone.as_bytes());
            let encoded = loosened.into_iter().map(|(path, bytes)| (path, json!(STANDARD.encode(bytes)))).collect();
            let loosened = store(Value::Object(encoded)).await;
            let held = ada.post(&format!("/revisions/{loosened}/activate"), json!({"replaces": harmless})).await.expect(409);
            assert!(text(&held["detail"]).contains("second person"), "{alone}: {held}");
        }
        server.stop().await;
    }

    /// Exceptions give and keep away roles beside the policies, for a time; nobody makes one for themselves.
    async fn exceptions_begin_end_and_yield_to_a_forbid(database: Database) {
        let server = Server::start(&database).await;
        let forbid = r#"
@id("no-readers")
@reason("contractors read nothing")
forbid (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader")
when { principal has userType && principal.userType == "contractor" };
"#;
        let acme = server.tenant("acme").and_policies(forbid).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create_with("ada@acme.example", json!({"emails": [{"value": "lovelace@acme.example"}]})).await;
        let make = |effect: &str, role: &str, starts: Option<String>, days: i64| {
            json!({"role": role, "effect": effect, "starts": starts, "ends": in_days(&server, days), "reason": "stands in", "owner": "iam"})
        };
        let path = "/accounts/ada@acme.example/exceptions";
        let own = person(&server, &acme, "ada@acme.example").await;
        own.post(path, make("grant", "reader", None, 5)).await.expect(403);
        let by_address = person(&server, &acme, "lovelace@acme.example").await;
        by_address.post(path, make("grant", "reader", None, 5)).await.expect(403);
        acme.api.post(path, make("grant", "nothing", None, 5)).await.expect(404);
        acme.api.post(path, make("grant", "reader", None, 500)).await.expect(422);
        let made = acme.api.post(path, make("grant", "reader", None, 5)).await.expect(201);
        acme.api.post(path, make("forbid", "reader", None, 5)).await.expect(409);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["reader".into()]));
        let reason = &acme.account("ada@acme.example").await["grants"][0]["reasons"][0];
        assert_eq!((text(&reason["policy"]), text(&reason["reason"])), (format!("exception:{}", text(&made["id"])), "stands in".into()));
        entra.set(&ada, "userType", json!("contractor")).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "a forbid wins");
        entra.set(&ada, "userType", json!("employee")).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        server.clock.advance_hours(5 * 24 + 1);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "its time is over");

        let later = make("grant", "reader", Some(in_days(&server, 2)), 4);
        let made = acme.api.post(path, later).await.expect(201);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        server.clock.advance_hours(49);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        acme.api.delete(&format!("/exceptions/{}", text(&made["id"]))).await.expect(204);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());

        entra.group("Engineering", &[&ada]).await;
        let kept = acme.api.post(path, make("forbid", "developer", None, 5)).await.expect(201);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "and the next sync does not undo it");
        own.delete(&format!("/exceptions/{}", text(&kept["id"]))).await.expect(403);
        acme.api.delete(&format!("/exceptions/{}", text(&kept["id"]))).await.expect(204);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// In staging everything is computed and shown and nothing has effect; going live lets it all in, uncounted.
    async fn staging_shows_and_going_live_lets_in(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let made = acme.api.post("/connections", json!({"name": "Entra ID"})).await.expect(201);
        assert_eq!((text(&made["state"]), made["guarded"].as_bool()), ("staging".into(), Some(true)));
        let entra = Connection {
            id: text(&made["id"]),
            scim: Client::scim(format!("{}/scim/{}/v2", server.url(), text(&made["id"])), text(&made["token"])),
        };
        let people = entra.crowd("p", 20).await;
        let ids: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &ids).await;
        entra.deactivate(&people[0]).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 0);
        let accounts = acme.accounts().await;
        let staged = accounts.values().filter(|account| account["state"] == "held" && account["note"]["code"] == "staging");
        let shown = staged.filter(|account| account["grants"][0]["waits_for"] == "staging").count();
        assert_eq!(shown, 19);
        acme.api.post(&format!("/connections/{}/pause", entra.id), json!({})).await.expect(409);
        let seen = acme.api.get(&format!("/connections/{}/difference", entra.id)).await.expect(200);
        acme.api.post(&format!("/connections/{}/live", entra.id), json!({"digest": seen["digest"]})).await.expect(200);
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 19);
        let holds = acme.api.get("/holds").await.expect(200);
        assert_eq!(holds["holds"], json!([]));
        remove_all(&entra, &group_of(&entra).await, &people[1..10]).await;
        server.settle().await;
        assert_eq!(holders(&acme, "developer").await, 19 - LIMIT, "from then on the guard counts");
        server.stop().await;
    }
}

/// How many people wait in open holds.
async fn the_resolved(acme: &Tenant) -> i64 {
    let listed = acme.api.get("/holds?state=open").await.expect(200);
    listed["holds"].as_array().expect("a list").iter().map(|hold| hold["people"].as_i64().unwrap_or(0)).sum()
}

async fn open_request(acme: &Tenant) -> String {
    let listed = acme.api.get("/approvals?state=open").await.expect(200);
    let rulings = listed["rulings"].as_array().expect("a list");
    assert_eq!(rulings.len(), 1, "{listed}");
    text(&rulings[0]["id"])
}

async fn group_of(entra: &Connection) -> String {
    let listed = entra.scim.get("/Groups?excludedAttributes=members").await.expect(200);
    text(&listed["Resources"][0]["id"])
}
