//! Other SCIM servers on the same work, beside Rolecall: `scripts/bench-peers` starts them and says where they are.

use std::time::Instant;

use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Client, Database, Kind, Server};
use serde_json::json;
use tokio::task::JoinSet;

use crate::report::Report;

/// Requests under way at once.
const CONCURRENT: usize = 16;
/// Requests of each kind in a round.
const REQUESTS: usize = 320;
/// How many rounds each server has: others than ours are slow in some of them.
const ROUNDS: usize = 5;

/// A server to be measured, with what it answered so far.
struct Peer {
    name: &'static str,
    client: Client,
    ids: Vec<String>,
    /// Requests a second, for each kind of request.
    rates: [Vec<f64>; 3],
}

const KINDS: [&str; 3] = ["create", "GET by id", "userName eq"];

impl Peer {
    fn new(name: &'static str, client: Client) -> Self {
        Self { name, client, ids: Vec::new(), rates: Default::default() }
    }

    async fn round(&mut self, round: usize) {
        let name = move |number: usize| format!("person-{round}-{number}@peers.example");
        let started = Instant::now();
        let created = self.each(move |client, number| async move {
            let body =
                user(&name(number), json!({"displayName": "Person", "active": true, "emails": [{"value": name(number), "type": "work"}]}));
            text(&client.post("/Users", body).await.expect(201)["id"])
        });
        self.ids = created.await;
        self.rates[0].push(rate(started));
        let (started, ids) = (Instant::now(), self.ids.clone());
        let read = self.each(move |client, number| {
            let path = format!("/Users/{}", ids[number]);
            async move { text(&client.get(&path).await.expect(200)["id"]) }
        });
        read.await;
        self.rates[1].push(rate(started));
        let started = Instant::now();
        let found = self.each(move |client, number| async move {
            let found = client.get(&format!("/Users?filter=userName%20eq%20%22{}%22", name(number))).await.expect(200);
            assert_eq!(found["totalResults"], 1, "{found}");
            String::new()
        });
        found.await;
        self.rates[2].push(rate(started));
    }

    /// What came of each request, by its number.
    async fn each<F>(&self, request: impl Fn(Client, usize) -> F + Clone + Send + 'static) -> Vec<String>
    where
        F: Future<Output = String> + Send,
    {
        let mut workers = JoinSet::new();
        for worker in 0..CONCURRENT {
            let (client, request) = (self.client.clone(), request.clone());
            workers.spawn(async move {
                let mut answers = Vec::new();
                for number in (worker..REQUESTS).step_by(CONCURRENT) {
                    answers.push((number, request(client.clone(), number).await));
                }
                answers
            });
        }
        let mut answers: Vec<(usize, String)> = workers.join_all().await.into_iter().flatten().collect();
        answers.sort_unstable();
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

fn rate(started: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
    let requests = REQUESTS as f64;
    requests / started.elapsed().as_secs_f64()
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
