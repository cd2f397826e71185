//! Sessions of the workspace: how they begin and end, what they see, and that no other site and no other tenant can use them.

use rolecall_tests::browser::Browser;
use rolecall_tests::{Client, Database, Server, on_both_databases};
use serde_json::json;

const ROOM: &str = "/workspace/t/acme";

/// A cookie's name and value, as it is set.
fn cookie_of(set: &str) -> String {
    set.split(';').next().unwrap_or_default().to_owned()
}

on_both_databases! {
    /// A link is good once and for a while; what it begins ends two hours after its last use, and after twelve in any case.
    async fn a_session_begins_once_and_ends(database: Database) {
        let server = Server::start(&database).await;
        server.tenant("acme").create().await;
        let stranger = Browser::stranger(&server);
        let made = server.operator.post("/workspace/links", json!({"tenant": "acme", "admin_roles": ["auditor"]})).await.expect(201);
        let link = made["url"].as_str().expect("a link").to_owned();
        let path = link.strip_prefix(&server.url()).expect("the server's own").to_owned();
        assert_eq!(stranger.get(&path).await.status, 200);
        assert_eq!(stranger.get(&path).await.status, 200, "looking uses nothing up");
        let elsewhere = server.operator.with_token(None).at(server.url());
        let foreign = elsewhere.send("POST", &path, &[("origin", "https://evil.example")], None).await;
        assert_eq!(foreign.status, 403, "a form of another site would sign somebody in as somebody else: {foreign:?}");
        let entered = stranger.post(&path, &[]).await;
        assert_eq!((entered.status.as_u16(), entered.header("location")), (303, ROOM));
        let set = entered.header("set-cookie").to_owned();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
        assert_eq!(stranger.post(&path, &[]).await.status, 404, "a link is good once");
        let late = server.operator.post("/workspace/links", json!({"tenant": "acme", "lifetime_seconds": 60})).await.expect(201);
        server.clock.advance_seconds(61);
        let late = late["url"].as_str().and_then(|url| url.strip_prefix(&server.url())).expect("a link").to_owned();
        assert_eq!(stranger.post(&late, &[]).await.status, 404, "it has ended");
        for wrong in ["/workspace/links/rl_wrong", "/workspace/links/unknown"] {
            assert_eq!(stranger.post(wrong, &[]).await.status, 404, "{wrong}");
        }
        let good = server.operator.post("/workspace/links", json!({"tenant": "acme", "admin_roles": ["auditor"]})).await.expect(201);
        let mut tries = 0;
        let slowed = loop {
            tries += 1;
            let answer = stranger.post("/workspace/links/rl_wrong", &[]).await;
            if answer.status != 404 || tries > 1_000 {
                break answer;
            }
        };
        assert_eq!(slowed.status, 429, "after {tries}");
        assert!(slowed.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{slowed:?}");
        assert_eq!(stranger.post(good["url"].as_str().expect("a link"), &[]).await.status, 303, "a good one is good however many are not");

        let anybody = server.operator.with_token(None).at(server.url());
        let cookie = cookie_of(&set);
        let look = async || anybody.send("GET", ROOM, &[("cookie", &cookie)], None).await.status.as_u16();
        assert_eq!(look().await, 200);
        for _ in 0..5 {
            server.clock.advance_seconds(7_000);
            assert_eq!(look().await, 200, "it is used");
        }
        server.clock.advance_seconds(7_201);
        assert_eq!(look().await, 303, "nobody has used it for two hours");

        let used = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        for _ in 0..6 {
            server.clock.advance_seconds(7_100);
            assert_eq!(used.get(ROOM).await.status, 200);
        }
        server.clock.advance_seconds(601);
        assert_eq!(used.get(ROOM).await.status, 303, "a working day is over");
        server.stop().await;
    }

    /// A provider's client secret was given to be shown to one issuer, as one client, and is shown to no other.
    async fn a_client_secret_stays_with_its_issuer(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let set = async |issuer: &str, client: &str, secret: Option<&str>| {
            let mut body = json!({"name": "Sign in", "issuer": issuer, "client_id": client, "roles": {"owners": ["tenant-owner"]}});
            if let Some(secret) = secret {
                body["client_secret"] = json!(secret);
            }
            acme.api.put("/providers/login", body).await
        };
        let (ours, theirs) = ("https://127.0.0.1:9443/ours", "https://127.0.0.1:9443/theirs");
        set(ours, "rolecall", Some("hush-hush")).await.expect(204);
        set(ours, "rolecall", None).await.expect(204);
        for (issuer, client) in [(theirs, "rolecall"), (ours, "another")] {
            let refused = set(issuer, client, None).await.expect(422);
            assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("for another issuer or client")), "{refused}");
        }
        let listed = acme.api.get("/providers").await.expect(200);
        assert_eq!((&listed["providers"][0]["issuer"], &listed["providers"][0]["has_secret"]), (&json!(ours), &json!(true)), "{listed}");
        set(theirs, "rolecall", Some("another secret")).await.expect(204);
        set(theirs, "rolecall", None).await.expect(204);
        server.stop().await;
    }

    /// Another tenant is not there; a form of another site, of another session or of nobody changes nothing; what was ended has ended.
    async fn a_session_is_good_for_its_own(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = Browser::sign_in(&server, json!({"tenant": "acme", "write": true, "person": "ada@acme.example"})).await;
        ada.get(ROOM).await.expect(&["Today", "ada@acme.example"]);
        for path in ["/workspace/t/globex", "/workspace/t/globex/people", "/workspace/t/nobody"] {
            let page = ada.get(path).await;
            assert!(page.status == 404 && !page.text.contains("Globex"), "{path}: {page:?}");
        }
        assert_eq!(ada.get("/workspace").await.status, 303, "to one's own tenant");

        let pause = format!("{ROOM}/connections/{}/pause", entra.id);
        let state = async || acme.api.get("/connections").await.expect(200)["connections"][0]["state"].clone();
        let (cookie, token) = ada.secrets();
        let anybody: Client = server.operator.with_token(None).at(server.url());
        let send = async |headers: &[(&str, &str)], body: String| {
            let form = [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded")];
            anybody.send("POST", &pause, &[&form[..], headers].concat(), Some(body.into_bytes())).await.status.as_u16()
        };
        let own = format!("form_token={token}");
        assert_eq!(send(&[], String::new()).await, 403, "no token");
        let other = Browser::sign_in(&server, json!({"tenant": "acme", "write": true})).await;
        assert_eq!(send(&[], format!("form_token={}", other.secrets().1)).await, 403, "another session's token");
        assert_eq!(send(&[("origin", "https://evil.example")], own.clone()).await, 403, "another site");
        assert_eq!(send(&[("sec-fetch-site", "cross-site")], own.clone()).await, 403, "another site, as the browser says");
        assert_eq!(state().await, "active");
        assert_eq!(send(&[("origin", &server.url()), ("sec-fetch-site", "same-origin")], own).await, 303);
        assert_eq!(state().await, "paused");

        let page = anybody.send("GET", ROOM, &[("cookie", cookie)], None).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-store");
        // What others can choose a part of is not compressed, and each page has a form token of its own.
        let encoding = async |path: &str| {
            let headers = [("cookie", cookie), ("accept-encoding", "br, gzip")];
            anybody.send("GET", path, &headers, None).await.header("content-encoding").to_owned()
        };
        let style = page.text.split('"').find(|part| part.starts_with("/workspace/assets/workspace.") && part.ends_with(".css")).expect("a style sheet");
        for (path, compressed) in [(ROOM, "gzip"), ("/workspace/t/acme/people?q=ada", ""), (style, "gzip"), ("/api/openapi.json", "gzip")] {
            assert_eq!(encoding(path).await, compressed, "{path}");
        }
        let again = anybody.send("GET", ROOM, &[("cookie", cookie)], None).await;
        let token_of = |text: &str| text.split_once("name=\"form_token\" value=\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
        assert!(token_of(&page.text).is_some() && token_of(&page.text) != token_of(&again.text));
        assert!(!page.text.contains(" style=") && !page.text.contains("<script>"), "nothing stands in the page that its policy refuses");

        assert!(ada.post("/workspace/sign-out", &[]).await.status == 303);
        assert_eq!(ada.get(ROOM).await.status, 303, "signed out");
        assert_eq!(other.get(ROOM).await.status, 200, "others go on");
        server.stop().await;
    }
}
