//! The protocol around the resources: discovery, methods, media types, conditions, and what is not there.

use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    /// What is advertised is what the server does; discovery takes no filter and ignores the rest (RFC 7644 §4).
    async fn discovery_says_what_there_is(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let config = entra.scim.get("/ServiceProviderConfig").await.expect(200);
        for feature in ["patch", "bulk", "filter", "sort", "etag"] {
            assert_eq!(config[feature]["supported"], true, "{feature}");
        }
        assert_eq!(config["changePassword"]["supported"], false, "a password is never kept");
        assert_eq!(config["filter"]["maxResults"], 1_000);
        assert!(config.get("securityEvents").is_none(), "no feed of events is there to be advertised");
        for place in ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group"] {
            let read = entra.scim.get(place).await.expect(200);
            assert_eq!(entra.scim.get(&format!("{place}/")).await.expect(200), read, "{place}: a slash at the end");
            let ignoring = entra.scim.get(&format!("{place}?attributes=id&startIndex=7&count=0&sortBy=x&cursor=x")).await.expect(200);
            assert_eq!(ignoring, read, "{place}");
            entra.scim.get(&format!("{place}?filter=id%20pr")).await.expect_scim_error(403, None);
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let refused = entra.scim.send(method, place, &[], Some(b"{}".to_vec())).await;
                refused.expect_scim_error(405, None);
                assert!(refused.header("allow").contains("GET"), "{method} {place}: {}", refused.header("allow"));
            }
            if let Some(location) = read["meta"]["location"].as_str() {
                assert_eq!(entra.scim.get(location).await.expect(200), read, "a location leads to itself");
            }
        }
        for kind in ["User", "Group"] {
            let described = entra.scim.get(&format!("/ResourceTypes/{kind}")).await.expect(200);
            entra.scim.get(&text(&described["endpoint"])).await.expect(200);
            entra.scim.get(&format!("/Schemas/{}", text(&described["schema"]))).await.expect(200);
        }
        entra.scim.get("/ResourceTypes/Frob").await.expect_scim_error(404, None);
        entra.scim.get("/Schemas/urn:frob").await.expect_scim_error(404, None);
        server.stop().await;
    }

    /// Behind a proxy the URLs are those that clients see.
    async fn urls_are_what_clients_see(database: Database) {
        let server = Server::start_with(&database, |config| config.public_url = Some("https://rolecall.example/".into())).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let entra = entra.at(&server.operator.base.replace("/api/v1", ""));
        let base = format!("https://rolecall.example/scim/{}/v2", entra.id);
        let created = entra.scim.post("/Users", user("ada@acme.example", json!({}))).await;
        let id = text(&created.expect(201)["id"]);
        assert_eq!((created.header("location"), created.json()["meta"]["location"].as_str()), (&*format!("{base}/Users/{id}"), Some(created.header("location"))));
        let outcomes = entra.bulk(json!([{"method": "DELETE", "path": format!("/Users/{id}")}])).await;
        assert_eq!(outcomes[0]["location"], format!("{base}/Users/{id}"));
        assert_eq!(entra.scim.get("/ResourceTypes/User").await.expect(200)["meta"]["location"], format!("{base}/ResourceTypes/User"));
        server.stop().await;
    }

    /// Methods that a path does not take are 405 with those that it does; another version is `invalidVers`.
    async fn what_is_not_there_is_told_apart(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let one = format!("/Users/{ada}");
        for (method, path, allowed) in [
            ("PUT", "/Users", "GET,HEAD,POST"),
            ("DELETE", "/Groups", "GET,HEAD,POST"),
            ("POST", one.as_str(), "DELETE,GET,HEAD,PATCH,PUT"),
            ("GET", "/Bulk", "POST"),
            ("PUT", "/.search", "POST"),
            ("POST", "", "GET,HEAD"),
            ("DELETE", "/", "GET,HEAD"),
        ] {
            let refused = entra.scim.send(method, path, &[], None).await;
            refused.expect_scim_error(405, None);
            let mut methods: Vec<&str> = refused.header("allow").split(',').map(str::trim).collect();
            methods.sort_unstable();
            assert_eq!(methods.join(","), allowed, "{method} {path}");
        }
        entra.scim.get("/Frobs").await.expect_scim_error(404, None);
        for version in ["v1", "v3", "V1"] {
            let old = entra.scim.at(entra.scim.base.replace("/v2", &format!("/{version}")));
            old.get("/Users").await.expect_scim_error(400, Some("invalidVers"));
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let detail = entra.scim.send(method, "/Me", &[], None).await.expect_scim_error(501, None);
            assert!(detail.contains("/Users"), "{detail}");
        }
        let head = entra.scim.send("HEAD", &one, &[], None).await;
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
        assert_eq!(entra.scim.get(&format!("{one}/")).await.expect(200)["id"], json!(ada));
        server.stop().await;
    }

    /// SCIM's media type unless the client wants the other name; neither is 406, and another body is 415.
    async fn media_types_are_negotiated(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let one = format!("/Users/{ada}");
        for (accept, media_type) in [
            ("application/scim+json", "application/scim+json"),
            ("application/json", "application/json"),
            ("*/*", "application/scim+json"),
            ("application/*", "application/scim+json"),
            ("text/html, application/json;q=0.5", "application/json"),
            ("application/json;q=0.5, application/scim+json;q=0.4", "application/json"),
            ("application/json, text/json, text/x-json, text/javascript, application/xml", "application/json"),
            ("APPLICATION/SCIM+JSON; charset=utf-8", "application/scim+json"),
            ("", "application/scim+json"),
        ] {
            for (path, status) in [(one.as_str(), 200), ("/Users", 200), ("/Schemas", 200), ("/Users/nobody", 404), ("/Frobs", 404)] {
                let answer = entra.scim.send("GET", path, &[("accept", accept)], None).await;
                assert_eq!(answer.status.as_u16(), status, "{accept} {path}");
                assert_eq!(answer.header("content-type"), media_type, "{accept} {path}");
            }
        }
        for accept in ["text/html", "application/xml, text/*", "application/scim+json;q=0"] {
            let refused = entra.scim.send("GET", &one, &[("accept", accept)], None).await;
            refused.expect_scim_error(406, None);
            assert_eq!(refused.header("content-type"), "application/scim+json");
            let body = user("eve@acme.example", json!({})).to_string().into_bytes();
            entra.scim.send("POST", "/Users", &[("accept", accept)], Some(body)).await.expect_scim_error(406, None);
        }
        for (content_type, status) in [("application/xml", 415), ("text/plain", 415), ("application/scim+json; charset=utf-8", 201), ("application/JSON", 201)] {
            let body = user(&format!("{content_type}@acme.example"), json!({})).to_string().into_bytes();
            entra.scim.send("POST", "/Users", &[("content-type", content_type)], Some(body)).await.expect(status);
        }
        // Whoever leaves has left, whatever the client can read.
        entra.scim.send("DELETE", &one, &[("accept", "text/html")], None).await.expect(204);
        server.stop().await;
    }

    /// Conditions on what is read and what is written (RFC 7644 §3.14, RFC 9110 §13.1).
    async fn conditions_hold(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let one = format!("/Users/{ada}");
        let title = |title: &str| patch(json!([{"op": "replace", "path": "title", "value": title}])).to_string().into_bytes();
        for (method, headers, status) in [
            ("GET", ("if-none-match", "W/\"1\""), 304),
            ("GET", ("if-none-match", "\"1\""), 304),
            ("GET", ("if-none-match", "*"), 304),
            ("GET", ("if-none-match", "W/\"2\""), 200),
            ("GET", ("if-match", "W/\"1\""), 200),
            ("GET", ("if-match", "W/\"2\""), 412),
            ("PATCH", ("if-match", "W/\"2\""), 412),
            ("PATCH", ("if-match", "nonsense"), 412),
            ("PATCH", ("if-none-match", "*"), 412),
            ("PATCH", ("if-none-match", "W/\"1\""), 412),
            ("DELETE", ("if-match", "W/\"2\""), 412),
            ("PATCH", ("if-match", "W/\"7\", W/\"1\""), 200),
            ("PATCH", ("if-match", "*"), 200),
            ("PATCH", ("if-none-match", "W/\"1\""), 200),
        ] {
            let body = (method == "PATCH").then(|| title(&format!("{method} {headers:?}")));
            let answer = entra.scim.send(method, &one, &[headers], body).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {headers:?}: {}", answer.text);
            if status == 412 {
                let excluded = answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("`If-None-Match` excludes"));
                assert_eq!(excluded, headers.0 == "if-none-match", "{}", answer.text);
            }
            if status == 304 {
                assert_eq!((answer.header("etag"), answer.text.as_str()), ("W/\"1\"", ""));
                assert!(answer.header("content-location").ends_with(&one), "RFC 9110 §15.4.5: what the 200 would say of where it is");
            }
        }
        let read = entra.scim.get(&one).await;
        assert_eq!(read.header("etag"), read.json()["meta"]["version"]);
        assert_eq!(read.header("etag"), "W/\"4\"");
        entra.scim.send("PATCH", "/Users/nobody", &[("if-match", "W/\"1\"")], Some(title("x"))).await.expect_scim_error(404, None);
        entra.scim.send("DELETE", &one, &[("if-match", "W/\"4\"")], None).await.expect(204);
        server.stop().await;
    }

    /// RFC 7240: what is honoured is said so; to answer later is not, and nothing claims that it was.
    async fn preferences_are_honoured_or_ignored_in_the_open(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let body = user("ada@acme.example", json!({})).to_string().into_bytes();
        let created = entra.scim.send("POST", "/Users", &[("prefer", "respond-async, wait=5")], Some(body)).await;
        created.expect(201);
        assert_eq!(created.header("preference-applied"), "", "it was done at once");
        let user = format!("/Users/{}", text(&created.json()["id"]));
        let ada = text(&created.json()["id"]);
        let group = format!("/Groups/{}", entra.group("Engineering", &[&ada]).await);
        let empty = format!("/Groups/{}", entra.group("Empty", &[]).await);
        let rename = |number: usize| patch(json!([{"op": "replace", "path": "displayName", "value": format!("n{number}")}])).to_string().into_bytes();
        for (number, (path, prefer, query, status, applied)) in [
            (&user, "", "", 200, ""),
            (&group, "", "", 204, ""),
            (&empty, "", "", 200, ""),
            (&empty, "return=minimal", "", 204, "return=minimal"),
            (&user, "return=minimal", "", 204, "return=minimal"),
            (&user, "return=representation", "", 200, "return=representation"),
            (&group, "return=representation", "", 200, "return=representation"),
            (&group, "return=minimal", "", 204, "return=minimal"),
            (&group, "return=minimal", "?attributes=displayName", 200, ""),
            (&user, "return=nonsense, respond-async", "", 200, ""),
        ].into_iter().enumerate() {
            let answer = entra.scim.send("PATCH", &format!("{path}{query}"), &[("prefer", prefer)], Some(rename(number))).await;
            let body = answer.expect(status);
            assert_eq!(answer.header("preference-applied"), applied, "{path} {prefer}");
            assert!(answer.header("etag").starts_with("W/"), "{path} {prefer}");
            assert_eq!(body != Value::Null, status == 200, "{path} {prefer}");
        }
        server.stop().await;
    }
}
