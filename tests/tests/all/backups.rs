//! Backups and restores: a busy server is backed up, what is restored waits, and nothing that does not fit changes anything.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rolecall_tests::browser::Browser;
use rolecall_tests::process::{self, Process};
use rolecall_tests::tenant::text;
use rolecall_tests::{Connection, Database, Kind, Server, Tenant, database, on_both_databases};
use serde_json::{Value, json};

/// The most people who are written meanwhile: they fit into one page.
const BUSY_LIMIT: usize = 400;

/// Backs up or restores a database, with its folder as the data directory.
async fn rolecall(database: &Database, arguments: &[&str]) -> (bool, String, String) {
    let folder = database.folder().display().to_string();
    process::run(arguments, &[("ROLECALL_DATABASE_URL", &database.url), ("ROLECALL_DATA_DIR", &folder)]).await
}

/// The same, which has to succeed; its answer in JSON.
async fn done(database: &Database, arguments: &[&str]) -> Value {
    let (done, said, error) = rolecall(database, &[arguments, &["--json"]].concat()).await;
    assert!(done, "{arguments:?}: {said}{error}");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{arguments:?} gives no JSON: {said}{error}"))
}

/// The same, which has to fail for this reason.
async fn refused(database: &Database, arguments: &[&str], why: &str) {
    let (done, said, error) = rolecall(database, arguments).await;
    assert!(!done && error.contains(why), "{arguments:?}: {said}{error}");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn developer() -> BTreeSet<String> {
    BTreeSet::from(["developer".to_owned()])
}

/// A server with Ada and Bob, who are developers.
async fn with_two_developers(database: &Database) -> (Server, Tenant, Connection, [String; 3]) {
    let server = Server::start(database).await;
    let acme = server.tenant("acme").create().await;
    let entra = acme.connection(&server, "Entra ID").await;
    let (ada, bob) = (entra.create("ada@acme.example").await, entra.create("bob@acme.example").await);
    let engineering = entra.group("Engineering", &[&ada, &bob]).await;
    server.settle().await;
    assert_eq!(acme.roles("bob@acme.example").await, developer());
    (server, acme, entra, [ada, bob, engineering])
}

/// What waits since a restore: seen in the listing, in health and in what is told.
async fn expect_waiting(server: &Server, acme: &Tenant, entra: &Connection) {
    let listed = acme.api.get("/connections").await.expect(200)["connections"][0].clone();
    assert_eq!((&listed["state"], &listed["restored"]["was"]), (&json!("restored"), &json!("active")), "{listed}");
    let health = acme.api.get(&format!("/connections/{}/health", entra.id)).await.expect(200);
    assert_eq!((&health["state"], &health["evidence"][0]["rule"]), (&json!("restored"), &json!("restored")), "{health}");
    let events = acme.events(server).await;
    for kind in ["tenant.restored", "connection.restored"] {
        assert_eq!(events.iter().filter(|event| event["kind"] == kind).count(), 1, "{kind}");
    }
    for action in ["resume", "pause"] {
        acme.api.post(&format!("/connections/{}/{action}", entra.id), json!({})).await.expect(409);
    }
}

/// What does not fit is refused for its reason; afterwards the right key is in its place.
async fn nothing_that_does_not_fit_is_restored(empty: &Database, file: &str, key: Vec<u8>) {
    refused(empty, &["restore", file], "master.key").await;
    std::fs::write(empty.folder().join("master.key"), "00".repeat(32)).expect("a key");
    refused(empty, &["restore", file], "needs the master key with fingerprint").await;
    std::fs::write(empty.folder().join("master.key"), key).expect("a key");
    let altered = format!("{file}.altered");
    let mut bytes = std::fs::read(file).expect("the backup");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&altered, &bytes).expect("a file");
    refused(empty, &["restore", &altered], "altered or cut off").await;
    std::fs::write(&altered, &bytes[..last]).expect("a file");
    refused(empty, &["restore", &altered], "altered or cut off").await;
    refused(empty, &["backup", "--check", &altered], "altered or cut off").await;
}

/// Eve comes and Bob leaves: the one waits, the other is out.
async fn gains_wait_and_removals_do_not(server: &Server, acme: &Tenant, entra: &Connection, (bob, engineering): (&str, &str)) -> String {
    let eve = entra.create("eve@acme.example").await;
    entra.add(engineering, &eve).await;
    entra.deactivate(bob).await;
    server.settle().await;
    let account = acme.account("eve@acme.example").await;
    assert_eq!(
        (&account["state"], &account["note"]["code"], &account["grants"]),
        (&json!("held"), &json!("restored"), &json!([])),
        "{account}"
    );
    assert_eq!((acme.state("bob@acme.example").await, acme.roles("bob@acme.example").await), ("suspended".into(), BTreeSet::new()));
    eve
}

async fn a_release_says_why_and_decides_what_waited(server: &Server, acme: &Tenant, entra: &Connection) {
    let release = format!("/connections/{}/release", entra.id);
    acme.api.post(&release, json!({"reason": " "})).await.expect(422);
    acme.api.post(&release, json!({"reason": "compared with HR's list"})).await.expect(204);
    acme.api.post(&release, json!({"reason": "again"})).await.expect(409);
    acme.api.get(&format!("/connections/{}/restored", entra.id)).await.expect(409);
    server.settle().await;
    assert_eq!(acme.roles("eve@acme.example").await, developer());
    assert_eq!(acme.roles("bob@acme.example").await, BTreeSet::new(), "nobody comes back");
    let events = acme.events(server).await;
    let released = events.iter().find(|event| event["kind"] == "connection.released").expect("it is told");
    assert_eq!(released["data"]["reason"], "compared with HR's list", "{released}");
}

/// Runs a restore, once the sessions of a server that has stopped have ended: PostgreSQL takes its time.
async fn restore_after_a_stop(database: &Database, arguments: &[&str]) -> (bool, String, String) {
    loop {
        let said = rolecall(database, arguments).await;
        if !said.2.contains("sessions of servers") {
            return said;
        }
    }
}

/// A key that was made anew would open nothing of the database that is there. What is in a PostgreSQL database is known only once it was opened.
#[tokio::test]
async fn no_new_key_is_made_beside_a_sqlite_database() {
    database::with(Kind::Sqlite, async |database: Database| {
        Process::serve(&database).await.kill().await;
        let key = database.folder().join("master.key");
        std::fs::remove_file(&key).expect("the master key");
        let ended = process::serve_command(&database).stderr(Stdio::piped()).output().await.expect("the server can be started");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("put back the key"), "{said}");
        assert!(!key.exists(), "{said}");
    })
    .await;
}

/// Whoever copies the file of a server that was stopped has everything.
#[tokio::test]
async fn a_clean_stop_leaves_everything_in_the_one_file() {
    database::with(Kind::Sqlite, async |database: Database| {
        let (server, ..) = with_two_developers(&database).await;
        server.stop().await;
        let log = database.file().with_extension("db-wal");
        assert!(log.metadata().map_or(true, |log| log.len() == 0), "{log:?} holds something");
    })
    .await;
}

/// Whatever is forced: a slip of the hand costs neither the database nor its key.
#[tokio::test]
async fn a_backup_never_takes_the_place_of_what_it_is_made_of() {
    database::with(Kind::Sqlite, async |database: Database| {
        Process::serve(&database).await.kill().await;
        let key = std::fs::read(database.folder().join("master.key")).expect("the master key");
        let linked = database.folder().join("linked.backup");
        std::os::unix::fs::symlink(database.file(), &linked).expect("a link");
        for (name, why) in [
            ("rolecall.db", "the database's own file"),
            ("rolecall.db-wal", "the database's own file"),
            ("linked.backup", "the database's own file"),
            ("master.key", "the master key"),
        ] {
            refused(&database, &["backup", "--force", &database.folder().join(name).display().to_string()], why).await;
        }
        assert_eq!(std::fs::read(database.folder().join("master.key")).expect("the master key"), key);
        let made = database.folder().join("made.backup").display().to_string();
        done(&database, &["backup", &made]).await;
        done(&database, &["backup", "--force", &made]).await;
    })
    .await;
}

on_both_databases! {
    /// A server is backed up while it writes; the backup goes into an empty database; whoever left since is looked at before anybody gains.
    async fn a_busy_server_is_backed_up_and_what_is_restored_waits(database: Database) {
        let (server, _, entra, [ada, bob, engineering]) = with_two_developers(&database).await;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writing = {
            let (entra, stop, written) = (entra.clone(), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) && written.load(Ordering::SeqCst) < BUSY_LIMIT {
                    entra.create(&format!("busy-{}@acme.example", written.fetch_add(1, Ordering::SeqCst))).await;
                }
            })
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.backup").display().to_string();
        let before = written.load(Ordering::SeqCst);
        let backed_up = done(&database, &["backup", &file]).await;
        assert!(written.load(Ordering::SeqCst) > before + 1, "the server wrote meanwhile");
        stop.store(true, Ordering::SeqCst);
        writing.await.expect("nobody was refused");
        let manifest = &backed_up["manifest"];
        assert_eq!((&backed_up["master_key_included"], &manifest["counts"]["tenants"]), (&json!(false), &json!(1)), "{backed_up}");
        assert_eq!(manifest["counts"]["groups"], 1, "{backed_up}");
        let people = manifest["counts"]["people"].as_u64().unwrap_or_default();
        assert!(people >= 2, "{backed_up}");
        assert_eq!(names(folder.path()), BTreeSet::from(["acme.backup".to_owned()]), "nothing half made");
        refused(&database, &["backup", &file], "is there already").await;
        let checked = done(&database, &["backup", "--check", &file]).await;
        assert_eq!((&checked["manifest"], &checked["master_key_is_here"]), (manifest, &json!(true)), "{checked}");

        // After the backup: Bob leaves, and somebody is known whom the backup has never heard of.
        entra.deactivate(&bob).await;
        server.stop().await;

        let key = std::fs::read(database.folder().join("master.key")).expect("the master key");
        database::with(database.kind, async move |empty: Database| {
            nothing_that_does_not_fit_is_restored(&empty, &file, key).await;
            let restored = done(&empty, &["restore", &file]).await;
            assert_eq!(restored["manifest"]["counts"]["people"], people, "{restored}");
            assert!(names(empty.folder()).iter().all(|name| !name.ends_with(".partial")), "nothing half made");
            refused(&empty, &["restore", &file], "").await;

            let server = Server::start(&empty).await;
            let (acme, entra) = (server.existing("acme"), entra.at(&server.url()));
            expect_waiting(&server, &acme, &entra).await;
            assert_eq!(acme.accounts().await.len() as u64, people, "the same people");
            assert_eq!(acme.roles("ada@acme.example").await, developer());
            assert_eq!(acme.roles("bob@acme.example").await, developer(), "as it was then");
            let verified = acme.api.post("/history/verify", json!({})).await.expect(200);
            assert_eq!((&verified["found"], &verified["unsealed"]), (&json!(0), &json!(0)), "{verified}");
            let path = format!("/connections/{}/restored", entra.id);
            let untouched = acme.api.get(&path).await.expect(200);
            assert_eq!(untouched["untouched"].as_array().map(Vec::len).unwrap_or_default() as u64, people, "{untouched}");

            let eve = gains_wait_and_removals_do_not(&server, &acme, &entra, (&bob, &engineering)).await;
            let untouched = acme.api.get(&path).await.expect(200)["untouched"].to_string();
            assert!(untouched.contains(&ada) && !untouched.contains(&bob) && !untouched.contains(&eve), "{untouched}");
            a_release_says_why_and_decides_what_waited(&server, &acme, &entra).await;
            let verified = acme.api.post("/history/verify", json!({})).await.expect(200);
            assert_eq!(verified["found"], 0, "{verified}");
            server.stop().await;
        })
        .await;
    }

    /// People who went with their connection have left as well, and everybody is named by the login name.
    async fn whoever_went_with_a_connection_has_left(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = entra.create_with("ada@acme.example", json!({"displayName": "Lovelace, A."})).await;
        okta.create_with("kim@acme.example", json!({"displayName": "K. K."})).await;
        server.settle().await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.backup").display().to_string();
        done(&database, &["backup", &file]).await;
        entra.deactivate(&ada).await;
        acme.api.delete(&format!("/connections/{}", okta.id)).await.expect(204);
        server.settle().await;
        server.stop().await;
        let said = restore_after_a_stop(&database, &["restore", &file, "--replace", "--yes"]).await;
        assert!(said.0 && said.1.contains("2 people who have left since the backup"), "{said:?}");
        assert!(["ada@acme.example", "kim@acme.example"].iter().all(|name| said.1.contains(name)), "{said:?}");
    }

    /// What stands is replaced when that is said, all of it or nothing; what was on its way to a target waits, but for departures.
    async fn what_stands_is_replaced_when_it_is_said(database: Database) {
        let (server, acme, entra, [ada, bob, _]) = with_two_developers(&database).await;
        acme.api.put("/targets/hook", json!({"url": "http://127.0.0.1:9/"})).await.expect_one_of(&[200, 201]);
        entra.set(&ada, "title", json!("director")).await;
        entra.deactivate(&bob).await;
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        auditor.get("/workspace/t/acme").await.expect(&["Today"]);
        let link = server.operator.post("/workspace/links", json!({"tenant": "acme"})).await.expect(201);
        let link = text(&link["url"]).strip_prefix(&server.url()).expect("the server's own").to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.backup").display().to_string();
        done(&database, &["backup", &file]).await;
        assert_eq!(auditor.post("/workspace/sign-out", &[]).await.status, 303);
        entra.create("late@acme.example").await;
        entra.deactivate(&ada).await;
        refused(&database, &["restore", &file, "--replace", "--yes"], if database.kind == Kind::Sqlite { "stop the server" } else { "stop the servers" }).await;
        server.stop().await;
        let said = restore_after_a_stop(&database, &["restore", &file]).await;
        assert!(!said.0 && said.2.contains("the database is not empty"), "{said:?}");
        let server = Server::start(&database).await;
        assert_eq!(server.existing("acme").accounts().await.len(), 3, "what stood stands");
        server.stop().await;
        let said = restore_after_a_stop(&database, &["restore", &file, "--replace", "--yes", "--revoke-tokens"]).await;
        assert!(said.0 && said.1.contains("What is left to do") && said.1.contains("Gains wait"), "{said:?}");
        assert!(said.1.contains("1 people who have left since the backup") && said.1.contains("ada@acme.example"), "{said:?}");
        let server = Server::start(&database).await;
        let acme = server.existing("acme");
        assert_eq!(acme.accounts().await.len(), 2, "what came since is gone");
        assert_eq!(auditor.at(&server).get("/workspace/t/acme").await.status, 303, "nobody is signed in after a restore");
        assert_eq!(Browser::stranger(&server).post(&link, &[]).await.status, 404, "no link is good");
        assert_eq!(server.app().store.count_operator_tokens(server.app().clock.now()).await.expect("a number"), 1, "only the token that was just made");
        let waiting = acme.api.get("/connections").await.expect(200);
        assert_eq!(waiting["connections"][0]["state"], "restored", "{waiting}");
        while server.app().store.number_events().await.expect("events are numbered") > 0 {}
        let room = rolecall::store::DeliveryRoom::of(32);
        let due = server.app().store.claim_deliveries(server.app().clock.now(), server.app().clock.now(), &room).await.expect("deliveries");
        let lanes: BTreeSet<String> = due.iter().filter_map(|due| due.event.account.as_ref()).map(|account| account.0.clone()).collect();
        assert_eq!(lanes, BTreeSet::from([text(&acme.account("bob@acme.example").await["id"])]), "departures are said again, and nothing else");
        server.stop().await;
    }
}
