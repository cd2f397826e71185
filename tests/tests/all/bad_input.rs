//! Bad input: the right status and keyword with a sentence that says what to do; nothing stored, nothing secret logged.

use rolecall_tests::tenant::{patch, user};
use rolecall_tests::{Answer, Client, Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A secret that every bad request carries: it must be in no log and in no answer.
const SECRET: &str = "correct-horse-battery-staple";

/// A request that is refused.
struct Bad {
    what: &'static str,
    method: &'static str,
    path: String,
    body: Vec<u8>,
    status: u16,
    scim_type: Option<&'static str>,
}

fn bad(
    what: &'static str,
    method: &'static str,
    path: &str,
    body: impl Into<Vec<u8>>,
    status: u16,
    scim_type: Option<&'static str>,
) -> Bad {
    Bad { what, method, path: path.to_owned(), body: body.into(), status, scim_type }
}

fn with_secret(body: &Value) -> Vec<u8> {
    let mut body = body.clone();
    if let Some(object) = body.as_object_mut() {
        object.insert("password".into(), SECRET.into());
    }
    body.to_string().into_bytes()
}

fn malformed_bodies() -> Vec<Bad> {
    let deep = format!(r#"{{"userName":"deep@acme.example","password":"{SECRET}","x":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let large = format!(r#"{{"userName":"large@acme.example","password":"{SECRET}","title":"{}"}}"#, "x".repeat(2_000_000));
    let unfinished = format!(r#"{{"userName":"ada","password":"{SECRET}""#);
    let mut not_utf8 = format!(r#"{{"password":"{SECRET}","userName":""#).into_bytes();
    not_utf8.extend_from_slice(&[0xff, 0xfe]);
    not_utf8.extend_from_slice(br#""}"#);
    vec![
        bad("no JSON at all", "POST", "/Users", SECRET, 400, Some("invalidSyntax")),
        bad("unfinished JSON", "POST", "/Users", unfinished, 400, Some("invalidSyntax")),
        bad("an empty body", "POST", "/Users", "", 400, Some("invalidSyntax")),
        bad("a list", "POST", "/Users", format!(r#"["{SECRET}"]"#), 400, Some("invalidSyntax")),
        bad("a text", "POST", "/Users", format!(r#""{SECRET}""#), 400, Some("invalidSyntax")),
        bad("deep nesting", "POST", "/Users", deep, 400, Some("invalidSyntax")),
        bad("too large", "POST", "/Users", large, 413, None),
        bad("not UTF-8", "POST", "/Users", not_utf8, 400, Some("invalidSyntax")),
    ]
}

fn wrong_values() -> Vec<Bad> {
    let value = Some("invalidValue");
    vec![
        bad("no user name", "POST", "/Users", with_secret(&json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]})), 400, value),
        bad("an empty user name", "POST", "/Users", with_secret(&user("", json!({}))), 400, value),
        bad("a number as user name", "POST", "/Users", with_secret(&user("x", json!({"userName": 7}))), 400, value),
        bad("an object as user name", "POST", "/Users", with_secret(&user("x", json!({"userName": {"a": SECRET}}))), 400, value),
        bad("a word for active", "POST", "/Users", with_secret(&user("x@acme.example", json!({"active": "perhaps"}))), 400, value),
        bad("a text for name", "POST", "/Users", with_secret(&user("x@acme.example", json!({"name": "Ada"}))), 400, value),
        bad("a text for emails", "POST", "/Users", with_secret(&user("x@acme.example", json!({"emails": "a@acme.example"}))), 400, value),
        bad(
            "a group without a name",
            "POST",
            "/Groups",
            with_secret(&json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "members": []})),
            400,
            value,
        ),
        bad("a member that never was", "POST", "/Groups", with_secret(&rolecall_tests::tenant::group("G", &["never-was"])), 400, value),
    ]
}

fn wrong_patches(id: &str) -> Vec<Bad> {
    let path = format!("/Users/{id}");
    let with = |operations: Value| with_secret(&patch(operations));
    let deep = format!("({}userName eq \"x\"{})", "(".repeat(200), ")".repeat(200));
    vec![
        bad("no operations", "PATCH", &path, with_secret(&json!({"schemas": []})), 400, Some("invalidSyntax")),
        bad(
            "an unknown operation",
            "PATCH",
            &path,
            with(json!([{"op": "frobnicate", "path": "title", "value": SECRET}])),
            400,
            Some("invalidSyntax"),
        ),
        bad("no path at all", "PATCH", &path, with(json!([{"op": "replace", "path": "..", "value": SECRET}])), 400, Some("invalidPath")),
        bad(
            "a malformed path",
            "PATCH",
            &path,
            with(json!([{"op": "replace", "path": "emails[type eq", "value": SECRET}])),
            400,
            Some("invalidPath"),
        ),
        bad(
            "a filter that is too deep",
            "PATCH",
            &path,
            with(json!([{"op": "remove", "path": format!("emails[{deep}]")}])),
            400,
            Some("invalidFilter"),
        ),
        bad("a removal without a path", "PATCH", &path, with(json!([{"op": "remove"}])), 400, Some("noTarget")),
        bad(
            "a value of the wrong type",
            "PATCH",
            &path,
            with(json!([{"op": "replace", "path": "active", "value": SECRET}])),
            400,
            Some("invalidValue"),
        ),
        bad("no user name left", "PATCH", &path, with(json!([{"op": "remove", "path": "userName"}])), 400, Some("mutability")),
        bad(
            "more operations than the limit",
            "PATCH",
            &path,
            with(Value::Array(vec![json!({"op": "replace", "path": "title", "value": "x"}); 1_001])),
            413,
            None,
        ),
    ]
}

fn wrong_places(id: &str) -> Vec<Bad> {
    let filter = |text: &str| format!("/Users?filter={}", rolecall_tests::cases::escaped(text));
    vec![
        bad("an unknown path", "GET", "/Frobs", "", 404, None),
        bad("an unknown user", "GET", "/Users/00000000-0000-7000-8000-000000000000", "", 404, None),
        bad("a user's id with NUL", "GET", "/Users/a%00b", "", 404, None),
        bad("a user's id that is no text", "GET", "/Users/%ff", "", 404, None),
        bad("a method that is not there", "PUT", "/Users", "{}", 405, None),
        bad("another", "POST", &format!("/Users/{id}"), "{}", 405, None),
        bad("a malformed filter", "GET", &filter("userName eq"), "", 400, Some("invalidFilter")),
        bad("an unknown operator", "GET", &filter("userName like \"a\""), "", 400, Some("invalidFilter")),
        bad("a filter that is too long", "GET", &filter(&format!("userName eq \"{}\"", "x".repeat(9_000))), "", 400, Some("invalidFilter")),
        bad(
            "a filter that is too deep",
            "GET",
            &filter(&format!("{}userName pr{}", "(".repeat(100), ")".repeat(100))),
            "",
            400,
            Some("invalidFilter"),
        ),
        bad("a count that is no number", "GET", "/Users?count=many", "", 400, Some("invalidValue")),
    ]
}

async fn send(connection: &Connection, bad: &Bad) -> Answer {
    let body = (!bad.body.is_empty() || bad.method == "POST").then(|| bad.body.clone());
    connection.scim.send(bad.method, &bad.path, &[], body).await
}

fn check(bad: &Bad, answer: &Answer) {
    let shown = format!("{}: {answer:?}", bad.what);
    assert_eq!(answer.status.as_u16(), bad.status, "{shown}");
    assert_eq!(answer.header("content-type"), "application/scim+json", "{shown}");
    assert!(!answer.header("x-request-id").is_empty(), "{shown}");
    assert!(!answer.text.contains(SECRET), "{shown}");
    answer.expect_scim_error(bad.status, bad.scim_type);
}

async fn nothing_changed(acme: &Tenant, entra: &Connection, server: &Server, before: &Value) {
    assert_eq!(entra.scim.get("/Users").await.expect(200), *before, "something was stored");
    assert_eq!(entra.scim.get("/Groups").await.expect(200)["totalResults"], 0, "something was stored");
    assert_eq!(acme.accounts().await.len(), 1, "something was stored");
    let events = json!(acme.events(server).await).to_string();
    assert!(!events.contains(SECRET), "a secret is in an event");
    assert!(!rolecall_tests::logs::contains(SECRET), "a secret was logged: {:?}", rolecall_tests::logs::lines_with(SECRET));
}

on_both_databases! {
    /// The whole table, and afterwards nothing is stored and nothing secret is logged.
    async fn bad_requests_are_refused_by_name_and_leave_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let before = entra.scim.get("/Users").await.expect(200);
        for bad in malformed_bodies().iter().chain(&wrong_values()).chain(&wrong_patches(&ada)).chain(&wrong_places(&ada)) {
            check(bad, &send(&entra, bad).await);
        }
        nothing_changed(&acme, &entra, &server, &before).await;
        assert!(rolecall_tests::logs::contains("the request was refused"), "the log was not captured");
        server.stop().await;
    }

    /// Headers: a body that is not JSON by its type, a broken `Authorization`, an over-long request id.
    async fn bad_headers_are_refused(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let body = || Some(user("ada@acme.example", json!({})).to_string().into_bytes());
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
            entra.scim.send("POST", "/Users", &[("content-type", content_type)], body()).await.expect_scim_error(415, None);
        }
        let anybody = entra.scim.with_token(None);
        for authorization in ["", "Bearer", "Bearer ", "Basic cmNfeA==", "Bearer rc_x y", &format!("Bearer {}", "x".repeat(5_000))] {
            let answer = anybody.send("GET", "/Users", &[("authorization", authorization)], None).await;
            answer.expect_scim_error(401, None);
            // RFC 6750 §3.1: a code where a token was sent.
            let code = if authorization.len() > "Bearer ".len() && !authorization.starts_with("Basic") { r#", error="invalid_token""# } else { "" };
            assert_eq!(answer.header("www-authenticate"), format!(r#"Bearer realm="rolecall"{code}"#), "{authorization:?}");
        }
        let answer = entra.scim.send("GET", "/Users", &[("x-request-id", &"x".repeat(500))], None).await;
        assert_ne!(answer.header("x-request-id").len(), 500);
        let answer = entra.scim.send("GET", "/Users", &[("x-request-id", "cycle-7")], None).await;
        assert_eq!(answer.header("x-request-id"), "cycle-7");
        server.stop().await;
    }

    /// RFC 9112 §3.2: there is one `Host`, and what the request line names goes before it.
    async fn addresses_are_those_that_were_asked_for(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let path = entra.scim.base.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| format!("/{path}/Schemas")).expect("a path");
        let token = entra.scim.token.clone().unwrap_or_default();
        let asked = async |line: &str, hosts: &str| {
            let request = format!("GET {line} HTTP/1.1\r\n{hosts}authorization: Bearer {token}\r\nconnection: close\r\n\r\n");
            let address = entra.scim.base.split('/').nth(2).expect("an authority").to_owned();
            let mut stream = TcpStream::connect(&address).await.expect("the server is there");
            stream.write_all(request.as_bytes()).await.expect("it can be sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("the answer is text");
            answer
        };
        let one = asked(&path, "host: one.example\r\n").await;
        assert!(one.starts_with("HTTP/1.1 200") && one.contains("http://one.example/scim/"), "{one}");
        let two = asked(&path, "host: one.example\r\nhost: two.example\r\n").await;
        assert!(two.starts_with("HTTP/1.1 400") && two.contains("one `Host` header"), "{two}");
        let absolute = asked(&format!("http://named.example{path}"), "host: other.example\r\n").await;
        assert!(absolute.contains("http://named.example/scim/") && !absolute.contains("other.example"), "{absolute}");
        server.stop().await;
    }

    /// Unknown attributes are not kept, and recorded as ignored; the request is carried out.
    async fn unknown_attributes_are_ignored_and_recorded(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let id = entra.create_with("ada@acme.example", json!({"shoeSize": 42, "urn:example:unknown": {"a": 1}})).await;
        let read = entra.scim.get(&format!("/Users/{id}")).await.expect(200);
        assert!(read.get("shoeSize").is_none() && read.get("urn:example:unknown").is_none(), "{read}");
        let events = acme.events(&server).await;
        let created = events.iter().find(|event| event["kind"] == "user.created").expect("the creation is an event");
        assert!(created["data"]["ignored"].to_string().contains("shoeSize"), "{created}");
        server.stop().await;
    }

    /// A token that has ended is as good as none.
    async fn an_ended_token_is_refused(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let rotated = acme.api.post(&format!("/connections/{}/rotate", entra.id), json!({"lifetime_seconds": 60})).await.expect(201);
        let short = entra.scim.with_token(rotated["token"].as_str());
        short.get("/Users").await.expect(200);
        server.clock.advance_seconds(61);
        short.get("/Users").await.expect_scim_error(401, None);
        let made = server.operator.post("/tokens", json!({"tenant": "acme", "lifetime_seconds": 60})).await.expect(201);
        let api = acme.api.with_token(made["token"].as_str());
        api.get("/accounts").await.expect(200);
        server.clock.advance_seconds(61);
        api.get("/accounts").await.expect(401);
        server.stop().await;
    }

    /// The API says what is wrong with a body, and does not repeat it.
    async fn the_api_refuses_bad_bodies(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        for (path, body, status) in [
            ("/connections", json!({}), 400),
            ("/connections", json!({"name": ""}), 400),
            ("/connections", json!({"name": "x".repeat(300)}), 400),
            ("/connections", json!({"name": "x", "colour": SECRET}), 400),
            ("/revisions", json!({"files": {"tenant.toml": "***"}}), 400),
            ("/revisions", json!({"files": {}}), 422),
            ("/connections/unknown/pause", json!({}), 404),
            ("/handles/unknown/confirm", json!({}), 404),
        ] {
            let answer = acme.api.post(path, body.clone()).await;
            let problem = answer.expect(status);
            assert_eq!(problem["status"], status, "{path} {body}: {problem}");
            assert!(!answer.text.contains(SECRET), "{path}: {problem}");
        }
        for path in ["/accounts/nobody", "/accounts/nobody/explain?role=developer", "/frobs"] {
            acme.api.get(path).await.expect(404);
        }
        acme.api.get("/accounts?frob=1").await.expect(400);
        acme.api.get("/accounts?state=frob").await.expect(400);
        server.operator.post("/tenants", json!({"id": "Not A Tenant"})).await.expect(422);
        // What is repeated is cut, however much was sent.
        for (path, body) in [("/tenants", json!({"id": "A".repeat(900_000)})), ("/tokens", json!({"admin_roles": ["A".repeat(900_000)]}))] {
            let answer = server.operator.post(path, body).await;
            answer.expect(422);
            assert!(answer.text.contains("AAAA") && answer.text.len() < 1_000, "{path}: {} bytes", answer.text.len());
        }
        let problem = server.operator.post("/tokens", json!({"person": ""})).await.expect(400);
        assert!(problem["detail"].as_str().unwrap_or_default().starts_with("`person` must have"), "{problem}");
        Client::new(server.url(), None).get("/nowhere").await.expect(404);
        server.stop().await;
    }
}
