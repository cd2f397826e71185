//! Pages by cursor (RFC 9865): whole walks while others write, and cursors that are no one's.

use std::collections::{BTreeSet, HashSet};

use rolecall_tests::cases::escaped;
use rolecall_tests::tenant::{search, text, user};
use rolecall_tests::{Connection, Database, Server, on_both_databases};
use serde_json::{Value, json};

/// People of a walk; `make soak` takes more.
const PEOPLE: usize = 2_000;
const PEOPLE_IN_SOAK: usize = 20_000;

fn ids(page: &Value) -> Vec<String> {
    page["Resources"].as_array().unwrap_or_else(|| panic!("no resources: {page}")).iter().map(|one| text(&one["id"])).collect()
}

/// The pages of a walk from the first one to the last one.
async fn walk(entra: &Connection, query: &str) -> Vec<Value> {
    let mut pages = vec![entra.scim.get(&format!("{query}cursor=")).await.expect(200)];
    while let Some(next) = pages.last().and_then(|page| page["nextCursor"].as_str()) {
        pages.push(entra.scim.get(&format!("{query}cursor={next}")).await.expect(200));
    }
    pages
}

on_both_databases! {
    /// There and back again, of users, of groups and of both, in every order.
    async fn a_walk_meets_everybody_once(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people: BTreeSet<String> = entra.crowd("p", 23).await.into_iter().collect();
        let group = entra.group("Engineering", &[]).await;
        let everything: BTreeSet<String> = people.iter().cloned().chain([group.clone()]).collect();
        for (place, expected) in [("/Users?", &people), ("/Groups?", &BTreeSet::from([group.clone()])), ("?", &everything)] {
            for order in ["", "sortBy=displayName&", "sortBy=title&sortOrder=descending&", "sortBy=meta.created&", "sortBy=id&sortOrder=descending&"] {
                if place.starts_with("/Groups") && order.contains("title") {
                    continue;
                }
                let query = format!("{place}{order}count=5&");
                let pages = walk(&entra, &query).await;
                let seen: Vec<String> = pages.iter().flat_map(ids).collect();
                assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), *expected, "{query}");
                assert_eq!(seen.len(), expected.len(), "nobody twice: {query}");
                assert!(pages[..pages.len() - 1].iter().all(|page| page["itemsPerPage"] == 5 && page["totalResults"] == expected.len()), "{query}");
                assert!(pages.iter().all(|page| page.get("startIndex").is_none()), "{query}");
                let whole = entra.scim.get(&format!("{place}{order}count=100")).await.expect(200);
                assert_eq!(seen, ids(&whole), "the order of pages by number: {query}");
                // Back, page by page.
                let mut page = pages[pages.len() - 1].clone();
                for earlier in pages.iter().rev().skip(1) {
                    let previous = text(&page["previousCursor"]);
                    page = entra.scim.get(&format!("{query}cursor={previous}")).await.expect(200);
                    assert_eq!(ids(&page), ids(earlier), "{query}");
                }
                assert!(page.get("previousCursor").is_none(), "nothing is before the first page: {query}");
            }
        }
        assert!(entra.scim.get("/Users?cursor&count=5").await.expect(200)["nextCursor"].is_string(), "as the RFC's example has it");
        // By POST it is the same walk, and a filter that columns can't tell makes no difference.
        let filter = "title eq \"t3\" and nickName eq null";
        let first = entra.scim.post("/Users/.search", search(json!({"filter": filter, "cursor": "", "count": 2}))).await.expect(200);
        let next = search(json!({"filter": filter, "cursor": first["nextCursor"], "count": 2}));
        let second = entra.scim.post("/Users/.search", next).await.expect(200);
        let whole = entra.scim.get(&format!("/Users?filter={}", escaped(filter))).await.expect(200);
        assert_eq!([ids(&first), ids(&second)].concat(), ids(&whole)[..4.min(ids(&whole).len())]);
        server.stop().await;
    }

    /// While people are deleted and created, a walk misses nobody who stays and meets nobody twice.
    async fn a_walk_is_whole_while_others_write(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let count = if std::env::var_os("ROLECALL_TEST_SOAK").is_some() { PEOPLE_IN_SOAK } else { PEOPLE };
        let mut left: HashSet<String> = entra.crowd("p", count).await.into_iter().collect();
        let mut queries = vec!["/Users?", "/Users?sortBy=userName&sortOrder=descending&"];
        // What no column orders is looked at whole, which is bounded at fewer people than a soak has.
        if count == PEOPLE {
            queries.push("?sortBy=title&");
        }
        for (number, query) in queries.into_iter().enumerate() {
            let page = count / 20;
            let mut seen: Vec<String> = Vec::new();
            let mut answer = entra.scim.get(&format!("{query}count={page}&cursor=")).await.expect(200);
            let mut step = 0;
            loop {
                seen.extend(ids(&answer));
                let Some(next) = answer["nextCursor"].as_str().map(str::to_owned) else { break };
                // Who was just seen last (the place of the cursor), one who was seen, one who is still to come; and newcomers anywhere.
                let met: HashSet<&String> = seen.iter().collect();
                let ahead = left.iter().find(|id| !met.contains(id)).cloned();
                let behind = seen.iter().rev().take(2).cloned().collect::<Vec<_>>();
                let others = async {
                    for id in behind.iter().chain(&ahead) {
                        entra.scim.delete(&format!("/Users/{id}")).await.expect_one_of(&[204, 404]);
                    }
                    for letter in ["a", "p", "z"] {
                        let name = format!("{letter}-new-{number}-{step}@acme.example");
                        entra.scim.post("/Users", user(&name, json!({"title": "t3"}))).await.expect(201);
                    }
                };
                let path = format!("{query}count={page}&cursor={next}");
                let (read, ()) = tokio::join!(entra.scim.get(&path), others);
                answer = read.expect(200);
                for id in behind.iter().chain(&ahead) {
                    left.remove(id);
                }
                step += 1;
            }
            let met: HashSet<String> = seen.iter().cloned().collect();
            assert_eq!(met.len(), seen.len(), "somebody was met twice: {query}");
            let missed: Vec<&String> = left.iter().filter(|id| !met.contains(*id)).collect();
            assert!(missed.is_empty(), "{} of {} were missed: {query}", missed.len(), left.len());
            assert!(step >= 19, "the walk was over at once: {query}");
        }
        server.stop().await;
    }

    /// A cursor is good for one question, on one connection, for a while, and tells nothing.
    async fn a_cursor_is_good_for_its_own_question_alone(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let other = acme.connection(&server, "Okta").await;
        entra.crowd("secret-name", 5).await;
        other.crowd("p", 5).await;
        let query = "/Users?sortBy=userName&count=2&";
        let first = entra.scim.get(&format!("{query}cursor=")).await.expect(200);
        let cursor = text(&first["nextCursor"]);
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)), "unreserved characters: {cursor}");
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&cursor).expect("base64");
        assert!(!String::from_utf8_lossy(&bytes).contains("secret-name"), "names don't travel in URLs");
        let again = entra.scim.get(&format!("{query}cursor={cursor}")).await.expect(200);
        assert_eq!(ids(&again), ids(&entra.scim.get(&format!("{query}cursor={cursor}")).await.expect(200)), "as often as one likes");
        // Another size of page and other attributes are the same question.
        assert_eq!(ids(&entra.scim.get(&format!("/Users?sortBy=USERNAME&count=1&attributes=title&cursor={cursor}")).await.expect(200)), ids(&again)[..1]);
        let filter = escaped("active eq true");
        for strange in [
            format!("/Users?count=2&cursor={cursor}"),
            format!("/Users?sortBy=userName&sortOrder=descending&cursor={cursor}"),
            format!("/Users?sortBy=userName&filter={filter}&cursor={cursor}"),
            format!("/?sortBy=userName&cursor={cursor}"),
            format!("{query}cursor={}", &cursor[1..]),
            format!("{query}cursor={cursor}A"),
            format!("{query}cursor={}", if cursor.ends_with('A') { "B" } else { "A" }),
            format!("{query}cursor=no-such-cursor"),
            format!("{query}cursor={}", "x".repeat(3_000)),
            format!("{query}cursor=%00"),
        ] {
            entra.scim.get(&strange).await.expect_scim_error(400, Some("invalidCursor"));
        }
        other.scim.get(&format!("{query}cursor={cursor}")).await.expect_scim_error(400, Some("invalidCursor"));
        for (strange, scim_type) in [
            (format!("/Users?cursor={cursor}&sortBy=userName&count=0"), "invalidCount"),
            (format!("/Users?cursor={cursor}&sortBy=userName&count=-1"), "invalidCount"),
            (format!("/Users?cursor={cursor}&sortBy=userName&count=many"), "invalidCount"),
            (format!("/Users?cursor={cursor}&sortBy=userName&startIndex=1"), "invalidValue"),
        ] {
            entra.scim.get(&strange).await.expect_scim_error(400, Some(scim_type));
        }
        let config = entra.scim.get("/ServiceProviderConfig").await.expect(200);
        let pagination = &config["pagination"];
        assert_eq!((&pagination["cursor"], &pagination["index"], &pagination["defaultPaginationMethod"]), (&json!(true), &json!(true), &json!("index")));
        let timeout = pagination["cursorTimeout"].as_i64().expect("a lifetime");
        server.clock.advance_seconds(timeout - 60);
        entra.scim.get(&format!("{query}cursor={cursor}")).await.expect(200);
        server.clock.advance_seconds(120);
        entra.scim.get(&format!("{query}cursor={cursor}")).await.expect_scim_error(400, Some("expiredCursor"));
        server.stop().await;
    }
}
