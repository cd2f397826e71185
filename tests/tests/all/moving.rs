//! Moving house: a connection takes over the people of another one. Whoever both know keeps the account and its roles, what the old connection
//! says of them decides nothing from then on, and there is a way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rolecall_tests::tenant::{roles_in_effect, text};
use rolecall_tests::{Answer, Client, Connection, Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

/// A connection in staging.
async fn staged(server: &Server, acme: &Tenant, name: &str) -> Connection {
    let made = acme.api.post("/connections", json!({"name": name})).await.expect(201);
    let id = text(&made["id"]);
    let scim = Client::scim(format!("{}/scim/{id}/v2", server.url()), text(&made["token"]));
    Connection { id, scim }
}

async fn take_over(acme: &Tenant, new: &Connection, old: &str) -> Answer {
    acme.api.put(&format!("/connections/{}/predecessor", new.id), json!({"connection": old})).await
}

async fn difference(acme: &Tenant, new: &Connection) -> Value {
    acme.api.get(&format!("/connections/{}/difference?limit=500", new.id)).await.expect(200)
}

/// The lines of all pages of two, by login name.
async fn lines(acme: &Tenant, new: &Connection) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = acme.api.get(&format!("/connections/{}/difference?limit=2{after}", new.id)).await.expect(200);
        for line in page["lines"].as_array().expect("lines") {
            assert!(lines.insert(text(&line["user_name"]), line.clone()).is_none(), "{line}");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

async fn adopt(acme: &Tenant, new: &Connection, user: &str, account: &Value) -> Answer {
    let said = json!({"account": account, "reason": "HR knows both addresses"});
    acme.api.put(&format!("/connections/{}/adoptions/{user}", new.id), said).await
}

/// Goes live with what is seen now.
async fn go_live(acme: &Tenant, new: &Connection) -> Value {
    let seen = difference(acme, new).await;
    acme.api.post(&format!("/connections/{}/live", new.id), json!({"digest": seen["digest"]})).await.expect(200)
}

async fn moved(acme: &Tenant, new: &Connection) -> Value {
    acme.api.get(&format!("/connections/{}/moved?limit=500", new.id)).await.expect(200)
}

async fn go_back(acme: &Tenant, new: &Connection, digest: &Value) -> Answer {
    acme.api.post(&format!("/connections/{}/move-back", new.id), json!({"digest": digest})).await
}

fn roles(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Who has moved, by login name, with the way back.
fn ways(moved: &Value) -> BTreeMap<String, String> {
    moved["people"].as_array().expect("people").iter().map(|person| (text(&person["user_name"]), text(&person["way"]))).collect()
}

/// Two connections that know the same people: an old one that is live, and a new one in staging.
struct House {
    server: Server,
    acme: Tenant,
    old: Connection,
    new: Connection,
    /// SCIM ids at the old connection and at the new one.
    there: BTreeMap<&'static str, String>,
    here: BTreeMap<&'static str, String>,
    /// The old one's group that gives the role.
    group: String,
    /// Account ids.
    accounts: BTreeMap<&'static str, String>,
}

impl House {
    /// At both ends: ada (by name), bob (by external id), carol (by address); at the old one dave, at the new one erin.
    async fn build(database: &Database) -> Self {
        let server = Server::start(database).await;
        let acme = server.tenant("acme").create().await;
        let old = acme.connection(&server, "Entra ID").await;
        let at = |address: &str| json!({"emails": [{"value": format!("{address}@x.example")}]});
        let mut there = BTreeMap::new();
        there.insert("ada", old.create_with("ada@acme.example", json!({"externalId": "old-ada"})).await);
        there.insert("bob", old.create_with("b.builder@acme.example", json!({"externalId": "bob-1"})).await);
        there.insert("carol", old.create_with("carol.c@acme.example", at("carol")).await);
        there.insert("dave", old.create("dave@acme.example").await);
        let members: Vec<&str> = there.values().map(String::as_str).collect();
        let group = old.group("Engineering", &members).await;
        server.settle().await;
        let mut accounts = BTreeMap::new();
        for (who, name) in [("ada", "ada"), ("bob", "b.builder"), ("carol", "carol.c"), ("dave", "dave")] {
            let account = acme.account(&format!("{name}@acme.example")).await;
            assert_eq!(roles_in_effect(&account), roles(&["developer"]), "{who}");
            accounts.insert(who, text(&account["id"]));
        }
        let new = staged(&server, &acme, "Okta").await;
        let mut here = BTreeMap::new();
        here.insert("ada", new.create_with("Ada@acme.example", json!({"externalId": "00u1"})).await);
        here.insert("bob", new.create_with("bob@acme.example", json!({"externalId": "bob-1"})).await);
        here.insert("carol", new.create_with("carol@acme.example", at("carol")).await);
        here.insert("erin", new.create("erin@acme.example").await);
        let members: Vec<&str> = here.values().map(String::as_str).collect();
        new.group("Engineering", &members).await;
        server.settle().await;
        Self { server, acme, old, new, there, here, group, accounts }
    }

    async fn account(&self, who: &str) -> Value {
        self.acme.account(&self.accounts[who]).await
    }

    async fn held(&self, who: &str) -> (String, BTreeSet<String>) {
        let account = self.account(who).await;
        (text(&account["state"]), roles_in_effect(&account))
    }

    /// What the history says of the accounts, as kinds.
    async fn kinds(&self, who: &str) -> Vec<String> {
        let events = self.acme.events(&self.server).await;
        events.iter().filter(|event| event["account"] == *self.accounts[who]).map(|event| text(&event["kind"])).collect()
    }
}

fn in_use() -> (String, BTreeSet<String>) {
    ("active".into(), roles(&["developer"]))
}

on_both_databases! {
    async fn a_tenant_changes_its_identity_provider(database: Database) {
        let house = House::build(&database).await;
        let House { server, acme, old, new, there, here, accounts, .. } = &house;

        // Unasked, whoever has a name that is taken is held.
        let unasked = lines(acme, new).await;
        let fates = |lines: &BTreeMap<String, Value>| lines.iter().map(|(name, line)| (name.clone(), text(&line["fate"]))).collect::<BTreeMap<_, _>>();
        assert_eq!(fates(&unasked)["Ada@acme.example"], "collision");
        assert_eq!(fates(&unasked)["bob@acme.example"], "new");

        // Asked, matches, doubts and leftovers are shown, and nothing changes.
        take_over(acme, new, &old.id).await.expect(204);
        server.settle().await;
        let shown = lines(acme, new).await;
        let wanted = [
            ("Ada@acme.example", "moved"),
            ("bob@acme.example", "moved"),
            ("carol@acme.example", "doubt"),
            ("erin@acme.example", "new"),
            ("dave@acme.example", "stays"),
        ];
        assert_eq!(fates(&shown), wanted.iter().map(|(name, fate)| ((*name).to_owned(), (*fate).to_owned())).collect());
        assert_eq!(shown["bob@acme.example"]["candidates"][0]["by"], json!(["external_id"]));
        assert_eq!(shown["bob@acme.example"]["candidates"][0]["from"], *there["bob"]);
        for name in ["Ada@acme.example", "bob@acme.example"] {
            assert_eq!((&shown[name]["gained"], &shown[name]["lost"]), (&json!([]), &json!([])), "the group is known at both ends");
        }
        let totals = difference(acme, new).await["totals"].clone();
        assert_eq!((&totals["moved"], &totals["doubts"], &totals["new"], &totals["stays"]), (&json!(2), &json!(1), &json!(1), &json!(1)), "{totals}");
        let csv = acme.api.get(&format!("/connections/{}/difference?format=csv", new.id)).await;
        assert_eq!(csv.text.lines().count(), 1 + 5, "{}", csv.text);
        adopt(acme, new, &here["carol"], &json!(accounts["carol"])).await.expect(204);
        assert_eq!(fates(&lines(acme, new).await)["carol@acme.example"], "moved");
        for who in ["ada", "bob", "carol", "dave"] {
            assert_eq!(house.held(who).await, in_use(), "{who}: nothing changes before it is carried out");
        }

        // It is carried out in one step, and at no moment does somebody lack something.
        let watching = Arc::new(AtomicBool::new(true));
        let looks = ["ada", "bob", "carol", "dave"].map(|who| {
            let (api, path, watching) = (acme.api.clone(), format!("/accounts/{}", accounts[who]), Arc::clone(&watching));
            tokio::spawn(async move {
                let mut seen = 0;
                while watching.load(Ordering::Acquire) {
                    let account = api.get(&path).await.expect(200);
                    assert_eq!((text(&account["state"]), roles_in_effect(&account)), in_use(), "{account}");
                    seen += 1;
                }
                seen
            })
        });
        let done = go_live(acme, new).await;
        assert_eq!((&done["moved"], &done["doubts"]), (&json!(3), &json!(0)));
        server.settle().await;
        watching.store(false, Ordering::Release);
        for look in looks {
            assert!(look.await.expect("nobody lacks anything") > 0);
        }
        for (who, name) in [("ada", "Ada@acme.example"), ("bob", "bob@acme.example"), ("carol", "carol@acme.example")] {
            let account = house.account(who).await;
            assert_eq!((text(&account["source"]["id"]), text(&account["user_name"])), (here[who].clone(), name.to_owned()), "{account}");
            assert!(account["note"].is_null(), "{account}");
            let kinds = house.kinds(who).await;
            assert!(kinds.contains(&"account.moved".to_owned()), "{kinds:?}");
            assert!(kinds.iter().all(|kind| !matches!(kind.as_str(), "account.suspended" | "account.removed" | "grant.removed")), "{kinds:?}");
        }
        assert_eq!(acme.roles("erin@acme.example").await, roles(&["developer"]));
        let stands = acme.accounts().await.into_values().filter(|account| account["note"]["code"] == "moved").count();
        assert_eq!(stands, 3);

        // The old identity provider says what it likes.
        old.set(&there["ada"], "title", json!("Old title")).await;
        old.deactivate(&there["bob"]).await;
        for who in ["ada", "bob", "carol"] {
            old.scim.delete(&format!("/Users/{}", there[who])).await.expect(204);
        }
        server.settle().await;
        for who in ["ada", "bob", "carol", "dave"] {
            assert_eq!(house.held(who).await, in_use(), "{who}: the old one decides nothing about them");
        }

        // Whoever leaves at the new one stays gone, whatever the old one has.
        new.deactivate(&here["ada"]).await;
        new.scim.delete(&format!("/Users/{}", here["carol"])).await.expect(204);
        old.create_with("ada@acme.example", json!({"externalId": "old-ada"})).await;
        old.create_with("carol.c@acme.example", json!({"externalId": "ext-carol.c@acme.example"})).await;
        server.settle().await;
        assert_eq!(house.held("ada").await, ("suspended".into(), roles(&[])));
        assert_eq!(house.held("carol").await, ("removed".into(), roles(&[])));
        let active = acme.accounts().await.into_values().filter(|account| account["state"] == "active").count();
        assert_eq!(active, 3, "bob, dave and erin, and nobody came back");

        // Who stayed with the old one goes with it.
        old.scim.delete(&format!("/Users/{}", there["dave"])).await.expect(204);
        server.settle().await;
        assert_eq!(house.held("dave").await.0, "removed");
        acme.api.delete(&format!("/connections/{}", old.id)).await.expect(204);
        server.settle().await;
        assert_eq!(house.held("bob").await, in_use());
        assert_eq!(acme.roles("erin@acme.example").await, roles(&["developer"]), "the handle is the new group's alone");
        house.server.stop().await;
    }

    /// The old identity provider has nobody gone: an account out of use for a while is no doubt, and moves with what keeps it so.
    async fn somebody_on_leave_moves_with_the_leave(database: Database) {
        let house = House::build(&database).await;
        let House { server, acme, old, new, there, .. } = &house;
        let now = server.app().clock.now();
        let leave = json!({"ends": now.plus_seconds(30 * 86_400), "reason": "parental leave"});
        acme.api.post(&format!("/accounts/{}/leave", house.accounts["bob"]), leave).await.expect(201);
        old.deactivate(&there["ada"]).await;
        server.settle().await;
        assert_eq!(house.held("bob").await.0, "suspended");
        take_over(acme, new, &old.id).await.expect(204);
        server.settle().await;
        let shown = lines(acme, new).await;
        assert_eq!((&shown["bob@acme.example"]["fate"], &shown["Ada@acme.example"]["fate"]), (&json!("moved"), &json!("doubt")));
        go_live(acme, new).await;
        server.settle().await;
        assert_eq!(house.held("bob").await.0, "suspended", "it is not over");
        server.clock.advance_seconds(31 * 86_400);
        server.settle().await;
        assert_eq!(house.held("bob").await, in_use());
        house.server.stop().await;
    }

    async fn there_is_a_way_back(database: Database) {
        let house = House::build(&database).await;
        let House { server, acme, old, new, there, here, group, accounts } = &house;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str()), ("ROLECALL_TENANT", "acme")];
        let run = async |arguments: &[&str]| {
            let (done, out, error) = process::run(arguments, &environment).await;
            assert!(done, "{arguments:?}: {out}{error}");
            out
        };
        // What can't be: a connection that is live, one of another tenant, itself, one in staging, one that is taken over already.
        let other = server.tenant("other").create().await;
        let theirs = other.connection(server, "Entra ID").await;
        let third = staged(server, acme, "Ping").await;
        take_over(acme, old, &old.id).await.expect(409);
        take_over(acme, new, &theirs.id).await.expect(404);
        take_over(acme, new, &new.id).await.expect(409);
        take_over(acme, new, &third.id).await.expect(409);
        run(&["connection", "move", "Okta", "--from", "Entra ID"]).await;
        take_over(acme, &third, &old.id).await.expect(409);
        server.settle().await;
        adopt(acme, new, &here["carol"], &json!(accounts["carol"])).await.expect(204);
        acme.api.post(&format!("/connections/{}/move-back", new.id), json!({"digest": "none"})).await.expect(409);
        let exception = json!({"role": "admin", "effect": "grant", "reason": "on call", "owner": "olga@acme.example",
                               "ends": server.app().clock.now().plus_seconds(7_200).to_string()});
        acme.api.post(&format!("/accounts/{}/exceptions", accounts["ada"]), exception).await.expect(201);
        server.settle().await;
        let with_exception = ("active".to_owned(), roles(&["admin", "developer"]));
        assert_eq!(house.held("ada").await, with_exception);
        assert_eq!(difference(acme, new).await["totals"]["lost"].get("admin"), None, "what an exception gives is not lost");
        run(&["connection", "live", "Okta", "--yes"]).await;
        server.settle().await;
        assert_eq!(house.held("ada").await, with_exception, "what was said of somebody goes with the account");
        assert_eq!(ways(&moved(acme, new).await).into_values().collect::<BTreeSet<_>>(), roles(&["goes"]));

        // What going back would change is told by what the old one has by now.
        let of_ada = async || moved(acme, new).await["people"].as_array().expect("people").iter().find(|person| person["account"] == *accounts["ada"]).cloned();
        old.remove(group, &there["ada"]).await;
        server.settle().await;
        assert_eq!(house.held("ada").await, with_exception, "the old one decides nothing");
        assert_eq!(of_ada().await.expect("ada has moved")["lost"], json!(["developer"]));
        old.add(group, &there["ada"]).await;
        assert_eq!(of_ada().await.expect("ada has moved")["lost"], json!([]));

        // Carol leaves at the new one, bob is inactive at the old one: neither goes back, and each is named.
        let seen = moved(acme, new).await;
        new.deactivate(&here["carol"]).await;
        old.deactivate(&there["bob"]).await;
        server.settle().await;
        go_back(acme, new, &seen["digest"]).await.expect(409);
        let listed = run(&["connection", "moved", "Okta"]).await;
        assert!(listed.contains("1  have left since") && listed.contains("1  are inactive where they came from"), "{listed}");
        let csv = run(&["connection", "moved", "Okta", "--csv"]).await;
        assert_eq!(csv.lines().count(), 4, "{csv}");
        run(&["connection", "move-back", "Okta", "--yes"]).await;
        server.settle().await;
        let ada = house.account("ada").await;
        assert_eq!((text(&ada["source"]["id"]), text(&ada["user_name"])), (there["ada"].clone(), "ada@acme.example".into()), "{ada}");
        assert_eq!(house.held("ada").await, with_exception, "no gap, and what was said of her came back with her");
        assert_eq!(house.held("bob").await, in_use(), "who can't go back keeps what they have");
        assert_eq!(house.held("carol").await, ("suspended".into(), roles(&[])), "going back brings no leaver back");
        assert_eq!(acme.roles("erin@acme.example").await, roles(&["developer"]));
        let kinds = house.kinds("ada").await;
        assert!(kinds.contains(&"account.moved_back".to_owned()), "{kinds:?}");
        assert!(kinds.iter().all(|kind| !matches!(kind.as_str(), "account.suspended" | "account.removed" | "grant.removed")), "{kinds:?}");
        assert_eq!(ways(&moved(acme, new).await), BTreeMap::from([("bob@acme.example".into(), "inactive_there".into()), ("carol@acme.example".into(), "left".into())]));

        // The old one decides again, the new one is in staging: it gives nothing new.
        old.set(&there["ada"], "title", json!("Chief")).await;
        server.settle().await;
        assert_eq!(house.account("ada").await["profile"]["title"], "Chief");
        let shown = lines(acme, new).await;
        let fate = |name: &str| text(&shown[name]["fate"]);
        assert_eq!((fate("Ada@acme.example"), fate("bob@acme.example"), fate("erin@acme.example")), ("moved".into(), "in_use".into(), "in_use".into()));
        // And the house can be moved again.
        go_live(acme, new).await;
        server.settle().await;
        assert_eq!(house.held("ada").await, with_exception);
        assert_eq!(text(&house.account("ada").await["source"]["id"]), here["ada"]);
        house.server.stop().await;
    }

    /// What the new one gives no longer is lost as ever: the guard is asked where many lose something.
    async fn losses_of_a_move_are_guarded(database: Database) {
        const CROWD: usize = 8;
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let old = acme.connection(&server, "Entra ID").await;
        let people = old.crowd("p", CROWD).await;
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        old.group("Engineering", &members).await;
        let new = staged(&server, &acme, "Okta").await;
        acme.guard(&new).await;
        new.crowd("p", CROWD).await;
        take_over(&acme, &new, &old.id).await.expect(204);
        server.settle().await;
        let seen = difference(&acme, &new).await;
        assert_eq!((&seen["totals"]["moved"], &seen["totals"]["lost"]), (&json!(CROWD), &json!({"developer": CROWD})));
        go_live(&acme, &new).await;
        server.settle().await;
        let mut kept = 0;
        for number in 0..CROWD {
            kept += acme.roles(&format!("p{number:05}@acme.example")).await.len();
        }
        let holds = acme.api.get("/holds").await.expect(200);
        assert_eq!(holds["holds"].as_array().map(Vec::len), Some(1), "{holds}");
        assert!(kept > 0, "beyond the limit people keep their roles until somebody has looked");
        server.stop().await;
    }
}
