//! OAuth 2.0 client credentials: a token endpoint for each connection (RFC 6749 §4.4).

use base64::Engine as _;
use rolecall_tests::tenant::text;
use rolecall_tests::{Answer, Client, Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

struct Endpoint {
    anybody: Client,
    path: String,
    id: String,
}

impl Endpoint {
    fn of(server: &Server, connection: &Connection) -> Self {
        let path = format!("/scim/{}/oauth/token", connection.id);
        Self { anybody: Client::new(server.url(), None), path, id: connection.id.clone() }
    }

    /// A form as it is, with credentials in the header or without.
    async fn send(&self, basic: Option<(&str, &str)>, form: &str) -> Answer {
        let basic =
            basic.map(|(id, secret)| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))));
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(basic.as_deref().map(|basic| ("authorization", basic)));
        self.anybody.send("POST", &self.path, &headers, Some(form.as_bytes().to_vec())).await
    }

    async fn token(&self, secret: &str) -> String {
        let answer = self.send(Some((&self.id, secret)), "grant_type=client_credentials").await;
        text(&answer.expect(200)["access_token"])
    }
}

async fn rotate(tenant: &Tenant, connection: &Connection, body: Value) -> String {
    let answer = tenant.api.post(&format!("/connections/{}/client/rotate", connection.id), body).await.expect(201);
    assert_eq!(answer["client_id"], connection.id.as_str());
    text(&answer["client_secret"])
}

fn refused(answer: &Answer, status: u16, error: &str) {
    let body = answer.expect(status);
    assert_eq!(body["error"], error, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let described = text(&body["error_description"]);
    assert!(described.chars().all(|c| (' '..='~').contains(&c) && c != '"' && c != '\\'), "{described}");
}

on_both_databases! {
    /// Id and secret, in the header or in the body, give an access token that opens the connection for an hour and nothing else.
    async fn a_client_gets_an_access_token(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let endpoint = Endpoint::of(&server, &entra);
        let secret = rotate(&acme, &entra, json!({})).await;
        let listed = acme.api.get("/connections").await.expect(200);
        assert_eq!(listed["connections"][0]["token_url"], format!("{}{}", server.url(), endpoint.path));
        let in_header = endpoint.send(Some((&endpoint.id, &secret)), "grant_type=client_credentials&scope=whatever").await;
        let body = in_header.expect(200);
        assert_eq!((&body["token_type"], &body["expires_in"], &body["scope"]), (&json!("Bearer"), &json!(3600), &json!("scim")));
        assert_eq!((in_header.header("cache-control"), in_header.header("pragma")), ("no-store", "no-cache"));
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={secret}", endpoint.id);
        let in_body = text(&endpoint.send(None, &form).await.expect(200)["access_token"]);
        for token in [text(&body["access_token"]), in_body] {
            let scim = entra.scim.with_token(Some(&token));
            scim.get("/Users").await.expect(200);
            okta.scim.with_token(Some(&token)).get("/Users").await.expect_scim_error(401, None);
            acme.api.with_token(Some(&token)).get("/connections").await.expect(401);
            assert!(!rolecall_tests::logs::contains(&token), "an access token is in the log");
        }
        let token = endpoint.token(&secret).await;
        server.clock.advance_seconds(3_599);
        entra.scim.with_token(Some(&token)).get("/Users").await.expect(200);
        server.clock.advance_seconds(2);
        entra.scim.with_token(Some(&token)).get("/Users").await.expect_scim_error(401, None);
        let listed = acme.api.get("/connections").await.expect(200);
        assert!(!listed["connections"][0]["client_secrets"][0]["last_used"].is_null(), "{listed}");
        assert!(!listed.to_string().contains(&secret) && !rolecall_tests::logs::contains(&secret), "a secret is shown once");
        server.stop().await;
    }

    /// What is wrong is said as RFC 6749 §5.2 has it, and nothing more; a wrong secret is counted on the connection.
    async fn requests_that_are_wrong_are_refused_as_the_rfc_says(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let endpoint = Endpoint::of(&server, &entra);
        let none_yet = endpoint.send(Some((&endpoint.id, "rs_x")), "grant_type=client_credentials").await;
        refused(&none_yet, 401, "invalid_client");
        assert!(none_yet.header("www-authenticate").starts_with("Basic"), "{none_yet:?}");
        let secret = rotate(&acme, &entra, json!({})).await;
        let foreign = rotate(&acme, &okta, json!({})).await;
        let bearer = entra.scim.token.clone().unwrap_or_default();
        let good = (endpoint.id.as_str(), secret.as_str());
        for (basic, form, status, error) in [
            (Some((endpoint.id.as_str(), "rs_wrong")), "grant_type=client_credentials", 401, "invalid_client"),
            (Some((endpoint.id.as_str(), foreign.as_str())), "grant_type=client_credentials", 401, "invalid_client"),
            (Some((endpoint.id.as_str(), bearer.as_str())), "grant_type=client_credentials", 401, "invalid_client"),
            (Some((okta.id.as_str(), secret.as_str())), "grant_type=client_credentials", 401, "invalid_client"),
            (None, "grant_type=client_credentials", 401, "invalid_client"),
            (None, &*format!("grant_type=client_credentials&client_secret={secret}"), 401, "invalid_client"),
            (Some(good), "", 400, "invalid_request"),
            (Some(good), "grant_type=", 400, "invalid_request"),
            (Some(good), "grant_type=password", 400, "unsupported_grant_type"),
            (Some(good), "grant_type=client_credentials&grant_type=client_credentials", 400, "invalid_request"),
            (Some(good), &*format!("grant_type=client_credentials&client_secret={secret}"), 400, "invalid_request"),
            (Some(good), "grant_type=client_credentials&client_id=another", 400, "invalid_request"),
            (Some(good), "grant_type=client_credentials&scope=a&scope=b", 400, "invalid_request"),
        ] {
            refused(&endpoint.send(basic, form).await, status, error);
        }
        let large = format!("grant_type={}", "x".repeat(20_000));
        refused(&endpoint.send(Some(good), &large).await, 413, "invalid_request");
        let get = endpoint.anybody.get(&endpoint.path).await;
        refused(&get, 405, "invalid_request");
        let json = endpoint.anybody.send("POST", &endpoint.path, &[("content-type", "application/json")], Some(b"{}".to_vec())).await;
        refused(&json, 400, "invalid_request");
        // Neither is good for the other's purpose.
        entra.scim.with_token(Some(&secret)).get("/Users").await.expect_scim_error(401, None);
        let nowhere = Endpoint { path: "/scim/00000000000000000000000000000000/oauth/token".into(), ..Endpoint::of(&server, &entra) };
        refused(&nowhere.send(Some(good), "grant_type=client_credentials").await, 401, "invalid_client");
        let listed = acme.api.get("/connections").await.expect(200);
        let entras = listed["connections"].as_array().and_then(|all| all.iter().find(|known| known["id"] == entra.id.as_str()));
        assert_eq!(entras.map(|known| known["wrong_credentials"].clone()), Some(json!(7)), "{listed}");
        server.stop().await;
    }

    /// Secrets rotate like tokens; an access token ends with the secret that it was given for.
    async fn secrets_rotate_and_take_their_access_tokens_with_them(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let endpoint = Endpoint::of(&server, &entra);
        let works = async |token: &str| entra.scim.with_token(Some(token)).get("/Users").await.status.as_u16() == 200;
        let first = rotate(&acme, &entra, json!({})).await;
        let of_first = endpoint.token(&first).await;
        let second = rotate(&acme, &entra, json!({"overlap_seconds": 600, "lifetime_seconds": 1200})).await;
        let of_second = endpoint.token(&second).await;
        assert!(works(&of_first).await && works(&of_second).await, "two live at once");
        endpoint.token(&first).await;
        server.clock.advance_seconds(601);
        assert!(!works(&of_first).await && works(&of_second).await, "the overlap is over");
        refused(&endpoint.send(Some((&endpoint.id, &first)), "grant_type=client_credentials").await, 401, "invalid_client");
        let short = endpoint.send(Some((&endpoint.id, &second)), "grant_type=client_credentials").await.expect(200);
        assert!(short["expires_in"].as_i64() <= Some(600), "no longer than its secret: {short}");
        let third = rotate(&acme, &entra, json!({"overlap_seconds": 0})).await;
        let of_third = endpoint.token(&third).await;
        assert!(!works(&of_second).await && works(&of_third).await);
        assert!(works(entra.scim.token.as_deref().unwrap_or_default()).await, "the connection's own token is not concerned");
        acme.api.delete(&format!("/connections/{}/client", entra.id)).await.expect(204);
        assert!(!works(&of_third).await, "the client is gone");
        acme.api.delete(&format!("/connections/{}/client", entra.id)).await.expect(404);
        server.settle().await;
        let events = acme.api.get("/events?limit=1000").await.expect(200);
        let kinds: Vec<String> = events["events"].as_array().into_iter().flatten().map(|event| text(&event["kind"])).collect();
        let rotated = kinds.iter().filter(|kind| *kind == "connection.client_secret_rotated").count();
        assert!(rotated == 3 && kinds.iter().any(|kind| kind == "connection.client_removed"), "{kinds:?}");
        server.stop().await;
    }

    /// Discovery says how this connection's client can authenticate, and not what others can.
    async fn discovery_names_what_the_connection_has(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let schemes = async |connection: &Connection| -> Vec<String> {
            let config = connection.scim.get("/ServiceProviderConfig").await.expect(200);
            config["authenticationSchemes"].as_array().into_iter().flatten().map(|scheme| text(&scheme["name"])).collect()
        };
        rotate(&acme, &entra, json!({})).await;
        let issuer = json!({"issuer": "https://idp.acme.example", "audience": "rolecall", "jwks_uri": "https://idp.acme.example/jwks"});
        acme.api.put(&format!("/connections/{}/issuer", entra.id), issuer).await.expect(200);
        assert_eq!(schemes(&entra).await, ["Bearer token", "OAuth 2.0 client credentials", "JWT bearer"]);
        assert_eq!(schemes(&okta).await, ["Bearer token"]);
        server.stop().await;
    }
}
