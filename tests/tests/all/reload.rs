//! Tenants that are folders: a change is live a moment after it is written, what is broken leaves the last good revision in force, and a
//! folder goes through what an upload goes through.

use std::path::Path;

use rolecall::reload;
use rolecall::revision;
use rolecall_tests::receiver::{Delivery, Receiver};
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

const SETTINGS: &str = "name = \"Acme\"\n\n[[roles]]\nid = \"developer\"\nrisk = 1\n";

fn write(folder: &Path, settings: &str) {
    std::fs::create_dir_all(folder.join("policies")).expect("a folder can be made");
    std::fs::write(
        folder.join("policies/main.cedar"),
        rolecall_tests::tenant::POLICIES.replace("admin", "developer").replace("reader", "developer"),
    )
    .expect("a file can be written");
    std::fs::write(folder.join("tenant.toml"), settings).expect("a file can be written");
}

/// With the test's plugin, whose answer is in a person's title.
fn write_probe(folder: &Path) {
    std::fs::create_dir_all(folder.join("plugins")).expect("a folder can be made");
    std::fs::write(folder.join("plugins/probe.wasm"), rolecall_tests::probe::module()).expect("a file can be written");
    write(folder, &format!("{SETTINGS}\n[plugins.transform]\nfile = \"plugins/probe.wasm\"\n"));
}

fn hash(folder: &Path) -> String {
    revision::hash(&revision::read_folder(folder).expect("the folder is in order")).0
}

async fn activations(tenant: &Tenant) -> Vec<Value> {
    tenant.api.get("/activations").await.expect(200)["activations"].as_array().expect("a list").clone()
}

fn tells(came: &[Delivery], kind: &str, revision: &str) -> bool {
    came.iter().any(|delivery| delivery.json()["type"] == kind && delivery.json()["data"]["data"]["revision"] == revision)
}

on_both_databases! {
    /// Changes are found while the server runs; a broken one is left out, and what comes after it counts.
    async fn a_change_is_live_and_a_broken_one_changes_nothing(database: Database) {
        let tenants = database.folder().join("tenants");
        let folder = tenants.join("acme");
        write(&folder, SETTINGS);
        let server = Server::start_working_with(&database, |config| config.tenants = Some(tenants.clone())).await;
        let acme = server.existing("acme");
        let first = hash(&folder);
        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], json!(first));
        let receiver = Receiver::start([]).await;
        acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);

        write(&folder, &format!("{SETTINGS}\n# another\n"));
        let second = hash(&folder);
        receiver.wait_until(|came| tells(came, "revision.activated", &second)).await;

        write(&folder, "nome = 1\n");
        assert!(reload::load_folder(server.app(), &folder).await.is_err());
        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], json!(second), "the last good one stays");
        write(&folder, &format!("{SETTINGS}\n# a third\n"));
        let third = hash(&folder);
        receiver.wait_until(|came| tells(came, "revision.activated", &third)).await;
        let revisions: Vec<String> = activations(&acme).await.iter().map(|one| text(&one["revision"])).collect();
        assert_eq!(revisions, [third.clone(), second, first]);

        // What is wrong is logged, problem by problem, and that it is right again too, though nothing is activated for it.
        let shown = serde_json::to_string(&folder.display().to_string()).expect("a path is text");
        let about = |words: &str| rolecall_tests::logs::lines_with(&shown).iter().any(|line| line.contains(words));
        let logged = async |words: &str| {
            while !about(words) {
                acme.api.get("").await.expect(200);
            }
        };
        write(&folder, "name = 5\ncolour = 1\n");
        logged("unknown field `colour`").await;
        write(&folder, &format!("{SETTINGS}\n# a third\n"));
        logged("in order again").await;
        // Each time they are counted once, and then told one by one.
        let lines = rolecall_tests::logs::lines_with(&shown);
        let counted = lines.iter().filter_map(|line| line.split_once(" has ")?.1.split_once(" problem")?.0.parse::<usize>().ok());
        let told = lines.iter().filter(|line| line.contains(r#""file":""#));
        assert_eq!(counted.sum::<usize>(), told.clone().count(), "{lines:#?}");
        assert!(!told.clone().any(|line| line.contains("1 problem")), "{lines:#?}");
        std::fs::rename(folder.join("tenant.toml"), folder.join("aside.toml")).expect("a file can be moved");
        logged("has no `tenant.toml` any more").await;
        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], json!(third));

        // A new folder is a new tenant.
        write(&tenants.join("globex"), SETTINGS);
        let globex = server.existing("globex");
        while globex.api.get("").await.status != 200 {}
        server.stop().await;
    }

    /// A folder with people behind it is simulated first, and held where it turns too many away; somebody may say yes.
    async fn a_folder_that_turns_people_away_is_held(database: Database) {
        let folder = database.folder().join("tenants").join("acme");
        write(&folder, SETTINGS);
        let server = Server::start(&database).await;
        reload::load_folder(server.app(), &folder).await.expect("the folder is in order");
        let acme = server.existing("acme");
        let entra = acme.connection(&server, "Entra ID").await;
        for number in 0..8 {
            entra.create_with(&format!("p{number}@acme.example"), json!({"title": "outside"})).await;
        }
        server.settle().await;
        let first = hash(&folder);
        write_probe(&folder);
        let second = hash(&folder);
        for _ in 0..2 {
            let held = reload::load_folder(server.app(), &folder).await.expect_err("it is held");
            assert!(held.to_string().contains("turns away 8 people"), "{held}");
        }
        let listed = activations(&acme).await;
        assert_eq!((&listed[0]["state"], &listed[0]["revision"], listed.len()), (&json!("held"), &json!(second), 2));
        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], json!(first));
        assert!(acme.events(&server).await.iter().any(|event| event["kind"] == "revision.held"));
        // What is advised can be done as it stands; and what waits was not active.
        let advised = format!("`rolecall tenant activate --tenant acme {second} --simulation {}`", text(&listed[0]["simulation"]));
        assert!(text(&listed[0]["reason"]).contains(&advised), "{}", listed[0]);
        let stored = acme.api.get("/revisions").await.expect(200);
        let waiting = stored["revisions"].as_array().into_iter().flatten().find(|one| one["hash"] == json!(second)).expect("it is stored");
        assert_eq!((&waiting["active"], &waiting["activated"], &waiting["tried"]), (&json!(false), &json!(false), &json!(true)));

        // Its owner is the folder: nothing else can be activated, but what waits can.
        let third = acme.api.post("/revisions", json!({"files": {"tenant.toml": "bmFtZSA9ICJYIgo="}, "activate": false, "replaces": null}));
        let third = text(&third.await.expect(201)["hash"]);
        acme.api.post(&format!("/revisions/{third}/activate"), json!({"replaces": first})).await.expect(422);
        let body = json!({"replaces": first, "simulation": listed[0]["simulation"]});
        acme.api.post(&format!("/revisions/{second}/activate"), body).await.expect(204);
        server.settle().await;
        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], json!(second));
        assert!(acme.accounts().await.values().all(|account| account["state"] == "out_of_scope"));
        server.stop().await;
    }

    /// A folder by the name of a tenant that the API owns touches nothing of it: no revision, no trial, nothing that waits.
    async fn a_folder_is_kept_from_a_tenant_of_the_api(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for number in 0..8 {
            entra.create_with(&format!("p{number}@acme.example"), json!({"title": "outside"})).await;
        }
        server.settle().await;
        let kept = async || {
            let mut all = Vec::new();
            for list in ["/revisions", "/trials", "/activations"] {
                all.push(acme.api.get(list).await.expect(200));
            }
            all
        };
        let before = kept().await;
        let folder = database.folder().join("tenants").join("acme");
        write_probe(&folder);
        let refused = reload::load_folder(server.app(), &folder).await.expect_err("it is the API's");
        assert!(refused.to_string().contains("managed by its api"), "{refused}");
        assert_eq!(kept().await, before);
        server.stop().await;
    }
}
