//! JWTs of a tenant's own issuer, which changes its keys, withdraws them, goes away and is not the only one who can make up tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rolecall::clock::Clock as _;
use rolecall_tests::issuer::{Issuer, Key};
use rolecall_tests::tenant::text;
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};
use sha2::Sha256;

const ISSUER: &str = "https://idp.acme.example";

/// Settings for the issuer, with some of them changed.
fn settings(keys: &Value, change: &Value) -> Value {
    let mut settings = json!({"issuer": ISSUER, "audience": "rolecall", "clock_skew_seconds": 10});
    for part in [keys, change] {
        for (name, value) in part.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
    }
    settings
}

async fn accept(tenant: &Tenant, connection: &Connection, settings: Value) {
    tenant.api.put(&format!("/connections/{}/issuer", connection.id), settings).await.expect(200);
}

/// Claims that are good for ten minutes, with some of them changed.
fn claims(server: &Server, change: &Value) -> Value {
    let now = server.clock.now().timestamp().as_second();
    let mut claims = json!({"iss": ISSUER, "aud": "rolecall", "sub": "provisioning", "iat": now, "nbf": now, "exp": now + 600});
    for (name, value) in change.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(claims.as_object_mut().map(|claims| claims.remove(name))),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn status(connection: &Connection, token: &str) -> u16 {
    connection.scim.with_token(Some(token)).get("/Users").await.status.as_u16()
}

on_both_databases! {
    /// A good token opens its connection; whatever is wrong with one, it is a wrong credential like any other, and is counted.
    async fn a_token_is_good_or_refused(database: Database) {
        let server = Server::start(&database).await;
        let (acme, globex) = (server.tenant("acme").create().await, server.tenant("globex").create().await);
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, globex.connection(&server, "Okta").await);
        let (key, strange) = (Key::new("one"), Key::new("one"));
        let given = json!({"jwks": {"keys": [key.public()]}});
        accept(&acme, &entra, settings(&given, &json!({"subject": "provisioning", "claims": {"scope": "scim", "azp": "entra"}}))).await;
        let now = server.clock.now().timestamp().as_second();
        let own = json!({"scope": ["other", "scim"], "azp": "entra"});
        let with = |change: Value| {
            let mut all = own.clone();
            change.as_object().into_iter().flatten().for_each(|(name, value)| all[name] = value.clone());
            claims(&server, &all)
        };
        for change in [json!({}), json!({"aud": ["other", "rolecall"]}), json!({"exp": now - 5}), json!({"nbf": now + 5}), json!({"exp": 1e18}), json!({"nbf": null, "iat": null})] {
            assert_eq!(status(&entra, &key.sign(&with(change.clone()))).await, 200, "{change}");
        }
        let listed = acme.api.get("/connections").await.expect(200);
        assert_eq!((&listed["connections"][0]["wrong_credentials"], &listed["connections"][0]["issuer"]), (&json!(0), &json!(ISSUER)));
        let good = with(json!({}));
        let mut wrong: Vec<String> = [
            json!({"aud": "another"}), json!({"aud": null}), json!({"aud": ["another"]}), json!({"iss": "https://idp.globex.example"}), json!({"iss": null}),
            json!({"exp": now - 60}), json!({"exp": null}), json!({"exp": "9999999999"}), json!({"nbf": now + 60}), json!({"iat": now + 60}), json!({"nbf": "now"}),
            json!({"sub": "another"}), json!({"sub": null}), json!({"scope": "other"}), json!({"azp": null}),
        ].into_iter().map(|change| key.sign(&with(change))).collect();
        wrong.push(strange.sign(&good));
        wrong.push(key.sign_as(&json!({"alg": "ES256", "kid": "two"}), &good));
        wrong.push(key.sign_as(&json!({"alg": "RS256", "kid": "one"}), &good));
        wrong.push(key.sign_as(&json!({"alg": "ES384", "kid": "one"}), &good));
        wrong.push(key.sign_as(&json!({"alg": "ES256", "kid": "one", "crit": ["x"], "x": 1}), &good));
        wrong.push(key.sign_as(&json!({"alg": "ES256", "kid": "one", "typ": "logout+jwt"}), &good));
        // No signature at all, and the public key taken for a secret.
        wrong.push(key.sign_as(&json!({"alg": "none"}), &good));
        wrong.push(format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(good.to_string())));
        let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256","kid":"one"}"#), BASE64.encode(good.to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.public().to_string().as_bytes()).expect("HMAC takes keys of every length");
        mac.update(signed.as_bytes());
        wrong.push(format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes())));
        let token = key.sign(&good);
        wrong.push(token[..token.len() - 1].to_owned());
        wrong.push(format!("{token}.x"));
        wrong.push(token.replacen('.', ".A", 1));
        wrong.push(key.sign(&with(json!({"filler": "x".repeat(9_000)}))));
        for token in &wrong {
            assert_eq!(status(&entra, token).await, 401, "{token}");
        }
        // A token without the name of its key is tried with those that there are.
        assert_eq!(status(&entra, &key.sign_as(&json!({"alg": "ES256"}), &good)).await, 200);
        let listed = acme.api.get("/connections").await.expect(200);
        assert_eq!(listed["connections"][0]["wrong_credentials"], json!(wrong.len()), "{listed}");
        assert!(!listed["connections"][0]["last_seen"].is_null(), "{listed}");
        // Another tenant's connection does not know this issuer; nor does this one any more.
        assert_eq!(status(&okta, &token).await, 401);
        acme.api.with_token(Some(&token)).get("/connections").await.expect(401);
        assert!(!rolecall_tests::logs::contains(&token), "a token is in the log");
        acme.api.delete(&format!("/connections/{}/issuer", entra.id)).await.expect(204);
        assert_eq!(status(&entra, &token).await, 401);
        acme.api.get(&format!("/connections/{}/issuer", entra.id)).await.expect(404);
        server.stop().await;
    }

    /// New keys are fetched when a token names one; strangers can't make us ask for them all the time; a withdrawn key ends.
    async fn keys_rotate(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (first, second, strange) = (Key::new("first"), Key::new("second"), Key::new("strange"));
        let issuer = Issuer::start(&[&first]).await;
        accept(&acme, &entra, settings(&json!({"jwks_uri": issuer.jwks_uri()}), &json!({}))).await;
        let token = |key: &Key| key.sign(&claims(&server, &json!({})));
        assert_eq!((status(&entra, &token(&first)).await, issuer.asked()), (200, 1));
        assert_eq!((status(&entra, &token(&first)).await, issuer.asked()), (200, 1), "the keys are kept");
        issuer.publish(&[&first, &second]);
        for _ in 0..20 {
            assert_eq!(status(&entra, &token(&strange)).await, 401);
        }
        assert_eq!(issuer.asked(), 1, "what was asked for just now is not asked for again");
        server.clock.advance_seconds(31);
        // Whoever comes at the same time waits for the same answer.
        let (scim, good) = (entra.scim.with_token(Some(&token(&second))), 5);
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..good {
            let scim = scim.clone();
            requests.spawn(async move { scim.get("/Users").await.status.as_u16() });
        }
        assert_eq!((requests.join_all().await, issuer.asked()), (vec![200; good], 2));
        assert_eq!(status(&entra, &token(&first)).await, 200);
        // An hour later a withdrawn key is good no more: the issuer is asked first.
        issuer.publish(&[&second]);
        server.clock.advance_seconds(3_601);
        assert_eq!((status(&entra, &token(&first)).await, issuer.asked()), (401, 3));
        assert_eq!((status(&entra, &token(&second)).await, issuer.asked()), (200, 3));
        // This is how the last one is withdrawn.
        issuer.publish(&[]);
        server.clock.advance_seconds(3_601);
        assert_eq!((status(&entra, &token(&second)).await, issuer.asked()), (401, 4));
        server.stop().await;
    }

    /// An issuer that is away locks nobody out whose key is known, also after a restart; it can't be away for ever.
    async fn an_issuer_that_is_away_locks_nobody_out(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (known, unknown) = (Key::new("known"), Key::new("unknown"));
        let issuer = Issuer::start(&[&known]).await;
        accept(&acme, &entra, settings(&json!({"jwks_uri": issuer.jwks_uri()}), &json!({}))).await;
        issuer.go_away();
        let token = |key: &Key| key.sign(&claims(&server, &json!({})));
        assert_eq!(status(&entra, &token(&known)).await, 401, "no key is known yet");
        issuer.publish(&[&known]);
        server.clock.advance_seconds(31);
        assert_eq!(status(&entra, &token(&known)).await, 200);
        // What is no key set replaces none.
        for broken in ["", "{}", "[]", "{\"keys\": 1}"] {
            issuer.publish_text(broken.to_owned());
            server.clock.advance_seconds(31);
            assert_eq!(status(&entra, &token(&unknown)).await, 401);
            assert_eq!(status(&entra, &token(&known)).await, 200, "{broken}");
        }
        issuer.publish_text(format!("{{\"keys\": [{}], \"filler\": \"{}\"}}", unknown.public(), "x".repeat(300 * 1024)));
        server.clock.advance_seconds(31);
        assert_eq!(status(&entra, &token(&unknown)).await, 401, "a key set that is too large is not taken");
        issuer.go_away();
        server.clock.advance_hours(48);
        assert_eq!(status(&entra, &token(&known)).await, 200);
        assert_eq!(status(&entra, &token(&unknown)).await, 401);
        let (kept, scim) = (token(&known), entra.scim.clone());
        server.stop().await;
        let server = Server::start(&database).await;
        let again = scim.at(scim.base.replace(scim.base.split("/scim").next().unwrap_or_default(), &server.url()));
        // As late as on the first server, and a little later.
        server.clock.advance_hours(48);
        server.clock.advance_seconds(31 * 7);
        again.with_token(Some(&kept)).get("/Users").await.expect(200);
        server.clock.advance_hours(24 * 8);
        let late = known.sign(&claims(&server, &json!({})));
        again.with_token(Some(&late)).get("/Users").await.expect_scim_error(401, None);
        server.stop().await;
    }

    /// Settings that could not be safe are refused when they are made.
    async fn settings_that_can_t_be_are_refused(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let path = format!("/connections/{}/issuer", entra.id);
        let key = Key::new("one").public();
        let uri = json!({"jwks_uri": "https://idp.acme.example/jwks"});
        for (keys, change) in [
            (json!({}), json!({})),
            (uri.clone(), json!({"jwks": {"keys": [key]}})),
            (json!({"jwks_uri": "http://idp.acme.example/jwks"}), json!({})),
            (json!({"jwks_uri": "https://u:p@idp.acme.example/jwks"}), json!({})),
            (json!({"jwks_uri": "jwks"}), json!({})),
            (json!({"jwks": {"keys": []}}), json!({})),
            (json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}), json!({})),
            (uri.clone(), json!({"algorithms": ["none"]})),
            (uri.clone(), json!({"algorithms": ["HS256"]})),
            (uri.clone(), json!({"algorithms": []})),
            (uri.clone(), json!({"clock_skew_seconds": 301})),
            (uri.clone(), json!({"clock_skew_seconds": -1})),
            (uri.clone(), json!({"issuer": ""})),
            (uri.clone(), json!({"audience": "a\u{0}b"})),
            (uri.clone(), json!({"unknown": 1})),
        ] {
            acme.api.put(&path, settings(&keys, &change)).await.expect(400);
        }
        // Named by its place and id: its value must not come back.
        let private = json!({"jwks": {"keys": [key, {"kty": "OKP", "crv": "Ed25519", "kid": "mine", "x": "AAAA", "d": "c2VjcmV0"}]}});
        let refused = acme.api.put(&path, settings(&private, &json!({}))).await;
        assert!(text(&refused.expect(400)["detail"]).contains("key 2 (`mine`) has its private part"), "{refused:?}");
        assert!(!refused.text.contains("c2VjcmV0"), "{refused:?}");
        let short = json!({"jwks": {"keys": [{"kty": "RSA", "n": BASE64.encode([0xff; 128]), "e": "AQAB"}, key]}});
        let refused = acme.api.put(&path, settings(&short, &json!({}))).await.expect(400);
        assert!(text(&refused["detail"]).contains("key 1 is an RSA key of less than 2,048"), "{refused}");
        acme.api.put("/connections/unknown/issuer", settings(&uri, &json!({}))).await.expect(404);
        let made = acme.api.put(&path, settings(&uri, &json!({"algorithms": ["RS256"]}))).await.expect(200);
        assert_eq!(acme.api.get(&path).await.expect(200), made);
        // The algorithm that is not allowed is not tried.
        let issuer = Issuer::start(&[&Key::new("one")]).await;
        accept(&acme, &entra, settings(&json!({"jwks_uri": issuer.jwks_uri()}), &json!({"algorithms": ["RS256"]}))).await;
        assert_eq!((status(&entra, &Key::new("one").sign(&claims(&server, &json!({})))).await, issuer.asked()), (401, 0));
        server.stop().await;
    }
}
