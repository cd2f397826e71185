//! The router as a whole, without a network: what it says to strangers, to mistakes and to its own defects.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use rolecall_scim::bulk::BULK_DEPTH_LIMIT;
use serde_json::Value;
use tower::ServiceExt;

use super::api::accounts::AccountQuery;
use super::body::{ApiBody, BODY_BYTES_LIMIT, ScimBody};
use super::error::Format;
use super::guards::{Access, Anyone};
use super::query::{ApiQuery, At};
use super::routes::{self, get, post};
use super::{RouteInfo, assemble, openapi, route_list, router};
use crate::app::App;
use crate::clock::SystemClock;
use crate::compute::Compute;
use crate::crypto::{Keyring, SecretKey};
use crate::model::AccountId;
use crate::outgoing::{self, Allowed};
use crate::plugins::{Sandbox, SandboxConfig};
use crate::rate::Rate;

struct Process {
    app: Arc<App>,
    _folder: tempfile::TempDir,
}

impl Process {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Arc::new(Keyring::new(SecretKey::random()));
        let url = format!("sqlite:{}", folder.path().join("rolecall.db").display());
        // Twice is once: other tests of the process may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let store = crate::store::open(&url, Arc::clone(&keyring)).await.unwrap();
        let sandbox = Sandbox::new(&SandboxConfig::default()).unwrap();
        let outgoing = outgoing::Client::new(Allowed::default()).unwrap();
        let app = App::new(store, Arc::new(SystemClock), keyring, sandbox, Compute::new(1, 4), Rate { per_second: 0, burst: 1 }, outgoing);
        Self { app: Arc::new(app), _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(router(Arc::clone(&self.app)).oneshot(request).await.unwrap()).await
    }
}

struct Answer {
    response: Response<()>,
    text: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { response: Response::from_parts(parts, ()), text }
    }

    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless this is an error in the form that the path asks for; gives its sentence.
    fn expect_error(&self, path: &str, status: u16) -> String {
        assert_eq!(self.status(), status, "{path}: {}", self.text);
        let body: Value = serde_json::from_str(&self.text).unwrap();
        if path.ends_with("/oauth/token") {
            assert_eq!(self.header(CONTENT_TYPE), "application/json", "{path}");
            assert!(body["error"].is_string(), "{path}");
            return body["error_description"].as_str().unwrap().to_owned();
        }
        if path.starts_with("/scim") {
            assert_eq!(self.header(CONTENT_TYPE), "application/scim+json", "{path}");
            assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{path}");
            assert_eq!(body["status"], status.to_string(), "{path}");
        } else {
            assert_eq!(self.header(CONTENT_TYPE), "application/problem+json", "{path}");
            assert_eq!(body["status"], status, "{path}");
            assert_eq!(body["request_id"], self.header("x-request-id"), "{path}");
        }
        body["detail"].as_str().unwrap().to_owned()
    }
}

fn request(method: &Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method.clone()).uri(path).header("host", "rolecall.example")
}

fn empty(method: &Method, path: &str) -> Request<Body> {
    request(method, path).body(Body::empty()).unwrap()
}

fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn strangers_get_the_same_401_on_every_guarded_route() {
    let process = Process::start().await;
    let mut bodies = BTreeSet::new();
    for route in route_list() {
        let path = filled(route.path);
        let answer = process.send(empty(&route.method, &path)).await;
        if route.access == Access::Public {
            // A path that holds a secret is let in by that, and says of every wrong one that there is none.
            let wanted = match route.path {
                "/" => 303,
                "/workspace/assets/{file}" | "/workspace/sign-in/{provider}" => 404,
                "/workspace/callback" => 400,
                path if path.starts_with("/workspace/setup/") => 404,
                path if route.method == Method::POST && path.contains("{token}") => 404,
                _ => 200,
            };
            assert_eq!(answer.status(), wanted, "{} {path}: {}", route.method, answer.text);
        } else if route.access == Access::Session {
            assert_eq!(answer.status(), 303, "{} {path}: {}", route.method, answer.text);
            assert!(answer.header("location").starts_with("/workspace/sign-in"), "{path}");
        } else {
            answer.expect_error(&path, 401);
            let scheme = if route.access == Access::Client { "Basic realm=\"rolecall\"" } else { "Bearer realm=\"rolecall\"" };
            assert_eq!(answer.header(WWW_AUTHENTICATE), scheme);
            let id = answer.header("x-request-id").to_owned();
            bodies.insert(answer.text.replace(&id, "ID"));
        }
    }
    assert_eq!(bodies.len(), 3, "one body for SCIM, one for token endpoints and one for the API: {bodies:?}");
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_connection_look_like_a_missing_token() {
    let process = Process::start().await;
    let path = "/scim/0123456789abcdef/v2/Users";
    let missing = process.send(empty(&Method::GET, path)).await;
    for value in ["Bearer rc_wrong", "Bearer ", "Basic eDp5", &format!("Bearer {}", "x".repeat(5_000))] {
        let wrong = process.send(request(&Method::GET, path).header("authorization", value).body(Body::empty()).unwrap()).await;
        wrong.expect_error(path, 401);
        assert_eq!(wrong.text, missing.text, "{value}");
    }
    for connection in ["%00", "a%2Fb", "%FF", "no-such-connection"] {
        let path = format!("/scim/{connection}/v2/Users");
        let request = request(&Method::GET, &path).header("authorization", "Bearer rc_wrong").body(Body::empty()).unwrap();
        assert_eq!(process.send(request).await.text, missing.text, "{connection}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart_in_the_right_form() {
    let process = Process::start().await;
    for path in ["/nothing", "/api/v1/nothing", "/api/v2/tenants", "/scim", "/scim/x/v2/Nothings", "/scim/x/v2/Users/1/2"] {
        process.send(empty(&Method::GET, path)).await.expect_error(path, 404);
    }
    for (method, path, allow) in [
        (Method::PUT, "/scim/x/v2/Users", "GET,HEAD,POST"),
        (Method::POST, "/scim/x/v2/Schemas", "GET,HEAD"),
        (Method::PATCH, "/api/v1/tenants", "GET,HEAD,POST"),
        (Method::DELETE, "/healthz", "GET,HEAD"),
    ] {
        let answer = process.send(empty(&method, path)).await;
        answer.expect_error(path, 405);
        let allowed: BTreeSet<&str> = answer.header(ALLOW).split(',').collect();
        assert_eq!(allowed, allow.split(',').collect(), "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_good_one_is_kept() {
    let process = Process::start().await;
    for path in ["/healthz", "/nothing", "/scim/x/v2/Users"] {
        let mut with_id = empty(&Method::GET, path);
        with_id.headers_mut().insert("x-request-id", "trace-1".parse().unwrap());
        assert_eq!(process.send(with_id).await.header("x-request-id"), "trace-1");
        assert_eq!(process.send(empty(&Method::GET, path)).await.header("x-request-id").len(), 32);
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let process = Process::start().await;
    process.send(empty(&Method::GET, "/scim/secret-connection/v2/Users?filter=userName+eq+%22ada%22")).await;
    process.send(empty(&Method::GET, "/nothing/secret")).await;
    let text = process.send(empty(&Method::GET, "/metrics")).await.text;
    assert!(text.contains(r#"{route="/scim/{connection}/v2/Users",method="GET",status="4xx"} 1"#), "{text}");
    assert!(text.contains(r#"{route="unmatched",method="GET",status="4xx"} 1"#), "{text}");
    assert!(!text.contains("secret") && !text.contains("ada"), "{text}");
}

/// A router with routes that only read bodies, or panic, beside the real ones.
fn with_probes(process: &Process) -> axum::Router {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[serde(default)]
        count: i64,
    }
    let mut table = routes::all();
    table.extend(["/scim/probe", "/probe/scim"].map(|path| post(path, "probe", "", async |_: Anyone, body: ScimBody| body.0.to_string())));
    table.push(post("/probe/api", "probe", "", async |_: Anyone, body: ApiBody<Small>| body.0.count.to_string()));
    table.push(get("/probe/{first}/{second}", "probe", "", async |_: Anyone, path: At<(String, AccountId)>, _: ApiQuery<AccountQuery>| {
        format!("{}|{}", path.0.0, path.0.1)
    }));
    table.extend(["/scim/panic", "/panic"].map(|path| post(path, "panic", "", async |_: Anyone| -> StatusCode { panic!("a defect") })));
    assemble(Arc::clone(&process.app), table)
}

async fn body(router: &axum::Router, path: &str, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
    let builder = request(&Method::POST, path);
    let builder = content_type.map_or(request(&Method::POST, path), |content_type| builder.header(CONTENT_TYPE, content_type));
    Answer::of(router.clone().oneshot(builder.body(body.into()).unwrap()).await.unwrap()).await
}

#[tokio::test]
async fn bodies_that_are_no_scim_are_refused_with_what_to_do() {
    let process = Process::start().await;
    let router = with_probes(&process);
    let (json, path) = (Some("application/json"), "/scim/probe");
    for text in ["", "{", "[1,2]", "7", "{\"a\": tru}", "{\"a\": 1} x"] {
        let answer = body(&router, path, json, text).await;
        answer.expect_error(path, 400);
        assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap()["scimType"], "invalidSyntax", "{text}");
    }
    assert!(body(&router, path, json, vec![b'{', b'"', 0xff, b'"']).await.expect_error(path, 400).contains("UTF-8"));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(BULK_DEPTH_LIMIT), "]".repeat(BULK_DEPTH_LIMIT));
    assert!(body(&router, path, json, deep).await.expect_error(path, 400).contains("deeper"));
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        body(&router, path, Some(content_type), "{}").await.expect_error(path, 415);
    }
    for content_type in [None, json, Some("application/scim+json; charset=utf-8"), Some("APPLICATION/JSON;charset=UTF-8")] {
        let answer = body(&router, path, content_type, r#"{"a":1,"A":2}"#).await;
        assert_eq!((answer.status(), answer.text.as_str()), (200, r#"{"a":1,"A":2}"#));
    }
    assert!(body(&router, path, json, r#"{"b":{"a":1,"a":2}}"#).await.expect_error(path, 400).contains("`a` is there twice"));
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_announced_or_not() {
    let process = Process::start().await;
    let router = with_probes(&process);
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES_LIMIT - 8));
    assert_eq!(fits.len(), BODY_BYTES_LIMIT);
    assert_eq!(body(&router, "/scim/probe", None, fits.clone()).await.status(), 200);
    let over = fits + " ";
    body(&router, "/scim/probe", None, over.clone()).await.expect_error("/scim/probe", 413);
    body(&router, "/probe/api", None, over.clone()).await.expect_error("/probe/api", 413);
    let announced = request(&Method::POST, "/scim/probe").header("content-length", over.len()).body(Body::empty()).unwrap();
    Answer::of(router.clone().oneshot(announced).await.unwrap()).await.expect_error("/scim/probe", 413);
}

#[tokio::test]
async fn the_api_refuses_fields_that_it_does_not_know() {
    let process = Process::start().await;
    let router = with_probes(&process);
    let path = "/probe/api";
    assert_eq!(body(&router, path, None, "").await.text, "0", "no body is an empty object");
    assert_eq!(body(&router, path, None, r#"{"count":3}"#).await.text, "3");
    assert!(body(&router, path, None, r#"{"kount":3}"#).await.expect_error(path, 400).contains("unknown field `kount`"));
    let wrong = body(&router, path, None, r#"{"count":"hunter2"}"#).await.expect_error(path, 400);
    assert!(wrong.contains("expected i64") && !wrong.contains("hunter2"), "{wrong}");
}

#[tokio::test]
async fn the_api_refuses_parameters_that_it_does_not_know_and_paths_that_name_nothing() {
    let process = Process::start().await;
    let router = with_probes(&process);
    let read = async |path: &str| Answer::of(router.clone().oneshot(empty(&Method::GET, path)).await.unwrap()).await;
    assert_eq!(read("/probe/a/b%2Fc%40d?state=held&limit=5&after=x").await.text, "a|b/c@d");
    assert!(read("/probe/a/b?stat=held").await.expect_error("/probe", 400).contains("unknown field `stat`"));
    for query in ["state=hidden", "limit=many", "limit=1&limit=2"] {
        read(&format!("/probe/a/b?{query}")).await.expect_error("/probe", 400);
    }
    for segment in ["%00", "%FF", &"x".repeat(600)] {
        read(&format!("/probe/a/{segment}")).await.expect_error("/probe", 404);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_in_the_right_form_and_says_nothing_of_itself() {
    let process = Process::start().await;
    let router = with_probes(&process);
    for path in ["/scim/panic", "/panic"] {
        let answer = body(&router, path, None, "").await;
        answer.expect_error(path, 500);
        assert!(!answer.text.contains("a defect"));
    }
}

#[test]
fn the_document_describes_every_route_and_nothing_is_missing_in_it() {
    let document: Value = serde_json::from_slice(&openapi::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = BTreeSet::new();
    for RouteInfo { method, path, operation, access } in route_list().into_iter().filter(|route| !route.is_page()) {
        let described = &document["paths"][path][method.as_str().to_lowercase()];
        assert_eq!(described["operationId"], operation, "{method} {path}");
        assert_eq!(described["security"].as_array().unwrap().is_empty(), access == Access::Public, "{method} {path}");
        let named: Vec<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let described = described["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path");
        assert_eq!(described.map(|parameter| parameter["name"].as_str().unwrap()).collect::<Vec<_>>(), named, "{path}");
        assert!(operations.insert(operation), "`{operation}` is there twice");
    }
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "`{reference}` leads nowhere");
    }
}

fn collect_references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            into.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, into));
        }
        Value::Array(array) => array.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

#[test]
fn the_page_about_the_api_lists_every_route() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    const BEGIN: &str = "<!-- routes: made from the route table; UPDATE_EXPECT=1 rewrites it -->\n";
    const END: &str = "<!-- /routes -->";
    let mut table = String::from("| method | path | what it does | who may |\n|---|---|---|---|\n");
    for route in routes::all().into_iter().filter(|route| Format::of(route.path) != Format::Page) {
        table += &format!("| {} | `{}` | {} | {} |\n", route.method, route.path, route.summary, route.access.words());
    }
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (listed, tail) = rest.split_once(END).unwrap();
    if listed != table && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(listed, table, "docs/api.md is behind the route table: run this test with UPDATE_EXPECT=1");
}
