//! Queries: by GET and by POST, of users, groups and both; sorted, in pages, projected.

use rolecall_tests::cases::escaped;
use rolecall_tests::tenant::{patch, search, text};
use rolecall_tests::{Connection, Database, Server, on_both_databases};
use serde_json::{Value, json};

/// Names in a listing, in order: of users the user name, of groups the display name.
fn names(listing: &Value) -> Vec<String> {
    let resources = listing["Resources"].as_array().unwrap_or_else(|| panic!("no resources: {listing}"));
    let name =
        |resource: &Value| if resource["userName"].is_string() { text(&resource["userName"]) } else { text(&resource["displayName"]) };
    resources.iter().map(name).collect()
}

/// People and groups who differ in what is asked for, a second apart.
async fn populate(server: &Server, entra: &Connection) {
    for (name, more) in [
        (
            "dora",
            json!({"displayName": "zoë", "name": {"familyName": "Baker"}, "title": "b", "emails": [{"value": "z@x.example"}, {"value": "b@x.example", "primary": true}]}),
        ),
        ("Ben", json!({"displayName": "Anna", "name": {"familyName": "abbot"}, "emails": [{"value": "A@x.example"}]})),
        ("carl", json!({"name": {"familyName": "Cole"}, "title": "a", "active": false})),
        ("anna", json!({"displayName": "Engineers' friend", "title": "C"})),
    ] {
        entra.create_with(name, more).await;
        server.clock.advance_seconds(1);
    }
    for name in ["Engineers", "anna"] {
        entra.group(name, &[]).await;
        server.clock.advance_seconds(1);
    }
}

on_both_databases! {
    /// A query by POST says what the same query by GET says.
    async fn a_query_by_post_is_the_query_by_get(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        populate(&server, &entra).await;
        for (parameters, body) in [
            (String::new(), json!({})),
            (format!("?filter={}", escaped("userName eq \"BEN\"")), json!({"filter": "userName eq \"BEN\""})),
            ("?sortBy=userName&sortOrder=descending".into(), json!({"sortBy": "userName", "sortOrder": "DESCENDING"})),
            ("?startIndex=2&count=2".into(), json!({"startIndex": 2, "count": 2})),
            ("?count=0".into(), json!({"count": 0})),
            ("?attributes=displayName,name.familyName".into(), json!({"ATTRIBUTES": ["displayName", "name.familyName"]})),
            ("?excludedAttributes=emails,members,groups".into(), json!({"excludedAttributes": ["emails", "members", "groups"]})),
        ] {
            for place in ["/Users", "/Groups", ""] {
                if place == "/Groups" && parameters.contains("userName") {
                    continue;
                }
                let by_get = entra.scim.get(&format!("{place}{parameters}")).await.expect(200);
                let by_post = entra.scim.post(&format!("{place}/.search"), search(body.clone())).await.expect(200);
                assert_eq!(by_get, by_post, "{place}{parameters}");
                assert_eq!(entra.scim.get(&format!("{place}/{parameters}")).await.expect(200), by_get, "a slash at the end");
            }
        }
        server.stop().await;
    }

    /// The root lists users and groups together; what a kind has not is absent there (RFC 7644 §3.4.2.1).
    async fn the_root_lists_everything(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        populate(&server, &entra).await;
        let ask = async |filter: &str| entra.scim.get(&format!("?filter={}", escaped(filter))).await.expect(200);
        let all = entra.scim.get("").await.expect(200);
        assert_eq!((&all["totalResults"], names(&all).len()), (&json!(6), 6));
        for (filter, expected) in [
            ("meta.resourceType eq \"Group\"", vec!["Engineers", "anna"]),
            ("displayName eq \"ANNA\"", vec!["Ben", "anna"]),
            ("displayName sw \"engineers\"", vec!["anna", "Engineers"]),
            ("userName eq \"anna\"", vec!["anna"]),
            ("userName pr and displayName co \"a\"", vec!["Ben"]),
            ("active eq false or displayName eq \"Engineers\"", vec!["carl", "Engineers"]),
            ("not (userName pr)", vec!["Engineers", "anna"]),
            ("title eq null", vec!["Ben", "Engineers", "anna"]),
            ("title ne \"b\"", vec!["Ben", "carl", "anna", "Engineers", "anna"]),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName ew \"NNA\"", vec!["anna"]),
            ("emails[value ew \"example\" and primary eq true]", vec!["dora"]),
        ] {
            let found = ask(filter).await;
            assert_eq!(names(&found), expected, "{filter}");
            assert_eq!(found["totalResults"], expected.len(), "{filter}");
        }
        let sorted = entra.scim.get("?sortBy=displayName&count=3&startIndex=2").await.expect(200);
        assert_eq!(names(&sorted), ["anna", "Engineers", "anna"], "{sorted}");
        let shown = entra.scim.get("?attributes=displayName").await.expect(200);
        assert!(shown["Resources"].as_array().is_some_and(|all| all.iter().all(|one| one.get("userName").is_none() && one["id"].is_string())));
        entra.scim.get(&format!("?filter={}", escaped("nothing eq 1"))).await.expect_scim_error(400, Some("invalidFilter"));
        server.stop().await;
    }

    /// RFC 7644 §3.4.2.3: case as the attribute has it, the primary or first of many values, what has no value last.
    async fn listings_are_sorted(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        populate(&server, &entra).await;
        for (by, expected) in [
            ("userName", ["anna", "Ben", "carl", "dora"]),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName", ["anna", "Ben", "carl", "dora"]),
            ("displayName", ["Ben", "anna", "dora", "carl"]),
            ("name.familyName", ["Ben", "dora", "carl", "anna"]),
            ("title", ["carl", "dora", "anna", "Ben"]),
            ("emails", ["Ben", "dora", "carl", "anna"]),
            ("emails.value", ["Ben", "dora", "carl", "anna"]),
            ("meta.created", ["dora", "Ben", "carl", "anna"]),
            ("id", ["dora", "Ben", "carl", "anna"]),
            ("externalId", ["Ben", "anna", "carl", "dora"]),
        ] {
            let up = entra.scim.get(&format!("/Users?sortBy={by}")).await.expect(200);
            let order = names(&up);
            let ties = ["emails", "emails.value"].contains(&by);
            assert_eq!(order[..if ties { 2 } else { 4 }], expected[..if ties { 2 } else { 4 }], "{by}");
            let down = entra.scim.get(&format!("/Users?sortBy={by}&sortOrder=descending")).await.expect(200);
            assert_eq!(names(&down).into_iter().rev().collect::<Vec<_>>(), order, "{by}, downwards");
            let mut paged = Vec::new();
            for start in 1..=4 {
                paged.extend(names(&entra.scim.get(&format!("/Users?sortBy={by}&startIndex={start}&count=1")).await.expect(200)));
            }
            assert_eq!(paged, order, "{by}, in pages");
        }
        assert_eq!(names(&entra.scim.get("/Users?sortOrder=descending").await.expect(200)).len(), 4, "an order of nothing");
        for (query, scim_type) in [
            ("sortBy=nothing", "invalidValue"),
            ("sortBy=password", "invalidValue"),
            ("sortBy=name", "invalidValue"),
            ("sortBy=groups", "invalidValue"),
            ("sortBy=userName&sortOrder=sideways", "invalidValue"),
        ] {
            entra.scim.get(&format!("/Users?{query}")).await.expect_scim_error(400, Some(scim_type));
        }
        entra.scim.get("/Groups?sortBy=userName").await.expect_scim_error(400, Some("invalidValue"));
        server.stop().await;
    }

    /// A body that is no query, and parameters of another type.
    async fn bad_queries_are_refused_by_name(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for (body, scim_type) in [
            (json!({}), "invalidSyntax"),
            (json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}), "invalidSyntax"),
            (search(json!({"count": "2"})), "invalidValue"),
            (search(json!({"filter": 1})), "invalidValue"),
            (search(json!({"attributes": "userName"})), "invalidValue"),
            (search(json!({"attributes": ["userName"], "excludedAttributes": ["title"]})), "invalidValue"),
            (search(json!({"filter": "userName"})), "invalidFilter"),
            (search(json!({"filter": "userName eq \"a\" nonsense"})), "invalidFilter"),
            (search(json!({"filter": "password eq \"a\""})), "invalidFilter"),
            (search(json!({"cursor": "", "startIndex": 1})), "invalidValue"),
            (search(json!({"cursor": "", "count": 0})), "invalidCount"),
            (search(json!({"cursor": 7})), "invalidCursor"),
        ] {
            for place in ["/Users", "/Groups", ""] {
                if place == "/Groups" && body["filter"].as_str().is_some_and(|filter| filter.contains("userName")) {
                    continue;
                }
                entra.scim.post(&format!("{place}/.search"), body.clone()).await.expect_scim_error(400, Some(scim_type));
            }
        }
        for method in ["GET", "PUT", "DELETE"] {
            entra.scim.send(method, "/Users/.search", &[], None).await.expect_scim_error(405, None);
        }
        server.stop().await;
    }

    /// URIs are made for each answer: what asks for one finds what shows it, and a PATCH removes what it names by it.
    async fn uris_can_be_asked_for_as_they_are_shown(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, bo) = (entra.create("ada@acme.example").await, entra.create("bo@acme.example").await);
        let team = entra.group("Team", &[&ada, &bo]).await;
        let user = entra.scim.get(&format!("/Users/{ada}")).await;
        assert_eq!(user.header("content-location"), text(&user.json()["meta"]["location"]), "RFC 7643 §3.1");
        let user = user.expect(200);
        let group = entra.scim.get(&format!("/Groups/{team}")).await.expect(200);
        let (location, in_group) = (text(&user["meta"]["location"]), text(&user["groups"][0]["$ref"]));
        let member = group["members"].as_array().expect("members").iter().find(|member| member["value"] == json!(ada)).expect("she is one");
        let member = text(&member["$ref"]);
        assert_eq!((&location, &in_group), (&member, &text(&group["meta"]["location"])));
        for (place, filter, found) in [
            ("/Users", format!("meta.location eq \"{location}\""), 1),
            ("/Users", format!("meta.location ne \"{location}\""), 1),
            ("", "meta.location pr".to_owned(), 3),
            ("/Users", format!("groups.$ref eq \"{in_group}\""), 2),
            ("/Users", format!("groups[$ref eq \"{in_group}\" and type eq \"direct\"]"), 2),
            ("/Groups", format!("members[$ref eq \"{member}\"]"), 1),
            ("/Groups", "members.$ref pr".to_owned(), 1),
            ("/Groups", format!("members.$ref eq \"{in_group}\""), 0),
        ] {
            let listing = entra.scim.get(&format!("{place}?filter={}", escaped(&filter))).await.expect(200);
            assert_eq!(listing["totalResults"], json!(found), "{filter}");
        }
        let inside = format!("/Users?filter={}", escaped("meta.location co \"Users\""));
        entra.scim.get(&inside).await.expect_scim_error(400, Some("invalidFilter"));
        let remove = patch(json!([{"op": "remove", "path": format!("members[$ref eq \"{member}\"]")}]));
        entra.scim.patch(&format!("/Groups/{team}?attributes=members"), remove).await.expect(200);
        let left = entra.scim.get(&format!("/Groups/{team}")).await.expect(200);
        assert_eq!(left["members"].as_array().map(Vec::len), Some(1), "{left}");
        // Lists of attributes may be in several parameters, and a base URL may have been given with a slash at its end.
        let shown = entra.scim.get(&format!("//Users/{ada}?attributes=userName&attributes=active")).await.expect(200);
        assert_eq!((&shown["userName"], &shown["active"]), (&json!("ada@acme.example"), &json!(true)), "{shown}");
        server.stop().await;
    }

    /// What a client's habits are shows in the metrics, also those in filters and query strings.
    async fn habits_in_queries_are_counted(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create_with("jyoung", json!({"externalId": "jyoung"})).await;
        let found = entra.scim.get(&format!("/Users?filter={}&", escaped("externalId eq jyoung"))).await.expect(200);
        assert_eq!(names(&found), ["jyoung"]);
        let metrics = server.operator.get(&format!("{}/metrics", server.url())).await.text;
        for quirk in ["unquoted_text", "dangling_query"] {
            assert!(metrics.contains(&format!("client_quirks_total{{word=\"{quirk}\"}} 1")), "{quirk}: {metrics}");
        }
        server.stop().await;
    }
}
