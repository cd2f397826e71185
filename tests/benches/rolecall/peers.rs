//! Other SCIM servers on the same work, beside Rolecall: `scripts/bench-peers` starts them and says where they are.

use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Client, Database, Kind, Server};
use serde_json::json;

use crate::load;
use crate::report::Report;

/// Requests under way at once.
const CONCURRENT: usize = 16;
/// Requests of each kind in a round.
const REQUESTS: usize = 320;
/// How many rounds each server has: others than ours are slow in some of them.
const ROUNDS: usize = 5;

/// A server to be measured.
struct Peer {
    name: &'static str,
    client: Client,
    /// Requests a second, for each kind of request.
    rates: [Vec<f64>; 3],
}

const KINDS: [&str; 3] = ["create", "GET by id", "userName eq"];

impl Peer {
    fn new(name: &'static str, client: Client) -> Self {
        Self { name, client, rates: Default::default() }
    }

    async fn round(&mut self, round: usize) {
        let name = move |number: usize| format!("person-{round}-{number}@peers.example");
        let client = self.client.clone();
        let create = move |number| {
            let client = client.clone();
            async move {
                let emails = json!([{"value": name(number), "type": "work"}]);
                let body = user(&name(number), json!({"displayName": "Person", "active": true, "emails": emails}));
                text(&client.post("/Users", body).await.expect(201)["id"])
            }
        };
        let (ids, creates) = load::make(CONCURRENT, REQUESTS, create).await;
        let client = self.client.clone();
        let read = move |number: usize| {
            let (client, path) = (client.clone(), format!("/Users/{}", ids[number]));
            async move { drop(client.get(&path).await.expect(200)) }
        };
        let reads = load::make(CONCURRENT, REQUESTS, read).await.1;
        let client = self.client.clone();
        let find = move |number| {
            let client = client.clone();
            async move {
                let found = client.get(&format!("/Users?filter=userName%20eq%20%22{}%22", name(number))).await.expect(200);
                assert_eq!(found["totalResults"], 1, "{found}");
            }
        };
        let finds = load::make(CONCURRENT, REQUESTS, find).await.1;
        for (rates, rate) in self.rates.iter_mut().zip([creates, reads, finds]) {
            rates.push(rate);
        }
    }
}

/// Measures Rolecall beside the servers that are named in the environment.
pub async fn measure(report: &mut Report) {
    let Ok(named) = std::env::var("ROLECALL_BENCH_PEERS") else { return };
    let token = std::env::var("ROLECALL_BENCH_PEERS_TOKEN").unwrap_or_default();
    let database = Database::create(Kind::Sqlite).await;
    let server = Server::start_working(&database).await;
    let tenant = server.tenant("peers").create_empty().await;
    tenant.activate(&server, crate::provisioning::nothing()).await;
    let mut ours = Peer::new("Rolecall", tenant.connection(&server, "Directory").await.scim);
    let mut others = Vec::new();
    for (name, base) in named.split(' ').filter_map(|peer| peer.split_once('=')) {
        // A name lives as long as the process, like those in the code.
        others.push(Peer::new(String::from(name).leak(), Client::scim(base, token.clone())));
    }
    for round in 0..ROUNDS {
        ours.round(round).await;
        for other in &mut others {
            other.round(round).await;
        }
    }
    for other in others {
        for (index, kind) in KINDS.iter().enumerate() {
            let (mine, theirs) = (ours.rates[index].clone(), other.rates[index].clone());
            report.add(format!("{kind}, beside {}", other.name), "requests a second", (ours.name, mine), (other.name, theirs));
        }
    }
    server.stop().await;
}
