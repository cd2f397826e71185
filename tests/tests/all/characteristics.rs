//! The characteristics of attributes (RFC 7643 §2.2, §7), of the RFC's own and of a tenant's extension.

use rolecall_tests::cases::escaped;
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

const HR: &str = "urn:acme:params:scim:schemas:extension:hr:1.0:User";

/// A tenant whose extension has an attribute of each kind.
async fn acme(server: &Server) -> (Tenant, Connection) {
    let attributes = json!([
        {"name": "badge", "mutability": "immutable", "caseExact": true},
        {"name": "pin", "mutability": "writeOnly", "returned": "never"},
        {"name": "note", "returned": "request"},
        {"name": "site", "returned": "always"},
        {"name": "score", "mutability": "readOnly"},
        {"name": "grade", "type": "integer"},
        {"name": "since", "type": "dateTime"},
        {"name": "level", "canonicalValues": ["junior", "senior"]},
        {"name": "desks", "type": "complex", "multiValued": true, "subAttributes": [
            {"name": "value", "required": true},
            {"name": "primary", "type": "boolean"},
            {"name": "lamp", "mutability": "immutable"},
        ]},
    ]);
    let schema = json!({"id": HR, "name": "Hr", "attributes": attributes});
    let mut files = server.tenant("acme").files();
    files.insert("schemas/hr.json".to_owned(), schema.to_string().into_bytes());
    let acme = server.tenant("acme").create_empty().await;
    acme.activate(server, files).await;
    let entra = acme.connection(server, "Entra ID").await;
    (acme, entra)
}

fn with_hr(hr: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", HR], HR: hr})
}

async fn replace(entra: &Connection, id: &str, path: &str, value: Value) -> rolecall_tests::Answer {
    let body = patch(json!([{"op": "replace", "path": path, "value": value}]));
    entra.scim.patch(&format!("/Users/{id}"), body).await
}

on_both_databases! {
    /// Immutable attributes are written once, read-only ones never, and what is only written is never kept.
    async fn mutability_is_enforced(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme(&server).await;
        let hr = json!({"badge": "B1", "pin": "very-secret-pin", "score": 7, "desks": [{"value": "d1", "lamp": "red"}]});
        let ada = entra.create_with("ada@acme.example", with_hr(hr)).await;
        let path = format!("/Users/{ada}");
        let read = entra.scim.get(&format!("{path}?attributes={HR}")).await.expect(200);
        assert_eq!(read[HR], json!({"badge": "B1", "desks": [{"value": "d1", "lamp": "red"}]}), "{read}");
        let whole = entra.scim.get(&path).await.expect(200);
        let put = |badge: Option<&str>| {
            let mut body = user("ada@acme.example", with_hr(json!({"grade": 1, "desks": [{"value": "d1", "lamp": "red"}]})));
            if let Some(badge) = badge {
                body[HR]["badge"] = badge.into();
            }
            body
        };
        entra.scim.put(&path, put(Some("B2"))).await.expect_scim_error(400, Some("mutability"));
        entra.scim.put(&path, put(Some("b1"))).await.expect_scim_error(400, Some("mutability"));
        assert_eq!(entra.scim.put(&path, put(None)).await.expect(200)[HR]["badge"], "B1", "left out, it stays");
        entra.scim.put(&path, put(Some("B1"))).await.expect(200);
        replace(&entra, &ada, &format!("{HR}:badge"), json!("B2")).await.expect_scim_error(400, Some("mutability"));
        replace(&entra, &ada, &format!("{HR}:badge"), json!("B1")).await.expect(200);
        replace(&entra, &ada, &format!("{HR}:desks[value eq \"d1\"].lamp"), json!("blue")).await.expect_scim_error(400, Some("mutability"));
        replace(&entra, &ada, &format!("{HR}:score"), json!(8)).await.expect_scim_error(400, Some("mutability"));
        replace(&entra, &ada, "id", json!("x")).await.expect_scim_error(400, Some("mutability"));
        replace(&entra, &ada, "groups", json!([])).await.expect_scim_error(400, Some("mutability"));
        replace(&entra, &ada, "meta.created", json!("2020-01-01T00:00:00Z")).await.expect_scim_error(400, Some("mutability"));
        let body = patch(json!([{"op": "remove", "path": format!("{HR}:badge")}]));
        entra.scim.patch(&path, body).await.expect_scim_error(400, Some("mutability"));
        let body = patch(json!([{"op": "remove", "path": "userName"}]));
        entra.scim.patch(&path, body).await.expect_scim_error(400, Some("mutability"));
        // What is only written is nowhere: not in an answer, a filter, a log or the history.
        let before = entra.scim.get(&path).await.expect(200)["meta"]["version"].clone();
        for (path, value) in [("password", "very-secret-pin"), (&*format!("{HR}:pin"), "very-secret-pin")] {
            let answer = replace(&entra, &ada, path, json!(value)).await;
            assert_eq!(answer.expect(200)["meta"]["version"], before, "nothing is kept, so nothing changes");
        }
        for filter in ["password pr", &format!("{HR}:pin pr")] {
            entra.scim.get(&format!("/Users?filter={}", escaped(filter))).await.expect_scim_error(400, Some("invalidFilter"));
        }
        let found = entra.scim.get(&format!("/Users?attributes=password,{HR}:pin")).await.expect(200);
        assert!(!found.to_string().contains("secret") && !whole.to_string().contains("secret"), "{found}");
        assert!(!json!(acme.events(&server).await).to_string().contains("very-secret-pin"));
        assert!(!rolecall_tests::logs::contains("very-secret-pin"));
        server.stop().await;
    }

    /// What is returned always, by default, on request, and what was just written.
    async fn returned_is_enforced(database: Database) {
        let server = Server::start(&database).await;
        let (_acme, entra) = acme(&server).await;
        let hr = json!({"note": "n", "site": "S", "badge": "B"});
        let created = entra.scim.post("/Users", user("ada@acme.example", with_hr(hr.clone()))).await.expect(201);
        assert_eq!(created[HR], hr, "what was just written is returned");
        let path = format!("/Users/{}", text(&created["id"]));
        let seen = async |query: &str| entra.scim.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(seen("").await[HR], json!({"site": "S", "badge": "B"}));
        assert_eq!(seen(&format!("?attributes={HR}:note")).await[HR], json!({"note": "n", "site": "S"}));
        assert_eq!(seen("?attributes=userName").await[HR], json!({"site": "S"}));
        let least = seen(&format!("?excludedAttributes=id,schemas,meta,userName,{HR}:site,{HR}:badge")).await;
        assert_eq!((&least["id"], &least[HR]), (&created["id"], &json!({"site": "S"})), "{least}");
        assert!(least["schemas"].is_array() && least.get("userName").is_none() && least.get("meta").is_none(), "{least}");
        let listed = entra.scim.get("/Users").await.expect(200);
        assert_eq!(listed["Resources"][0][HR], json!({"site": "S", "badge": "B"}));
        let id = text(&created["id"]);
        assert_eq!(replace(&entra, &id, &format!("{HR}:note"), json!("m")).await.expect(200)[HR]["note"], "m");
        assert!(replace(&entra, &id, "title", json!("T")).await.expect(200)[HR].get("note").is_none());
        server.stop().await;
    }

    /// Types, required parts, one primary value; canonical values are suggestions, and case counts where the schema says so.
    async fn values_fit_their_attributes(database: Database) {
        let server = Server::start(&database).await;
        let (_acme, entra) = acme(&server).await;
        for (hr, why) in [
            (json!({"grade": "one"}), "an integer"),
            (json!({"grade": 1.5}), "a whole one"),
            (json!({"since": "yesterday"}), "an instant"),
            (json!({"desks": [{"lamp": "red"}]}), "a required part"),
            (json!({"desks": {"value": "d"}}), "an array"),
            (json!({"desks": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}), "one primary value"),
            (json!({"badge": ["B"]}), "one value"),
            (json!({"badge": {"value": "B"}}), "a text"),
        ] {
            let body = user("bad@acme.example", with_hr(hr));
            let detail = entra.scim.post("/Users", body).await.expect_scim_error(400, Some("invalidValue"));
            assert!(detail.contains(HR), "{why}: {detail}");
        }
        let id = entra.create_with("ada@acme.example", with_hr(json!({"badge": "B1", "level": "chief", "grade": 3, "since": "2026-01-01T00:00:00Z"}))).await;
        assert_eq!(entra.scim.get(&format!("/Users/{id}")).await.expect(200)[HR]["level"], "chief");
        for (filter, count) in [
            (format!("{HR}:badge eq \"B1\""), 1),
            (format!("{HR}:badge eq \"b1\""), 0),
            (format!("{HR}:level eq \"CHIEF\""), 1),
            (format!("{HR}:grade ge 3 and {HR}:grade lt 4"), 1),
            (format!("{HR}:since gt \"2025-12-31T23:00:00-05:00\""), 0),
            (format!("{HR}:since gt \"2025-12-31T23:00:00Z\""), 1),
            ("userName eq \"ADA@ACME.EXAMPLE\"".into(), 1),
            ("externalId eq \"EXT-ada@acme.example\"".into(), 0),
        ] {
            let found = entra.scim.get(&format!("/Users?filter={}", escaped(&filter))).await.expect(200);
            assert_eq!(found["totalResults"], count, "{filter}");
        }
        // One primary value stays, the one that came last.
        for value in ["x@acme.example", "y@acme.example"] {
            let add = patch(json!([{"op": "add", "path": "emails", "value": [{"value": value, "type": "work", "primary": true}]}]));
            entra.scim.patch(&format!("/Users/{id}"), add).await.expect(200);
        }
        let emails = entra.scim.get(&format!("/Users/{id}")).await.expect(200)["emails"].clone();
        let primary: Vec<&Value> = emails.as_array().expect("e-mails").iter().filter(|email| email["primary"] == true).collect();
        assert_eq!(primary.len(), 1, "{emails}");
        assert_eq!(primary[0]["value"], "y@acme.example");
        let two = json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}]);
        replace(&entra, &id, "emails", two).await.expect_scim_error(400, Some("invalidValue"));
        server.stop().await;
    }

    /// What GET gave, put back, changes nothing: users, with an extension and groups, and groups.
    async fn a_put_of_what_get_gave_changes_nothing(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra) = acme(&server).await;
        let more = json!({
            "name": {"givenName": "Ada", "formatted": "Ada L"}, "roles": [], "active": true,
            "emails": [{"value": "ada@acme.example", "type": "work", "primary": true}, {"value": "a@home.example"}],
            "phoneNumbers": [{"value": "+1"}], "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", HR],
            HR: {"badge": "B1", "site": "S", "grade": 2, "desks": [{"value": "d1", "lamp": "red"}]},
        });
        let ada = entra.create_with("ada@acme.example", more).await;
        let bob = entra.create("bob@acme.example").await;
        let group = entra.group("Engineering", &[&ada, &bob]).await;
        let events = acme.events(&server).await.len();
        for path in [format!("/Users/{ada}"), format!("/Groups/{group}")] {
            let got = entra.scim.get(&path).await.expect(200);
            let put = entra.scim.put(&path, got.clone()).await;
            assert_eq!(put.expect(200), got, "{path}");
            assert_eq!(entra.scim.get(&path).await.expect(200), got, "{path}");
        }
        assert_eq!(acme.events(&server).await.len(), events, "nothing happened");
        server.stop().await;
    }

    /// Who matches makes room for the new member (RFC 7644 §3.5.2.3); when nobody does, nothing of the request is carried out.
    async fn members_that_match_are_replaced(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut people = Vec::new();
        for name in ["ada", "bob", "cleo"] {
            people.push(entra.create(&format!("{name}@acme.example")).await);
        }
        let [ada, bob, cleo] = &people[..] else { unreachable!("three were made") };
        let group = entra.group("Engineering", &[ada, bob]).await;
        let path = format!("/Groups/{group}");
        let replace = |who: &str, by: &str| json!({"op": "replace", "path": format!("members[value eq \"{who}\"]"), "value": {"value": by}});
        let refused = entra.scim.patch(&path, patch(json!([{"op": "add", "path": "members", "value": [{"value": cleo}]}, replace("nope", cleo)]))).await;
        let refused = refused.expect(400);
        assert_eq!(refused["scimType"], "noTarget", "{refused}");
        assert!(refused["detail"].to_string().contains("operation 2"), "{refused}");
        let members = async || {
            let group = entra.scim.get(&path).await.expect(200);
            let ids = group["members"].as_array().into_iter().flatten().filter_map(|member| member["value"].as_str().map(str::to_owned));
            ids.collect::<std::collections::BTreeSet<_>>()
        };
        let of = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect();
        assert_eq!(members().await, of(&[ada, bob]));
        // The second operation is about whom the first one put there; the third asks for what is so already.
        let body = patch(json!([replace(ada, cleo), replace(cleo, ada), replace(bob, bob)]));
        entra.scim.patch(&path, body).await.expect(204);
        assert_eq!(members().await, of(&[ada, bob]));
        entra.scim.patch(&path, patch(json!([replace(ada, cleo)]))).await.expect(204);
        assert_eq!(members().await, of(&[bob, cleo]));
        // Whoever makes room does so for somebody who is known.
        entra.scim.patch(&path, patch(json!([replace(bob, "nope")]))).await.expect(400);
        assert_eq!(members().await, of(&[bob, cleo]));
        server.stop().await;
    }

    /// RFC 7644 §3.5.2: an operation is carried out on what those before it made, of which a filter knows everything.
    async fn a_filter_knows_members_that_were_just_added(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, bob) = (entra.create_with("ada@acme.example", json!({"displayName": "Ada"})).await, entra.create("bob@acme.example").await);
        let inner = entra.group("Inner", &[]).await;
        let (ada, bob, inner) = (ada.as_str(), bob.as_str(), inner.as_str());
        let add = |who: &str| json!({"op": "add", "path": "members", "value": [{"value": who}]});
        let only = |who: &str| json!({"op": "replace", "path": "members", "value": [{"value": who}]});
        let remove = |filter: &str| json!({"op": "remove", "path": format!("members[{filter}]")});
        for (before, operations, after) in [
            (&[ada][..], json!([add(ada), remove("type ne \"User\"")]), &[ada][..]),
            (&[bob], json!([only(ada), remove("not (type eq \"User\")")]), &[ada]),
            (&[bob], json!([add(inner), remove("type eq \"Group\"")]), &[bob]),
            (&[bob], json!([add(ada), remove("display eq \"Ada\"")]), &[bob]),
            (&[bob], json!([add(inner), {"op": "replace", "path": "members[type eq \"Group\"]", "value": {"value": ada}}]), &[bob, ada]),
            (&[bob, ada], json!([remove("display eq \"Ada\""), add(ada), remove("value eq \"nobody\" or type eq \"Group\"")]), &[bob, ada]),
        ] {
            let group = entra.group("Engineering", before).await;
            entra.scim.patch(&format!("/Groups/{group}"), patch(operations.clone())).await.expect_one_of(&[200, 204]);
            let shown = entra.scim.get(&format!("/Groups/{group}")).await.expect(200);
            let ids = shown["members"].as_array().into_iter().flatten().filter_map(|member| member["value"].as_str());
            let wanted = after.iter().copied().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(ids.collect::<std::collections::BTreeSet<_>>(), wanted, "{operations}");
        }
        for wrong in [json!({"value": ada, "type": 5}), json!({"value": ada, "$ref": {}}), json!({"value": 5})] {
            let body = patch(json!([{"op": "add", "path": "members", "value": [wrong]}]));
            entra.scim.patch(&format!("/Groups/{inner}"), body).await.expect_scim_error(400, Some("invalidValue"));
        }
        server.stop().await;
    }

    /// A client that has not heard of its group's creation, or has forgotten it, looks the group up instead of leaving the older one's members
    /// where they are (authentik's provider does after a 409).
    async fn a_group_is_not_created_twice(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let group = |name: &str, external: Option<&str>| json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "externalId": external});
        let made = entra.scim.post("/Groups", group("Engineering", Some("g1"))).await.expect(201);
        let refused = entra.scim.post("/Groups", group("ENGINEERING", Some("g1"))).await.expect_scim_error(409, Some("uniqueness"));
        assert!(refused.contains("`externalId`"), "{refused}");
        for other in [group("Engineering", Some("G1")), group("Engineering", None), group("Sales", Some("g1"))] {
            entra.scim.post("/Groups", other).await.expect(201);
        }
        okta.scim.post("/Groups", group("Engineering", Some("g1"))).await.expect(201);
        entra.scim.delete(&format!("/Groups/{}", text(&made["id"]))).await.expect(204);
        entra.scim.post("/Groups", group("Engineering", Some("g1"))).await.expect(201);
        server.stop().await;
    }

    /// RFC 7644 §5: names that look the same are the same, however they are written.
    async fn user_names_are_compared_as_people_read_them(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for (first, same) in [("\u{e9}a@acme.example", "E\u{301}a@acme.example"), ("\u{ff41}bc@acme.example", "ABC@acme.example")] {
            let id = entra.create(first).await;
            entra.scim.post("/Users", user(same, json!({}))).await.expect_scim_error(409, Some("uniqueness"));
            let found = entra.scim.get(&format!("/Users?filter={}", escaped(&format!("userName eq \"{same}\"")))).await.expect(200);
            assert_eq!((&found["totalResults"], &found["Resources"][0]["id"], &found["Resources"][0]["userName"]), (&json!(1), &json!(id), &json!(first)));
        }
        server.stop().await;
    }

    /// Each operation of a PATCH is known as applied or a no-op, and the history names the attributes that changed.
    async fn the_history_says_what_each_operation_did(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, bob) = (entra.create_with("ada@acme.example", json!({"title": "T"})).await, entra.create("bob@acme.example").await);
        let group = entra.group("Engineering", &[&ada]).await;
        let body = patch(json!([
            {"op": "replace", "path": "title", "value": "T"},
            {"op": "replace", "path": "nickName", "value": "N"},
            {"op": "remove", "path": "locale"},
        ]));
        entra.scim.patch(&format!("/Users/{ada}"), body).await.expect(200);
        let body = patch(json!([
            {"op": "add", "path": "members", "value": [{"value": ada}]},
            {"op": "add", "path": "members", "value": [{"value": ada}, {"value": bob}]},
            {"op": "remove", "path": format!("members[value eq \"{ada}\"]")},
            {"op": "remove", "path": format!("members[value eq \"{ada}\"]")},
        ]));
        entra.scim.patch(&format!("/Groups/{group}"), body).await.expect(204);
        let events = acme.events(&server).await;
        let data = |kind: &str| events.iter().rfind(|event| event["kind"] == kind).map(|event| event["data"].clone()).unwrap_or_default();
        let of_user = data("user.updated");
        assert_eq!(of_user["operations"], json!(["no_op", "applied", "no_op"]), "{of_user}");
        assert_eq!((&of_user["applied"], &of_user["no_op"], &of_user["changed"]), (&json!(1), &json!(2), &json!(["nickName"])));
        let of_group = data("group.updated");
        assert_eq!(of_group["operations"], json!(["no_op", "applied", "applied", "no_op"]), "{of_group}");
        assert_eq!(of_group["changed"], json!(["members"]));
        assert!(data("user.created")["changed"].to_string().contains("userName"));
        server.stop().await;
    }
}
