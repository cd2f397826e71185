//! People who begin, move, pause and leave by dates: the identity provider may be silent, and what it wrote stays as it wrote it.

use std::collections::BTreeSet;

use rolecall_tests::receiver::Receiver;
use rolecall_tests::tenant::text;
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

const EXTENSION: &str = "urn:example:params:scim:schemas:extension:work:2.0:User";

const SETTINGS: &str = r#"
[processes]
time_zone = "Europe/Berlin"
start_date_attribute = "urn:example:params:scim:schemas:extension:work:2.0:User:firstDay"
end_date_attribute = "urn:example:params:scim:schemas:extension:work:2.0:User:lastDay"
remind_days = 7
overlap_days = 14

[[schemas]]
id = "urn:example:params:scim:schemas:extension:work:2.0:User"
name = "Work"
attributes = [{ name = "firstDay", type = "string" }, { name = "lastDay", type = "string" }]
"#;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const DEPARTMENTS: &str = r#"
@id("engineers")
@reason("engineers work on the code")
permit (principal, action == Rolecall::Action::"hold", resource)
when { principal has department && principal.department == "Engineering" && resource != Rolecall::Role::"reader" };

@id("sellers")
@reason("sellers read")
permit (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader")
when { principal has department && principal.department == "Sales" };
"#;

async fn acme_with_dates(server: &Server) -> (Tenant, Connection) {
    let acme = server.tenant("acme").and_settings(SETTINGS).create().await;
    let entra = acme.connection(server, "Entra ID").await;
    (acme, entra)
}

/// The day so many days from now, as an identity provider writes it.
fn day(server: &Server, days: i64) -> String {
    server.app().clock.now().plus_seconds(days * 86_400).to_string()[..10].to_owned()
}

fn at(server: &Server, hours: i64) -> String {
    server.app().clock.now().plus_seconds(hours * 3_600).to_string()
}

fn work(first_day: Option<&str>, last_day: Option<&str>) -> Value {
    let mut extension = json!({});
    for (name, date) in [("firstDay", first_day), ("lastDay", last_day)] {
        if let Some(date) = date {
            extension[name] = date.into();
        }
    }
    json!({EXTENSION: extension})
}

async fn advance(server: &Server, hours: i64) {
    server.clock.advance_hours(hours);
    server.settle().await;
}

/// State, the note's code, and the roles with their states.
async fn standing(acme: &Tenant, name: &str) -> (String, String, Vec<(String, String)>) {
    let account = acme.account(name).await;
    let grants = account["grants"].as_array().expect("a list").iter();
    let roles = grants.map(|grant| (text(&grant["role"]), text(&grant["state"]))).collect();
    (text(&account["state"]), account["note"]["code"].as_str().unwrap_or("").to_owned(), roles)
}

fn stands(state: &str, note: &str, roles: &[(&str, &str)]) -> (String, String, Vec<(String, String)>) {
    (state.to_owned(), note.to_owned(), roles.iter().map(|(role, state)| ((*role).to_owned(), (*state).to_owned())).collect())
}

/// A step of a receipt.
fn step(receipt: &Value, name: &str) -> Value {
    receipt["steps"].as_array().expect("a list").iter().find(|step| step["name"] == name).expect("the step is there").clone()
}

async fn kinds(acme: &Tenant, server: &Server) -> Vec<String> {
    acme.events(server).await.iter().map(|event| text(&event["kind"])).collect()
}

on_both_databases! {
    /// Prepared, shown with what there will be, not in use; at the date in use by itself, and out of use after the last day.
    async fn somebody_begins_and_ends_by_dates(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme_with_dates(&server).await;
        let (first, last) = (day(&server, 3), day(&server, 20));
        let ada = entra.create_with("ada@acme.example", work(Some(&first), Some(&last))).await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("scheduled", "scheduled", &[("developer", "pending")]));
        let read = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        assert_eq!((&read["active"], &read[EXTENSION]["lastDay"]), (&json!(true), &json!(last)));

        advance(&server, 4 * 24).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("active", "", &[("developer", "effective")]));
        advance(&server, 12 * 24).await;
        assert_eq!(standing(&acme, "ada@acme.example").await.1, "ending");
        let before = kinds(&acme, &server).await;
        assert_eq!(before.iter().filter(|kind| *kind == "account.ending").count(), 1, "{before:?}");
        advance(&server, 6 * 24).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("suspended", "ended", &[]));
        let after = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        assert_eq!(after, read, "what the identity provider wrote, as it wrote it");
        let explained = acme.api.get("/accounts/ada@acme.example/explain?role=developer").await.expect(200);
        assert!(explained.to_string().contains("end date"), "{explained}");
        // Whatever else is written: ended is ended, until the date moves.
        entra.set(&ada, "title", json!("Lead")).await;
        assert_eq!(standing(&acme, "ada@acme.example").await.0, "suspended");
        let later = day(&server, 30);
        entra.set(&ada, &format!("{EXTENSION}:lastDay"), json!(later)).await;
        server.settle().await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("active", "", &[("developer", "effective")]));
        entra.set(&ada, &format!("{EXTENSION}:lastDay"), json!(day(&server, -2))).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("suspended", "ended", &[]), "with the write");
        server.stop().await;
    }

    /// The identity provider's `active` comes before every date, and a date that is none gives nothing.
    async fn inactive_wins_and_a_date_that_is_none_gives_nothing(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme_with_dates(&server).await;
        let first = day(&server, 3);
        let ada = entra.create_with("ada@acme.example", work(Some(&first), None)).await;
        entra.deactivate(&ada).await;
        advance(&server, 5 * 24).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("suspended", "", &[]));
        let bob = entra.create_with("bob@acme.example", work(Some("next week"), None)).await;
        entra.group("Engineering", &[&bob]).await;
        server.settle().await;
        let accounts = acme.accounts().await;
        let held = accounts.values().find(|account| account["state"] == "held").expect("bob is held");
        assert_eq!((&held["note"]["code"], &held["grants"]), (&json!("invalid_date"), &json!([])));
        assert!(text(&held["note"]["message"]).contains("next week"));
        server.stop().await;
    }

    /// A mover keeps a plain role for the overlap, and never a privileged one; the role falls by itself.
    async fn a_mover_keeps_plain_roles_for_a_while(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_policies(DEPARTMENTS).and_settings(SETTINGS).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let in_department = |name: &str| json!({ENTERPRISE: {"department": name}});
        let ada = entra.create_with("ada@acme.example", in_department("Engineering")).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into(), "developer".into()]));
        entra.set(&ada, &format!("{ENTERPRISE}:department"), json!("Sales")).await;
        let moved = standing(&acme, "ada@acme.example").await;
        assert_eq!(moved, stands("active", "", &[("developer", "retained"), ("reader", "effective")]));
        let account = acme.account("ada@acme.example").await;
        assert_eq!(account["grants"][0]["waits_for"], "overlap");
        let deadline = server.app().clock.now().plus_seconds(14 * 86_400).to_string();
        assert_eq!(text(&account["grants"][0]["deadline"])[..10], deadline[..10]);
        advance(&server, 13 * 24).await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 2);
        advance(&server, 25).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("active", "", &[("reader", "effective")]));
        // Out of Sales into nothing: no move.
        entra.set(&ada, &format!("{ENTERPRISE}:department"), json!("Nowhere")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        let removed: Vec<Value> = acme.events(&server).await.into_iter().filter(|event| event["kind"] == "grant.removed").collect();
        let whys: Vec<String> = removed.iter().map(|event| text(&event["data"]["why"])).collect();
        assert_eq!(whys, ["policy", "overlap_ended", "policy"]);
        server.stop().await;
    }

    /// A leave takes the account out of use and gives it back; the identity provider's word wins, and approvals survive.
    async fn a_leave_of_absence_comes_to_its_end_by_itself(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme_with_dates(&server).await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let path = "/accounts/ada@acme.example/leave";
        acme.api.post(path, json!({"ends": at(&server, 48), "reason": ""})).await.expect(422);
        acme.api.post(path, json!({"ends": at(&server, -1), "reason": "parental leave"})).await.expect(422);
        let leave = json!({"starts": at(&server, 24), "ends": at(&server, 72), "reason": "parental leave"});
        let made = acme.api.post(path, leave.clone()).await.expect(201);
        let refused = acme.api.post(path, leave).await.expect(409).to_string();
        assert!(refused.contains("has a leave already"), "{refused}");
        let within = json!({"starts": at(&server, 30), "ends": at(&server, 60), "reason": "parental leave"});
        acme.api.post(path, within).await.expect(409);
        server.settle().await;
        assert_eq!(standing(&acme, "ada@acme.example").await.0, "active");
        advance(&server, 25).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("suspended", "absent", &[("developer", "dormant")]));
        let listed = acme.api.get("/leaves").await.expect(200);
        assert_eq!(listed["rulings"][0]["id"], made["id"]);
        advance(&server, 50).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("active", "", &[("developer", "effective")]));
        acme.api.delete(&format!("/leaves/{}", text(&made["id"]))).await.expect(404);

        let again = acme.api.post(path, json!({"ends": at(&server, 72), "reason": "a sabbatical"})).await.expect(201);
        server.settle().await;
        assert_eq!(standing(&acme, "ada@acme.example").await.0, "suspended");
        acme.api.delete(&format!("/leaves/{}", text(&again["id"]))).await.expect(204);
        server.settle().await;
        assert_eq!(standing(&acme, "ada@acme.example").await.0, "active");
        acme.api.post(path, json!({"ends": at(&server, 72), "reason": "a sabbatical"})).await.expect(201);
        server.settle().await;
        entra.deactivate(&ada).await;
        advance(&server, 80).await;
        assert_eq!(standing(&acme, "ada@acme.example").await, stands("suspended", "", &[]));
        server.stop().await;
    }

    /// The receipt of a leaver: the request, the roles, and each target's acknowledgement as it comes.
    async fn a_leaver_has_a_receipt(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme_with_dates(&server).await;
        let receiver = Receiver::start([]).await;
        acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);
        let bob = entra.create("bob@acme.example").await;
        entra.group("Engineering", &[&bob]).await;
        server.settle().await;
        acme.api.get("/accounts/bob@acme.example/receipt").await.expect(404);
        receiver.set_failing(true);
        entra.deactivate(&bob).await;
        server.settle().await;
        let receipt = acme.api.get("/accounts/bob@acme.example/receipt").await.expect(200);
        assert_eq!((&receipt["complete"], &receipt["state"]), (&json!(false), &json!("suspended")), "{receipt}");
        assert_eq!((&receipt["request"]["why"], &receipt["request"]["actor"]["kind"]), (&json!("inactive"), &json!("connection")));
        let suspended = acme.events(&server).await.into_iter().find(|event| event["kind"] == "account.suspended").expect("an event");
        assert_eq!((&receipt["request"]["request_id"], &receipt["request"]["at"]), (&suspended["request_id"], &suspended["at"]));
        assert_eq!(receipt["roles"][0]["role"], "developer");
        let target = step(&receipt, "target");
        assert_eq!((&target["owner"], &target["state"], &target["at"]), (&json!("crm"), &json!("waiting"), &json!(null)), "{receipt}");
        receiver.set_failing(false);
        for _ in 0..4 {
            server.clock.advance_hours(1);
            server.settle().await;
        }
        let receipt = acme.api.get("/accounts/bob@acme.example/receipt").await.expect(200);
        assert_eq!((&receipt["complete"], &step(&receipt, "target")["state"]), (&json!(true), &json!("done")), "{receipt}");
        assert!(step(&receipt, "target")["at"].is_string());
        // Back again: what is in effect again is not gone.
        entra.set(&bob, "active", json!(true)).await;
        let receipt = acme.api.get("/accounts/bob@acme.example/receipt").await.expect(200);
        assert_eq!((&receipt["complete"], &step(&receipt, "roles")["state"]), (&json!(false), &json!("waiting")), "{receipt}");
        server.stop().await;
    }

    /// Whoever comes back under the same external id is decided afresh, also about approvals; another external id is another person.
    async fn a_rehire_is_asked_about_again(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let operations = entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let made = server.operator.post("/tokens", json!({"tenant": "acme", "write": true, "person": "grace@acme.example"})).await.expect(201);
        let boss = acme.api.with_token(made["token"].as_str());
        let open = acme.api.get("/approvals?state=open").await.expect(200);
        boss.post(&format!("/approvals/{}/approve", text(&open["rulings"][0]["id"])), json!({"reason": "on call"})).await.expect(200);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into()]));
        let account = text(&acme.account("ada@acme.example").await["id"]);
        entra.scim.delete(&format!("/Users/{ada}")).await.expect(204);
        let again = entra.create("ada@acme.example").await;
        entra.add(&operations, &again).await;
        server.settle().await;
        let revived = acme.account("ada@acme.example").await;
        assert_eq!((text(&revived["id"]), text(&revived["grants"][0]["state"])), (account.clone(), "pending".to_owned()), "{revived}");
        entra.scim.delete(&format!("/Users/{again}")).await.expect(204);
        entra.create_with("ada@acme.example", json!({"externalId": "another"})).await;
        assert_ne!(text(&acme.account("ada@acme.example").await["id"]), account);
        server.stop().await;
    }

    /// When the retention is over nothing personal is left, and a record says so; nobody who can be given back is erased.
    async fn what_is_personal_is_erased_when_the_retention_is_over(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings("[processes]\nretain_days = 30\n").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let bob = entra.create_with("bob@acme.example", json!({"title": "Gaffer", "name": {"familyName": "Builder"}})).await;
        let eve = entra.create("eve@acme.example").await;
        entra.group("Engineering", &[&bob]).await;
        server.settle().await;
        let (account, other) = (text(&acme.account("bob@acme.example").await["id"]), text(&acme.account("eve@acme.example").await["id"]));
        acme.api.post(&format!("/accounts/{account}/erase"), json!({"reason": "ticket 1"})).await.expect(422);
        entra.scim.delete(&format!("/Users/{bob}")).await.expect(204);
        server.settle().await;
        let erase = || rolecall::jobs::erase_retained(server.app());
        server.clock.advance_hours(29 * 24);
        erase().await.expect("the store answers");
        assert_eq!(acme.account(&account).await["user_name"], "bob@acme.example", "not yet");
        server.clock.advance_hours(2 * 24);
        erase().await.expect("the store answers");
        erase().await.expect("the store answers");
        server.settle().await;
        let erased = acme.account(&account).await;
        assert_eq!((&erased["user_name"], &erased["profile"], &erased["state"]), (&json!(null), &json!(null), &json!("removed")));
        let events = acme.events(&server).await;
        let written = json!(events).to_string();
        assert!(!written.contains("Builder") && !written.contains("bob@acme.example"), "{written}");
        let records: Vec<&Value> = events.iter().filter(|event| event["kind"] == "account.erased").collect();
        assert_eq!((records.len(), text(&records[0]["account"]), &records[0]["data"]["why"]), (1, account.clone(), &json!("retention")));
        let receipt = acme.api.get(&format!("/accounts/{account}/receipt")).await.expect(200);
        assert_eq!((&step(&receipt, "erasure")["state"], &receipt["roles"][0]["role"]), (&json!("done"), &json!("developer")));
        let log = acme.api.get(&format!("/connections/{}/log", entra.id)).await.expect(200).to_string();
        assert!(!log.contains(&bob), "{log}");

        entra.scim.delete(&format!("/Users/{eve}")).await.expect(204);
        for personal in ["eve@acme.example left", "for somebody@acme.example", ""] {
            acme.api.post(&format!("/accounts/{other}/erase"), json!({"reason": personal})).await.expect(422);
        }
        acme.api.post(&format!("/accounts/{other}/erase"), json!({"reason": "ticket 4711"})).await.expect(204);
        acme.api.post(&format!("/accounts/{other}/erase"), json!({"reason": "ticket 4711"})).await.expect(422);
        assert_eq!(acme.account(&other).await["user_name"], json!(null));
        // The same external id is somebody new: nothing tells who was erased.
        entra.create("eve@acme.example").await;
        assert_ne!(text(&acme.account("eve@acme.example").await["id"]), other);
        server.stop().await;
    }
}
