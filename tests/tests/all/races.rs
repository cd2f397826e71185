//! Sixteen writers at once: every 2xx is in the end state, and some order of the requests explains it.

use std::collections::BTreeSet;

use rolecall::model::{ConnectionId, ResourceId};
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many write at once.
const WRITERS: usize = 16;
/// How often each writes.
const ROUNDS: usize = 4;

on_both_databases! {
    /// Each adds a telephone number of its own to one person: none is lost.
    async fn writers_at_one_user_lose_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (scim, path) = (entra.scim.clone(), format!("/Users/{ada}"));
            writers.spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..ROUNDS {
                    let number = format!("+1 555 01{writer:02}{round}");
                    let value = json!([{"value": number, "type": format!("w{writer}-{round}")}]);
                    let answer = scim.patch(&path, patch(json!([{"op": "add", "path": "phoneNumbers", "value": value}]))).await;
                    assert!([200, 412, 503].contains(&answer.status.as_u16()), "{answer:?}");
                    if answer.status.is_success() {
                        acknowledged.push(number);
                    }
                }
                acknowledged
            });
        }
        let acknowledged: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
        assert!(acknowledged.len() > WRITERS, "hardly anything was written: {acknowledged:?}");
        let read = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        let present: BTreeSet<String> =
            read["phoneNumbers"].as_array().expect("numbers").iter().map(|number| text(&number["value"])).collect();
        assert!(acknowledged.is_subset(&present), "lost: {:?}", acknowledged.difference(&present).collect::<Vec<_>>());
        server.stop().await;
    }

    /// Each adds and removes a member of its own at one group: the last answer of each writer stands.
    async fn writers_at_one_group_lose_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let group = entra.group("Engineering", &[]).await;
        let mut people = Vec::new();
        for writer in 0..WRITERS {
            people.push(entra.create(&format!("writer-{writer}@acme.example")).await);
        }
        let mut writers = JoinSet::new();
        for (writer, id) in people.iter().cloned().enumerate() {
            let (entra, group) = (entra.clone(), group.clone());
            writers.spawn(async move {
                // An odd number of changes for every other writer: half of them are members in the end.
                for round in 0..=(ROUNDS + writer % 2) {
                    if round % 2 == 0 { entra.add(&group, &id).await } else { entra.remove(&group, &id).await }
                }
                let is_member = (ROUNDS + writer % 2).is_multiple_of(2);
                (id, is_member)
            });
        }
        let expected: BTreeSet<String> = writers.join_all().await.into_iter().filter(|(_, is_member)| *is_member).map(|(id, _)| id).collect();
        assert_eq!(expected.len(), WRITERS / 2);
        let read = entra.scim.get(&format!("/Groups/{group}")).await.expect(200);
        let members: BTreeSet<String> = read["members"].as_array().expect("members").iter().map(|member| text(&member["value"])).collect();
        assert_eq!(members, expected);
        server.settle().await;
        let developers = acme.accounts().await.values().filter(|account| account["grants"][0]["role"] == "developer").count();
        assert_eq!(developers, WRITERS / 2, "roles follow the members");
        server.stop().await;
    }

    /// Reads of a connection share their way to the database, and whose token it is does for all connections: each answer is its asker's own, from after
    /// it asked.
    async fn readers_at_once_get_what_they_asked_for(database: Database) {
        let server = Server::start(&database).await;
        let mut readers = JoinSet::new();
        // Whom a connection doesn't know: first nobody does, then another tenant's does.
        let mut stranger = "nobody".to_owned();
        for tenant in ["acme", "globex"] {
            let directory = server.tenant(tenant).create().await.connection(&server, "Directory").await;
            let mut people = Vec::new();
            for number in 0..WRITERS {
                people.push(directory.create(&format!("reader-{number}@{tenant}.example")).await);
            }
            // The first are in a group, the very first in one that is in another.
            let first: Vec<&str> = people.iter().take(WRITERS / 2).map(String::as_str).collect();
            directory.group("Engineering", &first).await;
            let inner = directory.group("Leads", &first[..1]).await;
            directory.group("Everybody", &[&inner]).await;
            let unknown = std::mem::replace(&mut stranger, people[0].clone());
            for (number, id) in people.into_iter().enumerate() {
                let (scim, path, unknown) = (directory.scim.clone(), format!("/Users/{id}"), unknown.clone());
                readers.spawn(async move {
                    for round in 0..ROUNDS {
                        // What was written before somebody asks is in the answer, whoever came along.
                        let title = format!("title {number}-{round}");
                        let value = json!([{"op": "replace", "path": "title", "value": title}]);
                        scim.patch(&path, patch(value)).await.expect(200);
                        let read = scim.get(&path).await.expect(200);
                        assert_eq!((&read["id"], &read["title"]), (&json!(id), &json!(title)));
                        let groups: BTreeSet<String> =
                            read["groups"].as_array().into_iter().flatten().map(|group| text(&group["display"])).collect();
                        let expected: &[&str] = match number {
                            0 => &["Engineering", "Everybody", "Leads"],
                            1..8 => &["Engineering"],
                            _ => &[],
                        };
                        assert_eq!(groups, expected.iter().map(ToString::to_string).collect(), "{path}");
                        scim.get(&format!("/Users/{unknown}")).await.expect(404);
                        scim.with_token(Some(&format!("rc_{number:064}"))).get(&path).await.expect_one_of(&[401, 429]);
                    }
                });
            }
        }
        readers.join_all().await;
        server.stop().await;
    }

    /// Whole replacements race: the end state is one of them, whole, and none of the others' parts are in it.
    async fn replacements_do_not_mix(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (scim, path) = (entra.scim.clone(), format!("/Users/{ada}"));
            writers.spawn(async move {
                let body = user("ada@acme.example", json!({"title": format!("title {writer}"), "nickName": format!("nick {writer}")}));
                (writer, scim.put(&path, body).await.status.is_success())
            });
        }
        let done: BTreeSet<usize> = writers.join_all().await.into_iter().filter(|(_, done)| *done).map(|(writer, _)| writer).collect();
        let read = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        let last = done.iter().find(|writer| read["title"] == format!("title {writer}")).expect("one of those that were acknowledged");
        assert_eq!(read["nickName"], format!("nick {last}"));
        let account = acme.account("ada@acme.example").await;
        assert_eq!(account["profile"]["title"], format!("title {last}"), "the account was made of what stands");
        server.stop().await;
    }

    /// Sixteen create the same person: one succeeds, the others are told that the name is taken.
    async fn one_creation_wins(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let scim = entra.scim.clone();
            writers.spawn(async move { scim.post("/Users", user("ada@acme.example", json!({}))).await.status.as_u16() });
        }
        let mut statuses = writers.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [&[201][..], &[409; WRITERS - 1]].concat());
        assert_eq!(entra.scim.get("/Users").await.expect(200)["totalResults"], 1);
        assert_eq!(acme.accounts().await.len(), 1);
        server.stop().await;
    }

    /// A deactivation never loses a race: whatever is written beside it, it answers success and takes everything.
    async fn a_deactivation_never_loses_a_race(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let engineering = entra.group("Engineering", &[]).await;
        for round in 0..8 {
            let name = format!("leaver-{round}@acme.example");
            let id = entra.create(&name).await;
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                let (entra, id, engineering) = (entra.clone(), id.clone(), engineering.clone());
                writers.spawn(async move {
                    match writer {
                        7 => entra.deactivate(&id).await,
                        _ if writer % 2 == 0 => entra.add(&engineering, &id).await,
                        _ => {
                            let body = patch(json!([{"op": "replace", "path": "title", "value": format!("title {writer}")}]));
                            let status = entra.scim.patch(&format!("/Users/{id}"), body).await.status.as_u16();
                            assert!([200, 503].contains(&status), "{status}");
                        }
                    }
                });
            }
            writers.join_all().await;
            server.settle().await;
            let account = acme.account(&name).await;
            let history = acme.events(&server).await;
            let its: Vec<&Value> =
                history.iter().filter(|event| event["account"] == account["id"] || event["data"]["resource"] == id.as_str()).collect();
            assert_eq!((&account["state"], &account["grants"]), (&json!("suspended"), &json!([])), "{account}\n{its:#?}");
        }
        server.stop().await;
    }

    /// Each write of a person moves what a decision was read at, the first after the creation too: what was decided on somebody who was
    /// active comes too late when they have left meanwhile.
    async fn what_was_decided_before_a_departure_comes_too_late(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (connection, ids) = (ConnectionId::from(entra.id.as_str()), [ResourceId(entra.create("ada@acme.example").await)]);
        let version = async || {
            let people = server.app().store.people(&acme.id, &connection, &ids).await.expect("the store answers");
            people[0].evaluation.input_version
        };
        let mut before = version().await;
        let body = patch(json!([{"op": "replace", "path": "title", "value": "Head"}]));
        entra.deactivate(ids[0].as_str()).await;
        for write in ["deactivation", "reactivation", "change"] {
            let after = version().await;
            assert!(after > before, "{write}: {after} after {before}");
            before = after;
            match write {
                "deactivation" => entra.set(ids[0].as_str(), "active", json!(true)).await,
                _ => drop(entra.scim.patch(&format!("/Users/{}", ids[0]), body.clone()).await.expect(200)),
            }
        }
        server.stop().await;
    }

    /// Two connections write the same account name at once: one has it, the other is held, neither is refused.
    async fn racing_names_end_in_one_holder(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let mut connections = Vec::new();
        for index in 0..4 {
            connections.push(acme.connection(&server, &format!("connection {index}")).await);
        }
        let mut writers = JoinSet::new();
        for connection in &connections {
            let connection = connection.clone();
            writers.spawn(async move { connection.create("ada@acme.example").await });
        }
        writers.join_all().await;
        server.settle().await;
        for (state, expected) in [("active", 1), ("held", 3)] {
            let list = acme.api.get(&format!("/accounts?state={state}")).await.expect(200);
            assert_eq!(list["accounts"].as_array().map(Vec::len), Some(expected), "{state}: {list}");
        }
        server.stop().await;
    }
}
