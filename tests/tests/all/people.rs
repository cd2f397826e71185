//! Joiners, movers and returners: accounts follow what the identity provider writes.

use std::collections::BTreeSet;

use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::json;

on_both_databases! {
    /// What was written comes back as it was written, in one normal form, and the account stands beside it.
    async fn what_was_written_comes_back(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let body = user("Ada@acme.example", json!({
            "NAME": {"givenName": "Ada", "familyName": "Löwe"},
            "active": "True",
            "password": "hunter2-what-was-written",
            "favouriteColour": "green",
            "emails": [{"value": "ada@acme.example", "type": "work", "primary": true}],
        }));
        let answer = entra.scim.post("/Users", body).await;
        let location = answer.header("location").to_owned();
        let created = answer.expect(201);
        assert_eq!(created["userName"], "Ada@acme.example");
        assert_eq!(created["name"], json!({"givenName": "Ada", "familyName": "Löwe"}));
        assert_eq!(created["active"], true);
        assert!(created.get("password").is_none() && created.get("favouriteColour").is_none(), "{created}");
        assert_eq!(created["meta"]["location"], location);
        let read = entra.scim.get(&location).await.expect(200);
        assert_eq!(read, created);
        let account = acme.account("ada@acme.example").await;
        assert_eq!((&account["state"], &account["profile"]["given_name"]), (&json!("active"), &json!("Ada")), "{account}");
        assert!(account["provenance"]["given_name"].is_string(), "{account}");
        assert!(!rolecall_tests::logs::contains("hunter2-what-was-written"), "a password is in the log");
        let events = acme.events(&server).await;
        assert!(!json!(events).to_string().contains("hunter2-what-was-written"), "a password is in an event");
        server.stop().await;
    }

    /// A mover gains and loses in one change, and every grant says which policy and which group gave it.
    async fn a_mover_gains_and_loses_with_reasons(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let engineering = entra.group("Engineering", &[&ada]).await;
        let staff = entra.group("Staff", &[]).await;
        let account = acme.account("ada@acme.example").await;
        assert_eq!(account["grants"][0]["role"], "developer", "{account}");
        assert_eq!(account["grants"][0]["reasons"][0]["policy"], "engineers");
        assert_eq!(account["grants"][0]["reasons"][0]["reason"], "engineers work on the code");
        assert_eq!(account["grants"][0]["reasons"][0]["groups"], json!([["engineering"]]));
        let since = text(&account["grants"][0]["since"]);
        entra.add(&staff, &ada).await;
        let account = acme.account("ada@acme.example").await;
        let kept = account["grants"].as_array().expect("a list").iter().find(|grant| grant["role"] == "developer").expect("still there");
        assert_eq!(text(&kept["since"]), since, "held without a break");
        entra.remove(&engineering, &ada).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["reader".into()]));
        let explained = acme.api.get("/accounts/ada@acme.example/explain?role=developer").await.expect(200);
        assert!(explained.to_string().contains("engineers"), "why not names the policy that would give it: {explained}");
        let events = acme.events(&server).await;
        let kinds: Vec<(&str, &str)> = events
            .iter()
            .filter(|event| text(&event["kind"]).starts_with("grant."))
            .map(|event| (event["kind"].as_str().unwrap_or(""), event["data"]["role"].as_str().unwrap_or("")))
            .collect();
        assert_eq!(kinds, [("grant.added", "developer"), ("grant.added", "reader"), ("grant.removed", "developer")]);
        let numbers: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap_or(0)).collect();
        assert_eq!(numbers, (1..=i64::try_from(events.len()).unwrap_or(0)).collect::<Vec<_>>(), "numbered without gaps");
        server.stop().await;
    }

    /// Nested groups count, with the path that led there.
    async fn roles_come_through_nested_groups(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let platform = entra.group("Platform Team", &[&ada]).await;
        let engineering = entra.group("Engineering", &[&platform]).await;
        server.settle().await;
        let account = acme.account("ada@acme.example").await;
        assert_eq!(account["grants"][0]["role"], "developer", "{account}");
        assert_eq!(account["grants"][0]["reasons"][0]["groups"], json!([["platform-team", "engineering"]]), "{account}");
        entra.remove(&engineering, &platform).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        entra.add(&engineering, &platform).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        let circle = patch(json!([{"op": "add", "path": "members", "value": [{"value": engineering}]}]));
        entra.scim.patch(&format!("/Groups/{platform}"), circle).await.expect_scim_error(400, Some("invalidValue"));
        entra.scim.delete(&format!("/Groups/{platform}")).await.expect(204);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        server.stop().await;
    }

    /// The same external id revives the account; roles are decided afresh.
    async fn the_same_external_id_revives_the_account(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let first = entra.create("ada@acme.example").await;
        let engineering = entra.group("Engineering", &[&first]).await;
        let account = text(&acme.account("ada@acme.example").await["id"]);
        entra.scim.delete(&format!("/Users/{first}")).await.expect(204);
        assert_eq!(acme.state(&account).await, "removed");
        let second = entra.create("ada@acme.example").await;
        assert_ne!(first, second, "a SCIM id is never given again");
        let revived = acme.account("ada@acme.example").await;
        assert_eq!((text(&revived["id"]), text(&revived["state"])), (account, "active".to_owned()));
        assert_eq!(revived["grants"], json!([]), "roles are decided afresh: she is in no group");
        entra.add(&engineering, &second).await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        server.stop().await;
    }

    /// The same user name with another external id is somebody new, who inherits nothing.
    async fn the_same_name_with_another_external_id_inherits_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let first = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&first]).await;
        let account = text(&acme.account("ada@acme.example").await["id"]);
        entra.scim.delete(&format!("/Users/{first}")).await.expect(204);
        entra.create_with("ada@acme.example", json!({"externalId": "somebody-else"})).await;
        let new = acme.account("ada@acme.example").await;
        assert_ne!(text(&new["id"]), account);
        assert_eq!((&new["grants"], &new["state"]), (&json!([]), &json!("active")));
        assert_eq!(acme.state(&account).await, "removed", "the old account stays what it was");
        server.stop().await;
    }

    /// A member that never was is refused by name where members are given, and a no-op where it is added beside others; one that
    /// was deleted is a no-op.
    async fn unknown_members_are_refused_or_recorded_and_deleted_ones_are_not_missed(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, gone) = (entra.create("ada@acme.example").await, entra.create("gone@acme.example").await);
        let engineering = entra.group("Engineering", &[]).await;
        entra.scim.delete(&format!("/Users/{gone}")).await.expect(204);
        let add = |ids: &[&str]| {
            let members: Vec<_> = ids.iter().map(|id| json!({"value": id})).collect();
            patch(json!([{"op": "add", "path": "members", "value": members}]))
        };
        let path = format!("/Groups/{engineering}");
        let all = json!([{"value": ada}, {"value": "never-was"}]);
        let whole = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Engineering", "members": all});
        for answer in [
            entra.scim.post("/Groups", whole.clone()).await,
            entra.scim.put(&path, whole).await,
            entra.scim.patch(&path, patch(json!([{"op": "replace", "path": "members", "value": all}]))).await,
        ] {
            let detail = answer.expect_scim_error(400, Some("invalidValue"));
            assert!(detail.contains("never-was"), "{detail}");
            assert_eq!(acme.roles("ada@acme.example").await.len(), 0, "all of it or nothing");
        }
        let unchanged = entra.scim.patch(&path, add(&["never-was"])).await.expect(200);
        assert_eq!((unchanged["meta"]["version"].clone(), unchanged["members"].clone()), (json!("W/\"1\""), json!([])), "nobody was added");
        entra.scim.patch(&path, add(&["never-was", &ada])).await.expect(204);
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1, "somebody else's mistake keeps nobody out");
        let mixed = patch(json!([
            {"op": "remove", "path": format!("members[value eq \"{ada}\"]")},
            {"op": "add", "path": "members", "value": [{"value": "never-was"}]},
        ]));
        entra.scim.patch(&path, mixed).await.expect(200);
        assert_eq!(acme.roles("ada@acme.example").await.len(), 0, "and in");
        let updated = acme.events(&server).await.into_iter().rfind(|event| event["kind"] == "group.updated").expect("the group was updated");
        assert_eq!(updated["data"]["operations"], json!(["applied", "no_op"]), "{updated}");
        entra.scim.patch(&path, add(&[&ada, &gone])).await.expect_one_of(&[200, 204]);
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        let members = entra.scim.get(&path).await.expect(200)["members"].clone();
        assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
        let events = acme.events(&server).await;
        assert!(json!(events).to_string().contains(&gone), "the no-op is recorded");
        server.stop().await;
    }

    /// SCIM uniqueness is per connection, case-insensitive, and says so.
    async fn names_are_unique_in_a_connection(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("ada@acme.example").await;
        let again = user("ADA@acme.example", json!({"externalId": "other"}));
        entra.scim.post("/Users", again).await.expect_scim_error(409, Some("uniqueness"));
        let filter = rolecall_tests::cases::escaped("userName eq \"ADA@ACME.example\"");
        assert_eq!(entra.scim.get(&format!("/Users?filter={filter}")).await.expect(200)["totalResults"], 1, "never a 409 that can't be found");
        server.stop().await;
    }

    /// Writing the same again changes nothing: no new version, no event.
    async fn writing_the_same_again_is_a_no_op(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let engineering = entra.group("Engineering", &[&ada]).await;
        let before = (entra.scim.get(&format!("/Users/{ada}")).await.expect(200), acme.events(&server).await.len());
        entra.scim.put(&format!("/Users/{ada}"), before.0.clone()).await.expect(200);
        entra.set(&ada, "active", json!(true)).await;
        entra.add(&engineering, &ada).await;
        server.settle().await;
        let after = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        assert_eq!(before.0["meta"], after["meta"]);
        let events = acme.events(&server).await;
        assert!(events[before.1..].iter().all(|event| !text(&event["kind"]).starts_with("account.") && !text(&event["kind"]).starts_with("grant.")), "{events:?}");
        server.stop().await;
    }
}
