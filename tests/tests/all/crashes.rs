//! kill -9 in the middle of load: after a restart every answered write is there, no half of one, and pending work is finished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rolecall_tests::process::Process;
use rolecall_tests::tenant::{patch, roles_in_effect, text, user};
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::json;
use tokio::task::JoinSet;

/// How often the server is killed; `make soak` kills more often.
const KILLS: usize = 20;
/// How many clients write at once.
const WRITERS: usize = 8;
/// How many writes are answered, at most, before the kill: varied, so that it falls into different moments.
const WRITES_BEFORE_KILL: usize = 24;
/// How long finishing what is pending may take after a restart.
const FINISH_LIMIT: Duration = Duration::from_secs(60);

/// What a client was told of one person.
#[derive(Clone, Debug, Default)]
struct Told {
    id: String,
    /// The last title that was acknowledged, and one that was sent and not answered.
    title: Option<String>,
    maybe_title: Option<String>,
    member: bool,
    inactive: bool,
    /// Whether a request about this person was cut off: then the state may be before or after it.
    cut_off: bool,
}

/// Creates people, puts them into the group, retitles some, deactivates some; notes what was acknowledged.
async fn write_until_cut_off(
    entra: Connection,
    group: String,
    prefix: String,
    written: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::new();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("{prefix}-{number}@acme.example");
        let body = user(&name, json!({"title": "first"})).to_string().into_bytes();
        let Ok(answer) = entra.scim.try_send("POST", "/Users", &[], Some(body)).await else { break };
        if !answer.status.is_success() {
            break;
        }
        written.fetch_add(1, Ordering::SeqCst);
        let id = text(&answer.json()["id"]);
        told.insert(name.clone(), Told { id: id.clone(), title: Some("first".into()), ..Told::default() });
        let person = told.get_mut(&name).expect("it was just inserted");
        let send = async |path: String, operations: serde_json::Value| {
            let body = patch(operations).to_string().into_bytes();
            let done = entra.scim.try_send("PATCH", &path, &[], Some(body)).await.is_ok_and(|answer| answer.status.is_success());
            if done {
                written.fetch_add(1, Ordering::SeqCst);
            }
            done
        };
        if !send(format!("/Groups/{group}"), json!([{"op": "add", "path": "members", "value": [{"value": id}]}])).await {
            person.cut_off = true;
            break;
        }
        person.member = true;
        if number % 3 == 1 {
            if !send(format!("/Users/{id}"), json!([{"op": "replace", "path": "title", "value": "second"}])).await {
                (person.maybe_title, person.cut_off) = (Some("second".into()), true);
                break;
            }
            person.title = Some("second".into());
        }
        if number % 3 == 2 {
            if !send(format!("/Users/{id}"), json!([{"op": "replace", "path": "active", "value": false}])).await {
                person.cut_off = true;
                break;
            }
            person.inactive = true;
        }
    }
    told
}

/// Everything that was acknowledged is there, and what is there is whole.
async fn expect_all_there(acme: &Tenant, entra: &Connection, group: &str, told: &BTreeMap<String, Told>) {
    let read = entra.scim.get(&format!("/Groups/{group}")).await.expect(200);
    let members: BTreeSet<String> = read["members"].as_array().into_iter().flatten().map(|member| text(&member["value"])).collect();
    for (name, person) in told {
        let read = entra.scim.get(&format!("/Users/{}", person.id)).await.expect(200);
        let title = read["title"].as_str().map(str::to_owned);
        assert!(title == person.title || title == person.maybe_title, "{name}: {read}, told {person:?}");
        assert!(!person.member || members.contains(&person.id), "{name} is not a member, told {person:?}");
        assert!(!person.inactive || read["active"] == false, "{name}: {read}, told {person:?}");
        let account = acme.account(name).await;
        assert_eq!(account["pending"], false, "{account}");
        assert_eq!(account["source"]["id"], person.id, "the link is there: {account}");
        let roles = roles_in_effect(&account);
        let developer = members.contains(&person.id) && read["active"] == true;
        assert_eq!(roles, if developer { BTreeSet::from(["developer".to_owned()]) } else { BTreeSet::new() }, "{account}, told {person:?}");
    }
    // What was not answered may be there, but then whole: a person and an account that belong together.
    let accounts = acme.accounts().await;
    for account in accounts.values() {
        let id = text(&account["source"]["id"]);
        let read = entra.scim.get(&format!("/Users/{id}")).await.expect(200);
        assert_eq!(read["userName"], account["user_name"], "half of a write: {account}");
    }
    let total = entra.scim.get("/Users?count=1").await.expect(200)["totalResults"].as_u64();
    assert_eq!(total, u64::try_from(accounts.len()).ok(), "as many people as accounts");
}

async fn until_nothing_is_pending(acme: &Tenant) {
    let finished = async {
        while acme.api.get("").await.expect(200)["pending"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FINISH_LIMIT, finished).await.expect("pending evaluations finish after a restart");
}

on_both_databases! {
    /// Load, kill, restart, compare; many times over, on the same growing data.
    async fn no_answered_write_is_lost(database: Database) {
        let kills = if std::env::var_os("ROLECALL_TEST_SOAK").is_some() { 10 * KILLS } else { KILLS };
        // The scene is set in this process; the server that is killed is the real one.
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let group = entra.group("Engineering", &[]).await;
        let operator = server.operator.clone();
        server.stop().await;
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        let mut kills_under_load = 0;
        for round in 0..kills {
            let process = Process::serve(&database).await;
            let (acme, entra) = (acme.at(&operator, &process.url), entra.at(&process.url));
            until_nothing_is_pending(&acme).await;
            expect_all_there(&acme, &entra, &group, &told).await;
            told.clear();
            let (written, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                let prefix = format!("r{round}w{writer}");
                writers.spawn(write_until_cut_off(entra.clone(), group.clone(), prefix, Arc::clone(&written), Arc::clone(&stop)));
            }
            let wanted = 1 + (round * 7) % WRITES_BEFORE_KILL;
            let enough = async {
                while written.load(Ordering::SeqCst) < wanted {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(FINISH_LIMIT, enough).await.expect("writes are answered");
            process.kill().await;
            stop.store(true, Ordering::SeqCst);
            for part in writers.join_all().await {
                kills_under_load += usize::from(part.values().any(|person| person.cut_off));
                told.extend(part);
            }
        }
        assert!(kills_under_load > 0, "no kill fell into a request: the test showed nothing");
        let process = Process::serve(&database).await;
        let (acme, entra) = (acme.at(&operator, &process.url), entra.at(&process.url));
        until_nothing_is_pending(&acme).await;
        expect_all_there(&acme, &entra, &group, &told).await;
        process.terminate().await;
    }

    /// SIGTERM drains: requests that were taken are answered, and the process ends well.
    async fn a_shutdown_answers_what_it_has_taken(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let operator = server.operator.clone();
        server.stop().await;
        let process = Process::serve(&database).await;
        let (here, there) = (entra.at(&process.url), acme.at(&operator, &process.url));
        here.create("ada@acme.example").await;
        there.account("ada@acme.example").await;
        let log = process.terminate().await;
        assert!(log.iter().any(|line| line.contains("stopped")), "{log:?}");
        let again = Process::serve(&database).await;
        acme.at(&operator, &again.url).account("ada@acme.example").await;
        again.terminate().await;
    }
}
