//! Every route that the router serves × every wrong credential: no route is forgotten, because the router itself lists them.

use std::collections::BTreeMap;

use rolecall::http::guards::Access;
use rolecall::http::{RouteInfo, route_list};
use rolecall_tests::{Answer, Client, Connection, Database, Server, on_both_databases};

/// Routes that anybody may call, each with the reason: `tests/public-routes.txt`.
fn public_routes() -> BTreeMap<String, String> {
    include_str!("../../public-routes.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (route, reason) = line.split_once(" — ").unwrap_or_else(|| panic!("`{line}`: METHOD PATH — reason"));
            (route.trim().to_owned(), reason.trim().to_owned())
        })
        .collect()
}

fn name(route: &RouteInfo) -> String {
    format!("{} {}", route.method, route.path)
}

/// The route's path for acme's connection, with identifiers that exist where there are some.
fn path(route: &RouteInfo, connection: &Connection, user: &str) -> String {
    let named = |path: &str, name: &str, value: &str| path.replace(&format!("{{{name}}}"), value);
    let path = named(route.path, "connection", &connection.id);
    let path = named(&path, "tenant", "acme");
    let path = if path.contains("/Users/") || path.contains("/Groups/") { named(&path, "id", user) } else { path };
    let path = named(&path, "account", "ada@acme.example");
    // What is left (a revision, a handle, a target …) need not exist: who may ask is decided before that is looked up.
    path.split('/').map(|part| if part.starts_with('{') { "unknown" } else { part }).collect::<Vec<_>>().join("/")
}

async fn call(client: &Client, route: &RouteInfo, path: &str) -> Answer {
    let body = matches!(route.method.as_str(), "POST" | "PUT" | "PATCH").then(|| b"{}".to_vec());
    client.send(route.method.as_str(), path, &[], body).await
}

on_both_databases! {
    /// No token, a token that is none, one of the wrong kind, one of another tenant, one that may only read.
    async fn no_route_answers_the_wrong_caller(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let globex = server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let okta = globex.connection(&server, "Okta").await;
        let anybody = Client::new(server.url(), None);
        let wrong = anybody.with_token(Some("rc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        let other_scim = anybody.with_token(okta.scim.token.as_deref());
        let own_scim = anybody.with_token(entra.scim.token.as_deref());
        let other_api = anybody.with_token(server.api_client(Some("globex"), true).await.token.as_deref());
        let reader = anybody.with_token(server.api_client(Some("acme"), false).await.token.as_deref());
        let writer = anybody.with_token(server.api_client(Some("acme"), true).await.token.as_deref());
        let platform_reader = anybody.with_token(server.api_client(None, false).await.token.as_deref());

        let routes = route_list();
        assert!(routes.len() > 25, "only {} routes: the walk would show nothing", routes.len());
        let mut public = public_routes();
        for route in &routes {
            let (name, path) = (name(route), path(route, &entra, &ada));
            let refused = |answer: Answer, expected: &[u16]| {
                // A token endpoint says first that it takes forms alone, and what is sent here is JSON.
                let is_no_form = route.access == Access::Client && answer.status == 400 && answer.text.contains("invalid_request");
                assert!(is_no_form || expected.contains(&answer.status.as_u16()), "{name}: {answer:?}");
                assert!(!answer.text.contains("ada@acme.example"), "{name}: {answer:?}");
            };
            if route.access == Access::Public {
                assert!(public.remove(&name).is_some(), "`{name}` is public: say why in tests/public-routes.txt");
                let answer = call(&anybody, route, &path).await;
                // What is behind a secret in the path is behind that secret; the way in leads on.
                let no_secret = path.contains("/unknown") && answer.status == 404;
                // Nobody here asked a provider for anything.
                let no_secret = no_secret || path == "/workspace/callback" && answer.status == 400;
                assert!(answer.status.is_success() || answer.status.is_redirection() || no_secret, "{name}: {answer:?}");
                continue;
            }
            if route.access == Access::Session {
                // Tokens are none of the workspace's business: whoever has no session is sent to where one signs in.
                for client in [&anybody, &wrong, &own_scim, &reader, &writer, &server.operator.at(server.url())] {
                    let answer = call(client, route, &path).await;
                    refused(answer.clone(), &[303]);
                    assert!(answer.header("location").starts_with("/workspace/sign-in"), "{name}: {answer:?}");
                }
                continue;
            }
            refused(call(&anybody, route, &path).await, &[401]);
            refused(call(&wrong, route, &path).await, &[401]);
            match route.access {
                Access::Public | Access::Session => {}
                Access::Connection | Access::Client => {
                    for client in [&other_scim, &other_api, &writer, &server.operator] {
                        refused(call(&client.at(server.url()), route, &path).await, &[401]);
                    }
                }
                Access::Api => refused(call(&own_scim, route, &path).await, &[401]),
                Access::TenantRead => {
                    refused(call(&own_scim, route, &path).await, &[401]);
                    refused(call(&other_api, route, &path).await, &[404]);
                }
                Access::TenantWrite => {
                    refused(call(&own_scim, route, &path).await, &[401]);
                    refused(call(&other_api, route, &path).await, &[404]);
                    refused(call(&reader, route, &path).await, &[403]);
                    refused(call(&platform_reader, route, &path).await, &[403]);
                }
                Access::PlatformWrite => {
                    refused(call(&own_scim, route, &path).await, &[401]);
                    for client in [&other_api, &writer, &reader, &platform_reader] {
                        refused(call(client, route, &path).await, &[403]);
                    }
                }
            }
        }
        assert!(public.is_empty(), "routes that are gone, or not public any more: {public:?}");
        // Nothing of all this changed anything.
        assert_eq!(acme.state("ada@acme.example").await, "active");
        assert_eq!(server.operator.get("/tenants").await.expect(200)["tenants"].as_array().map(Vec::len), Some(2));
        server.stop().await;
    }

    /// Whatever a route of the API does not know is refused by name, before it is looked up what the request is about.
    async fn no_route_of_the_api_passes_over_what_it_does_not_know(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let operator = server.operator.at(server.url());
        let routes: Vec<RouteInfo> = route_list().into_iter().filter(|route| route.path.starts_with("/api/")).collect();
        assert!(routes.len() > 100, "only {} routes: the walk would show nothing", routes.len());
        for route in &routes {
            let (name, path) = (name(route), path(route, &entra, &ada));
            let refused = |answer: Answer| {
                assert!(answer.status == 400 && answer.text.contains("unknown field `frob`"), "{name}: {answer:?}");
            };
            refused(call(&operator, route, &format!("{path}?frob=1")).await);
            if matches!(route.method.as_str(), "POST" | "PUT" | "PATCH") {
                refused(operator.send(route.method.as_str(), &path, &[], Some(br#"{"frob":1}"#.to_vec())).await);
            }
        }
        // What says who may ask comes first: a stranger learns nothing of what a route takes.
        let anybody = Client::new(server.url(), None);
        anybody.get("/api/v1/tenants/acme/accounts?frob=1").await.expect(401);
        // Probes and monitoring add what they like.
        anybody.get("/healthz?frob=1").await.expect(200);
        // Misplaced: it would run what is active, and for good.
        let run = "/accounts/ada@acme.example/run";
        let misplaced = acme.api.send("POST", &format!("{run}?revision=nope"), &[], None).await.expect(400);
        assert!(misplaced["detail"].as_str().unwrap_or_default().contains("`revision`"), "{misplaced}");
        acme.api.post(run, serde_json::json!({"revision": "nope", "dry_run": true})).await.expect(400);
        acme.api.send("POST", run, &[], None).await.expect(200);
        server.stop().await;
    }

    /// A tenant that exists and one that does not look the same to somebody else's token, as do connections.
    async fn what_is_not_ones_own_does_not_exist(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let api = server.api_client(Some("globex"), true).await;
        let masked = |answer: Answer| {
            let mut body = answer.json();
            if let Some(object) = body.as_object_mut() {
                object.remove("request_id");
            }
            (answer.status, body)
        };
        for path in ["", "/accounts", "/connections", "/events", "/handles", "/targets", "/revisions/active"] {
            let foreign = masked(api.get(&format!("/tenants/acme{path}")).await);
            let missing = masked(api.get(&format!("/tenants/nobody{path}")).await);
            assert_eq!(foreign, missing, "{path}");
        }
        let anybody = Client::new(server.url(), Some("rc_wrong".to_owned()));
        let known = masked(anybody.get(&format!("/scim/{}/v2/Users", entra.id)).await);
        let unknown = masked(anybody.get("/scim/00000000000000000000000000000000/v2/Users").await);
        assert_eq!(known, unknown);
        let connections = acme.api.get("/connections").await.expect(200);
        assert_eq!(connections["connections"][0]["wrong_credentials"], 1, "counted against the right connection: {connections}");
        server.stop().await;
    }

    /// What the OpenAPI document lists is what the router serves.
    async fn the_document_and_the_router_agree(database: Database) {
        let server = Server::start(&database).await;
        let document = Client::new(server.url(), None).get("/api/openapi.json").await.expect(200);
        let listed_ones = || route_list().into_iter().filter(|route| !route.is_page());
        for route in listed_ones() {
            let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], route.operation, "{}", name(&route));
        }
        let listed: usize = document["paths"].as_object().expect("paths").values().map(|item| {
            item.as_object().map_or(0, |item| item.keys().filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str())).count())
        }).sum();
        assert_eq!(listed, listed_ones().count());
        server.stop().await;
    }
}
