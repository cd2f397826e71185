//! Connections in the workspace, as identity teams use them: made with a guide, seen to come alive, let in, ended; and settings.

use rolecall_tests::browser::{Browser, of};
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Client, Database, Server, on_both_databases};
use serde_json::json;

/// The id of the only connection.
async fn only(server: &Server) -> String {
    let acme = server.existing("acme");
    text(&acme.api.get("/connections").await.expect(200)["connections"][0]["id"])
}

/// The value of the first field of that name.
fn field(page: &str, name: &str) -> String {
    let value = page.split_once(&format!("name=\"{name}\" value=\"")).and_then(|(_, rest)| rest.split_once('"'));
    value.map_or_else(|| panic!("no field {name} in {page}"), |(value, _)| value.to_owned())
}

/// The address that a page asks again.
fn polled(page: &str, id: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("id=\"{id}\""))?;
    let (tag, _) = rest.split_once('>')?;
    let (_, address) = tag.split_once("hx-get=\"")?;
    address.split_once('"').map(|(address, _)| address.replace("&amp;", "&"))
}

on_both_databases! {
    /// From the guide to the first request, by the values that the page shows; then the log, the dialects, another token, and the end.
    async fn a_connection_is_made_and_comes_alive(database: Database) {
        let server = Server::start(&database).await;
        server.tenant("acme").create().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        ops.get("/workspace/t/acme/connections").await.expect(&["No identity provider yet"]);
        ops.get("/workspace/t/acme/connections/new?for=okta").await.expect(&["Begin in staging", "value=\"Okta\""]);
        let fields = [("for", "entra"), ("name", "Entra ID"), ("staging", "yes"), ("guarded", "yes")];
        let made = ops.post("/workspace/t/acme/connections/new", &fields).await;
        assert_eq!(made.status, 200, "{made:?}");
        let (id, page) = (only(&server).await, made.text);
        let at = |rest: &str| format!("/workspace/t/acme/connections/{id}{rest}");
        let url = of(&page, "value-url").expect("the base URL");
        assert_eq!(url, format!("{}/scim/{id}/v2?aadOptscim062020", server.url()));
        let token = of(&page, "value-token").expect("the token");
        assert!(page.contains(&format!("SCIM_TOKEN={token}")) && page.contains("Secret token") && page.contains("In staging"), "{page}");
        let live = polled(&page, "first").expect("the page waits");
        assert_eq!(ops.get(&live).await.status, 204, "nothing is new");

        let stranger = Client::scim(format!("{}/scim/{id}/v2", server.url()), "rc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        stranger.get("/Users").await.expect(401);
        ops.get(&live).await.expect(&["1 request came with a wrong credential", "hx-get"]);
        let scim = stranger.with_token(Some(&token));
        let ada = text(&scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201)["id"]);
        let leaves = patch(json!([{"op": "Replace", "path": "active", "value": "False"}]));
        scim.patch(&format!("/Users/{ada}"), leaves).await.expect(200);
        ops.until(&live, "It came").await.lacks(&["hx-get"]);

        ops.get(&at("")).await.expect(&["healthy", "2 requests that write", "aria-current=\"page\">Health"]);
        ops.get(&at("/log")).await.expect(&["PATCH", "POST", "ada@acme.example", "1 applied"]);
        let tail = polled(&ops.get(&at("/log")).await.text, "tail").expect("the log is followed");
        assert_eq!(ops.get(&tail).await.status, 204);
        scim.delete(&format!("/Users/{ada}")).await.expect(204);
        scim.post("/Users", user("bob@acme.example", json!({}))).await.expect(201);
        ops.get(&tail).await.expect(&["DELETE", "bob@acme.example"]).lacks(&["PATCH"]);
        ops.get(&at("/dialects")).await.expect(&["capital"]);
        ops.get(&at("/set-up")).await.lacks(&[&token]).expect(&["shown once, when it is made"]);

        let another = ops.post(&at("/set-up"), &[("kind", "client")]).await;
        assert!(another.text.contains("Token endpoint") && of(&another.text, "value-secret").is_some(), "{another:?}");
        ops.get(&at("/credentials")).await.expect(&["Client id", "never used", "Bearer tokens"]);
        assert!(ops.said(&at("/client/end"), &[]).await.contains("has ended"));

        assert!(ops.said(&at("/resume"), &[]).await.contains("in staging"));
        let whom = ops.get(&at("/delete")).await;
        whom.expect(&["Whom it touches", "1 person", "bob@acme.example", "type its name"]);
        assert!(ops.said(&at("/delete"), &[("name", "Entra")]).await.contains("nothing was done"));
        assert!(ops.said(&at("/delete"), &[("name", "Entra ID")]).await.contains("is deleted"));
        assert_eq!(ops.get(&at("")).await.status, 404);
        for path in ["", "/log", "/first-sync", "/now?mark=x&until=0", "/first-sync/totals", "/moved", "/first", "/set-up", "/credentials"] {
            assert_eq!(ops.get(&format!("/workspace/t/acme/connections/unknown{path}")).await.status, 404, "{path}");
        }
        server.stop().await;
    }

    /// A live connection: health, its measures, pause and resume, the guard.
    async fn a_connection_is_looked_after(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("ada@acme.example").await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{}{rest}", entra.id);
        assert!(ops.said(&at("/pause"), &[]).await.starts_with("Paused"));
        ops.get("/workspace/t/acme/connections").await.expect(&["paused", "Entra ID"]);
        assert!(ops.said(&at("/resume"), &[]).await.contains("takes part again"));
        assert!(ops.said(&at("/guard"), &[("guarded", "yes")]).await.contains("are counted"));
        let settings = || async { acme.api.get(&format!("/connections/{}/health", entra.id)).await.expect(200)["settings"].clone() };
        let rules = rolecall::model::HealthRule::ALL.iter().map(|rule| rule.word());
        let all: Vec<(&str, &str)> = rules.filter(|rule| *rule != "clock").map(|rule| ("rule", rule)).collect();
        let with = |more: &[(&'static str, &'static str)]| [all.clone(), more.to_vec()].concat();
        let changed = with(&[("credential_days", "30"), ("silence_minutes", "90")]);
        assert!(ops.said(&at("/measures"), &changed).await.contains("these measures"));
        let kept = settings().await;
        assert_eq!((&kept["credential_days"], &kept["silence_minutes"]), (&json!(30), &json!(90)), "{kept}");
        assert_eq!((&kept["without"], &kept["quarantine"]), (&json!(["clock"]), &json!(false)), "{kept}");
        ops.refused(&at("/measures"), &with(&[("credential_days", "soon")])).await.has(&["whole number", "value=\"soon\""]);
        assert!(ops.said(&at("/measures"), &[("usual", "yes")]).await.contains("usual measures"));
        assert_eq!(settings().await["credential_days"], json!(14));
        server.stop().await;
    }

    /// Accounts that are there, a doubt that is decided on the page, and going live with what was seen.
    async fn a_first_sync_is_decided_and_let_in(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let file = "user_name,emails\nada@acme.example,\ncarol.c,carol@x.example\nzed,\n";
        acme.api.post("/accounts/import", json!({"format": "csv", "content": file})).await.expect(200);
        let made = acme.api.post("/connections", json!({"name": "Entra ID"})).await.expect(201);
        let id = text(&made["id"]);
        let scim = Client::scim(format!("{}/scim/{id}/v2", server.url()), text(&made["token"]));
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201);
        let carol = user("carol@acme.example", json!({"emails": [{"value": "carol@x.example"}]}));
        let carol = text(&scim.post("/Users", carol).await.expect(201)["id"]);
        server.settle().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{id}{rest}");
        let all = ops.get(&at("/first-sync")).await;
        all.expect(&["adopts", "carol@acme.example", "Whose account has"]);
        ops.get(&at("/first-sync?only=doubts")).await.expect(&["carol.c"]).lacks(&["ada@acme.example"]);
        ops.get(&at("/first-sync?count=yes")).await.expect(&["wait for somebody"]);
        ops.get(&at("/first-sync/totals")).await.expect(&["adopt an account", "wait for somebody"]);
        let (stale, account) = (field(&all.text, "digest"), field(&all.text, "account"));
        let doubt = format!("/first-sync/{carol}");
        assert!(ops.said(&at(&doubt), &[("account", &account)]).await.contains("fill in"), "a reason is asked for");
        assert!(ops.said(&at(&doubt), &[("account", &account), ("reason", "the same person")]).await.contains("have the account"));
        assert!(ops.said(&at("/live"), &[("seen", "yes"), ("digest", &stale)]).await.contains("another by now"));
        let fresh = field(&ops.get(&at("/first-sync")).await.text, "digest");
        assert!(ops.said(&at("/live"), &[("seen", "yes"), ("digest", &fresh)]).await.contains("2 adopted"));
        ops.get(&at("/first-sync")).await.expect(&["The connection is live", "Nobody waits"]);
        server.stop().await;
    }

    /// Another connection's people are taken over and go back, on pages.
    async fn a_house_is_moved(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let old = acme.connection(&server, "Entra ID").await;
        old.create("ada@acme.example").await;
        let made = acme.api.post("/connections", json!({"name": "Okta"})).await.expect(201);
        let id = text(&made["id"]);
        let scim = Client::scim(format!("{}/scim/{id}/v2", server.url()), text(&made["token"]));
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201);
        server.settle().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{id}{rest}");
        ops.get(&at("/first-sync")).await.expect(&["It takes over from", "Entra ID", "another account’s"]);
        ops.get(&at("/moved")).await.expect(&["Nobody has moved"]);
        assert!(ops.said(&at("/predecessor"), &[("from", &old.id)]).await.contains("is compared"));
        server.settle().await;
        let seen = ops.get(&at("/first-sync?count=yes")).await;
        seen.expect(&["keeps their account", "keep the account that they have"]);
        let digest = field(&seen.text, "digest");
        assert!(ops.said(&at("/live"), &[("seen", "yes"), ("digest", &digest)]).await.contains("1 moved"));
        server.settle().await;
        ops.get(&at("/first-sync")).await.expect(&["It took over from", "the way back"]);
        let whom = ops.get(&format!("/workspace/t/acme/connections/{}/delete", old.id)).await;
        whom.expect(&["0 people", "1 person", "keeps their account and roles", "the way back of that move ends"]).lacks(&["ada@acme.example"]);
        let back = ops.get(&at("/moved")).await;
        back.expect(&["1 person", "go back with their account", "ada@acme.example"]);
        let stale = ops.said(&at("/move-back"), &[("seen", "yes"), ("digest", "goes.2")]).await;
        assert!(stale.contains("look again"), "{stale}");
        let digest = field(&back.text, "digest");
        assert!(ops.said(&at("/move-back"), &[("seen", "yes"), ("digest", &digest)]).await.contains("1 person went back"));
        server.settle().await;
        ops.get(&at("/first-sync")).await.expect(&["keeps their account"]);
        server.stop().await;
    }

    /// The page that ends a connection counts whom that touches: not those who have moved away, whether their old users are there still or not.
    async fn whom_the_end_of_a_connection_touches(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let old = acme.connection(&server, "Entra ID").await;
        old.create("ada@acme.example").await;
        let (bob, _dave) = (old.create("bob@acme.example").await, old.create("dave@acme.example").await);
        let made = acme.api.post("/connections", json!({"name": "Okta"})).await.expect(201);
        let id = text(&made["id"]);
        let scim = Client::scim(format!("{}/scim/{id}/v2", server.url()), text(&made["token"]));
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201);
        let bob_there = text(&scim.post("/Users", user("bob@acme.example", json!({}))).await.expect(201)["id"]);
        server.settle().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let delete = format!("/workspace/t/acme/connections/{}/delete", old.id);
        let at = |rest: &str| format!("/workspace/t/acme/connections/{id}{rest}");
        ops.get(&delete).await.expect(&["<strong>3 people</strong> came in over it", "dave@acme.example"]).lacks(&["moved to"]);
        assert!(ops.said(&at("/predecessor"), &[("from", &old.id)]).await.contains("is compared"));
        server.settle().await;
        let digest = field(&ops.get(&at("/first-sync?count=yes")).await.text, "digest");
        assert!(ops.said(&at("/live"), &[("seen", "yes"), ("digest", &digest)]).await.contains("2 moved"));
        server.settle().await;
        ops.get(&delete).await.expect(&["<strong>1 person</strong> came in over it", "2 people moved to", "keep their accounts and roles"]);
        old.scim.delete(&format!("/Users/{bob}")).await.expect(204);
        server.settle().await;
        ops.get(&delete).await.expect(&["<strong>1 person</strong> came in over it", "2 people moved to"]);
        scim.delete(&format!("/Users/{bob_there}")).await.expect(204);
        server.settle().await;
        ops.get(&delete).await.expect(&["<strong>1 person</strong> came in over it", "1 person moved to", "keeps their account and roles"]);
        server.stop().await;
    }

    /// A reader sees all of it and is offered nothing; an admin role does what the tenant's policies let it; both are refused the rest.
    async fn pages_offer_what_one_may(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let reader = Browser::sign_in(&server, json!({"tenant": "acme", "person": "r@acme.example"})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{}{rest}", entra.id);
        reader.get("/workspace/t/acme/connections").await.expect(&["Entra ID"]).lacks(&["Make a connection"]);
        reader.get(&at("")).await.expect(&["Whoever may manage the tenant"]).lacks(&["/pause\"", "/guard\""]);
        reader.get(&at("/set-up")).await.expect(&["Whoever may manage credentials"]).lacks(&["Make the link"]);
        reader.get(&at("/delete")).await.expect(&["Whoever may manage connections"]).lacks(&["type its name"]);
        for (path, fields) in [
            (at("/pause"), vec![]),
            (at("/guard"), vec![("guarded", "no")]),
            (at("/set-up"), vec![("kind", "token")]),
            (at("/link"), vec![("name", "x"), ("days", "1")]),
            (at("/link/end"), vec![]),
            (at("/client/end"), vec![]),
            (at("/issuer"), vec![("issuer", "x"), ("audience", "x"), ("jwks_uri", "https://x.example")]),
            (at("/issuer/end"), vec![]),
            (at("/measures"), vec![("usual", "yes")]),
            (at("/live"), vec![("seen", "yes"), ("digest", "x")]),
            (at("/first-sync/u1"), vec![("account", "new"), ("reason", "x")]),
            (at("/predecessor"), vec![("from", "x")]),
            (at("/move-back"), vec![("seen", "yes"), ("digest", "x")]),
            (at("/delete"), vec![("name", "Entra ID")]),
            ("/workspace/t/acme/connections/new".into(), vec![("name", "Another")]),
            ("/workspace/t/acme/settings/targets".into(), vec![("id", "hook"), ("url", "https://hook.example")]),
            ("/workspace/t/acme/settings/targets/hook".into(), vec![("enabled", "no")]),
            ("/workspace/t/acme/settings/targets/hook/remove".into(), vec![]),
        ] {
            assert!(reader.said(&path, &fields).await.contains("change nothing"), "{path}");
        }
        let other = Browser::sign_in(&server, json!({"tenant": "acme", "write": true})).await;
        other.get(&at("")).await.expect(&["/pause\""]);
        server.tenant("globex").create().await;
        assert_eq!(other.get("/workspace/t/globex/connections").await.status, 404);
        server.stop().await;
    }

    /// Sessions that are ended, a target whose secret is shown once, is paused and removed.
    async fn settings_show_sessions_and_targets(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let rita = Browser::sign_in(&server, json!({"tenant": "acme", "person": "rita@acme.example"})).await;
        let settings = "/workspace/t/acme/settings";
        let targets = "/workspace/t/acme/settings/targets";
        let made = ops.post(targets, &[("id", "billing"), ("url", "https://billing.example/hook")]).await;
        let secret = of(&made.text, "secret").expect("the secret");
        assert!(secret.starts_with("whsec_"), "{made:?}");
        let again = ops.refused(targets, &[("id", "billing"), ("url", "https://else.example")]).await;
        again.has(&["choose another id", "value=\"https://else.example\""]);
        let provider = [("id", "login"), ("name", "Sign in"), ("issuer", "https://login.example"), ("client_id", "c"), ("client_secret", "hush-hush"),
            ("person_claim", "email"), ("groups_claim", "groups"), ("roles", "owners tenant-owner")];
        ops.refused(&format!("{settings}/providers"), &provider).await.has(&["value=\"https://login.example\"", "\nowners tenant-owner</textarea>"]).lacks(&["hush-hush"]);
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("ada@acme.example").await;
        let issuer = [("issuer", "https://id.example"), ("audience", "acme"), ("jwks_uri", "https://10.1.2.3/keys")];
        let refused = ops.said(&format!("/workspace/t/acme/connections/{}/issuer", entra.id), &issuer).await;
        assert!(refused.contains("jwks_uri") && refused.contains("be used"), "{refused}");
        ops.get(settings).await.expect(&["billing", "rita@acme.example", "/api/v1/tenants/acme"]).lacks(&[&secret]);
        assert!(ops.said("/workspace/t/acme/settings/targets/billing", &[("enabled", "no")]).await.starts_with("Paused"));
        let targets = acme.api.get("/targets").await.expect(200);
        let target = &targets["targets"][0];
        assert_eq!((&target["enabled"], &target["url"]), (&json!(false), &json!("https://billing.example/hook")));
        assert_eq!(ops.post("/workspace/t/acme/settings/targets/unknown", &[("enabled", "no")]).await.status, 303, "no such form is on the page");
        assert!(ops.said("/workspace/t/acme/settings/targets/billing/remove", &[]).await.contains("told of nothing any more"));
        ops.get(settings).await.expect(&[]).lacks(&["https://billing.example"]);
        acme.api.delete("/targets/billing").await.expect(404);
        acme.api.put("/targets/crm", json!({"url": "https://crm.example/"})).await.expect(200);
        acme.api.delete("/targets/crm").await.expect(204);
        let login = json!({"name": "Login", "issuer": "https://login.example", "client_id": "c", "client_secret": "hush-hush", "roles": {"owners": ["tenant-owner"]}});
        acme.api.put("/providers/login", login).await.expect(204);
        acme.api.delete("/providers/login").await.expect(204);
        let events = acme.events(&server).await;
        let told: Vec<_> = events.iter().filter(|event| ["target", "provider"].contains(&text(&event["kind"]).split('.').next().unwrap_or_default())).collect();
        let kinds: Vec<String> = told.iter().map(|event| text(&event["kind"])).collect();
        assert_eq!(kinds, ["target.created", "target.paused", "target.removed", "target.created", "target.removed", "provider.created", "provider.removed"]);
        assert_eq!(told[5]["data"]["settings"]["roles"], json!({"owners": ["tenant-owner"]}));
        assert!(events.iter().all(|event| !event.to_string().contains("hush-hush") && !event.to_string().contains("example/hook")));
        ops.get("/workspace/t/acme/history").await.expect(&["target was removed (billing)", "sign-in provider was set (login)"]);

        // A token, and its end.
        let made = json!({"tenant": "acme", "name": "payroll", "admin_roles": ["auditor"]});
        let payroll = server.operator.post("/tokens", made).await.expect(201);
        let page = ops.get(settings).await;
        page.expect(&["payroll", "auditor", "never used"]).lacks(&[payroll["token"].as_str().expect("a token")]);
        let id = page.text.split_once("/settings/tokens/").and_then(|(_, rest)| rest.split_once("/end")).expect("it can be ended").0.to_owned();
        rita.get(settings).await.expect(&["payroll"]).lacks(&["/settings/tokens/"]);
        assert!(rita.said(&format!("{settings}/tokens/{id}/end"), &[]).await.contains("change nothing"));
        while ops.get(settings).await.text.contains("/settings/tokens/") {
            let page = ops.get(settings).await.text;
            let id = page.split_once("/settings/tokens/").and_then(|(_, rest)| rest.split_once("/end")).expect("one more").0.to_owned();
            assert!(ops.said(&format!("{settings}/tokens/{id}/end"), &[]).await.contains("good no more"));
        }

        let page = ops.get(settings).await.text;
        let end = page.split_once("/settings/sessions/").and_then(|(_, rest)| rest.split_once("/end")).expect("a session").0.to_owned();
        rita.get(settings).await.expect(&["you"]);
        assert!(ops.said(&format!("{settings}/sessions/{end}/end"), &[]).await.contains("has ended"));
        assert_eq!(rita.get(settings).await.status, 303, "whoever's session has ended is sent to where one signs in");
        server.stop().await;
    }
}
