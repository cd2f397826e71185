//! The protocol by itself: filters, and a GET against a handler that has its bytes in memory.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::routing::get;
use rolecall_scim::ResourceKind;
use rolecall_scim::filter::Filter;
use rolecall_scim::schema::Schemas;
use rolecall_tests::{Database, Kind, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::report::{ROUNDS, Report};
use crate::{load, plugins};

/// Requests under way at once.
const CONCURRENT: usize = 32;
/// Whom they ask for, in turn.
const PEOPLE: usize = 200;
/// Requests of one round.
const REQUESTS: usize = 3_200;

/// A simple filter, parsed and evaluated, against its evaluation alone.
pub fn filters(report: &mut Report) {
    let schemas = Schemas::default();
    let Value::Object(person) = plugins::small() else { unreachable!("a person is an object") };
    let text = r#"userName eq "mara.winter@acme.example""#;
    let filter = Filter::parse(&schemas, ResourceKind::User, text).expect("the filter is well formed");
    report.calls(
        "simple filter",
        ("parsed and evaluated", || {
            let filter = Filter::parse(&schemas, ResourceKind::User, text).expect("the filter is well formed");
            filter.matches(&schemas, ResourceKind::User, &person)
        }),
        ("evaluated", || filter.matches(&schemas, ResourceKind::User, &person)),
    );
}

/// Requests a second over loopback, [`CONCURRENT`] connections, each for the next of the addresses.
async fn rate(client: &reqwest::Client, urls: &Arc<[String]>, token: &str) -> f64 {
    let (client, urls, token) = (client.clone(), urls.clone(), token.to_owned());
    let request = move |number: usize| {
        let sent = client.get(urls.get(number % urls.len()).map_or("", String::as_str)).bearer_auth(&token).send();
        async move {
            let answer = sent.await.expect("the server answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("the body is whole");
        }
    };
    load::make(CONCURRENT, REQUESTS, request).await.1
}

/// GET of users by id against bytes of one of them from memory, both over sockets.
pub async fn get_by_id(report: &mut Report, kind: Kind) {
    let database = Database::create(kind).await;
    let server = Server::start(&database).await;
    let tenant = server.tenant("reads").create_empty().await;
    tenant.activate(&server, crate::provisioning::nothing()).await;
    let connection = tenant.connection(&server, "Directory").await;
    let mut paths = Vec::new();
    for number in 100..100 + PEOPLE {
        let name = format!("mara.winter.{number}@acme.example");
        let person = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "externalId": format!("H-{number}"),
            "displayName": "Mara Winter", "name": {"givenName": "Mara", "familyName": "Winter"}, "active": true,
            "emails": [{"value": name, "type": "work", "primary": true}],
        });
        let created = connection.scim.post("/Users", person).await.expect(201);
        paths.push(format!("/Users/{}", created["id"].as_str().unwrap_or_default()));
    }
    server.settle().await;
    let path = paths.first().cloned().unwrap_or_default();
    let bytes: Arc<[u8]> = connection.scim.get(&path).await.expect(200).to_string().into_bytes().into();
    let body = axum::body::Bytes::from_owner(bytes);
    let handler = get(move || {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/scim+json"), (ETAG, "W/\"1\"")], body) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("the listener has an address");
    let memory: Arc<[String]> = paths.iter().map(|path| format!("http://{address}{path}")).collect();
    let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let token = connection.scim.token.clone().unwrap_or_default();
    let stored: Arc<[String]> = paths.iter().map(|path| format!("{}{path}", connection.scim.base)).collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(rate(&client, &stored, &token).await);
        theirs.push(rate(&client, &memory, &token).await);
    }
    report.add(format!("GET by id, {kind}"), "requests a second", ("Rolecall", ours), ("the same bytes from memory", theirs));
    serving.abort();
    server.stop().await;
}
