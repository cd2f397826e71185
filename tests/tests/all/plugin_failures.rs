//! Plugin calls that fail in production: what was asked is kept, masked by the tenant's rules, bounded in time, and can be asked again.

use std::time::{Duration, Instant};

use rolecall_tests::process;
use rolecall_tests::tenant::{self, text};
use rolecall_tests::{Database, Server, Tenant, on_both_databases, probe};
use serde_json::{Value, json};

/// What becomes of `acme.example`.
const MASKED_DOMAIN: &str = "xxxx.xxxxxxx";

async fn failures(tenant: &Tenant, query: &str) -> Vec<Value> {
    let page = tenant.api.get(&format!("/plugins/failures{query}")).await.expect(200);
    page["failures"].as_array().expect("a list").clone()
}

async fn failure(tenant: &Tenant, id: &Value) -> Value {
    tenant.api.get(&format!("/plugins/failures/{}", text(id))).await.expect(200)
}

/// Runs a command; gives whether it succeeded, and what it answered.
async fn run(server: &Server, arguments: &[&str]) -> (bool, Value) {
    let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
    let arguments = [arguments, &["--json"]].concat();
    let (done, out, error) = process::run(&arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
    (done, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: no JSON ({e}): {out}\n{error}")))
}

on_both_databases! {
    /// Code, message, limit, place, what was used and logged, and the input with a person's values masked.
    async fn a_failing_input_is_kept_without_what_it_says(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create_with("ada.lovelace1@acme.example", json!({"title": "last words"})).await;
        entra.group("Engineering", &[&ada]).await;
        let looping = entra.create_with("loop@acme.example", json!({"title": "loop"})).await;
        let kept = failures(&acme, "").await;
        assert_eq!(kept.iter().map(|failure| text(&failure["code"])).collect::<Vec<_>>(), ["fuel", "trap"], "newest first: {kept:?}");
        let trap = failure(&acme, &kept[1]["id"]).await;
        assert_eq!(trap["input"]["user"], json!({"userName": format!("xxx.xxxxxxxx0@{MASKED_DOMAIN}"), "title": "last words"}), "{trap}");
        assert_eq!((&trap["input"]["masked"], &trap["input"]["groups"]), (&json!(["userName"]), &json!(["engineering"])), "{trap}");
        assert_eq!((&trap["kind"], &trap["hook"], &trap["plugin"], &trap["user"]), (&json!("fault"), &json!("transform-user"), &json!("probe"), &json!(ada)));
        assert_eq!(trap["logs"], json!([{"level": "warn", "message": "careful with this one"}]));
        assert_eq!(trap["times"], 2, "once as a joiner, once in the group: {trap}");
        assert_eq!(trap["revision"], acme.api.get("/revisions/active").await.expect(200)["hash"]);
        assert!(text(&trap["message"]).contains("unreachable") && trap["spent"]["fuel"].as_u64() > Some(0), "{trap}");
        assert!(trap["backtrace"][0]["offset"].is_u64(), "{trap}");
        let fuel = failure(&acme, &kept[0]["id"]).await;
        assert_eq!((&fuel["limit"], &fuel["spent"]["fuel"]), (&json!({"used": 20_000_000, "allowed": 20_000_000}), &json!(20_000_000)), "{fuel}");
        let account = &acme.accounts().await[&text(&fuel["account"])];
        assert_eq!(account["note"]["code"], "plugin_fault", "the account says so too: {account}");
        let events = acme.events(&server).await;
        let told: Vec<&Value> = events.iter().filter(|event| event["kind"] == "account.created").map(|event| &event["data"]["fault"]).collect();
        assert_eq!(told, ["trap", "fuel"], "and so does its history: {events:?}");
        for (query, expected) in [
            ("?code=fuel".to_owned(), 1), ("?hook=propose-roles".into(), 0), ("?plugin=probe".into(), 2),
            (format!("?plugin={}", text(&fuel["digest"])), 2), (format!("?user={looping}"), 1), ("?kind=refusal".into(), 0),
            ("?since=2199-01-01T00:00:00Z".into(), 0), ("?until=2199-01-01T00:00:00Z".into(), 2), ("?code=%00".into(), 0),
        ] {
            assert_eq!(failures(&acme, &query).await.len(), expected, "{query}");
        }
        let first = acme.api.get("/plugins/failures?limit=1").await.expect(200);
        let second = failures(&acme, &format!("?limit=1&before={}", first["next"])).await;
        assert_eq!((&first["failures"][0]["id"], &second[0]["id"]), (&kept[0]["id"], &kept[1]["id"]));
        server.stop().await;
    }

    /// The same failure of the same person is counted; another tenant has none of it.
    async fn repeats_are_counted_and_strangers_see_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let globex = server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        for title in ["trap", "engineer", "trap", "grow", "engineer", "trap"] {
            entra.set(&ada, "title", json!(title)).await;
        }
        let mut times: Vec<(String, i64)> = Vec::new();
        for kept in failures(&acme, "").await {
            times.push((text(&kept["code"]), kept["times"].as_i64().expect("a number")));
        }
        assert_eq!(times, [("trap".to_owned(), 3), ("memory".to_owned(), 1)], "in the order in which they were seen");
        let id = text(&failures(&acme, "?code=trap").await[0]["id"]);
        assert_eq!(id.len(), 32, "an id can't be guessed");
        assert!(failures(&globex, "").await.is_empty());
        globex.api.get(&format!("/plugins/failures/{id}")).await.expect(404);
        let stranger = server.api_client(Some("globex"), true).await;
        stranger.get(&format!("/tenants/acme/plugins/failures/{id}")).await.expect(404);
        server.stop().await;
    }

    /// All of it, nothing of it, what is shown and masked, and refusals: the tenant says.
    async fn the_tenant_says_what_is_kept(database: Database) {
        let server = Server::start(&database).await;
        for (name, rules, title, user, message) in [
            ("all", "keep = \"all\"\nmask = [\"title\"]", "trap", json!({"userName": "ada@acme.example", "title": "xxxx"}), "unreachable"),
            ("shown", "show = [\"userName\"]", "trap", json!({"userName": "ada@acme.example", "title": "trap"}), "unreachable"),
            ("none", "keep = \"none\"\nrefusals = true", "refuse", Value::Null, "keeps no words"),
            ("refusals", "refusals = true", "refuse", json!({"userName": format!("xxx@{MASKED_DOMAIN}"), "title": "refuse"}), "choose another"),
        ] {
            let tenant = server.tenant(name).with_probe().and_settings(&format!("[plugins.failures]\n{rules}\n")).create().await;
            let entra = tenant.connection(&server, "Entra ID").await;
            entra.create_with("ada@acme.example", json!({"title": title})).await;
            let kept = failures(&tenant, "").await;
            assert_eq!(kept.len(), 1, "{name}: {kept:?}");
            let kept = failure(&tenant, &kept[0]["id"]).await;
            assert_eq!(kept["input"]["user"], user, "{name}: {kept}");
            assert!(text(&kept["message"]).contains(message), "{name}: {kept}");
            assert_eq!(kept["input_missing"].is_string(), user.is_null(), "{name}: {kept}");
        }
        let quiet = server.tenant("quiet").with_probe().create().await;
        quiet.connection(&server, "Entra ID").await.create_with("ada@acme.example", json!({"title": "refuse"})).await;
        assert!(failures(&quiet, "").await.is_empty(), "refusals are answers, unless the tenant says otherwise");
        let files = server.tenant("quiet").with_probe().and_settings("[plugins.failures]\nkeep_days = 31\n").files();
        let refused = quiet.try_activate(&server, files).await.expect_err("more days than anything is kept");
        assert!(format!("{refused:?}").contains("keep_days"), "{refused:?}");
        server.stop().await;
    }

    /// Whoever is deleted leaves no input and no line; everything else goes when its time is up, and with its connection.
    async fn nothing_outlives_its_person_or_its_time(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().and_settings("[plugins.failures]\nkeep_days = 2\n").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let leaver = entra.create_with("leaver@acme.example", json!({"title": "last words"})).await;
        entra.create_with("stays@acme.example", json!({"title": "last words"})).await;
        okta.create_with("other@acme.example", json!({"title": "last words"})).await;
        let lines = async || acme.api.get("/plugins/logs").await.expect(200)["lines"].as_array().map_or(0, Vec::len);
        assert_eq!((failures(&acme, "").await.len(), lines().await), (3, 3));
        entra.scim.delete(&format!("/Users/{leaver}")).await.expect(204);
        assert_eq!((failures(&acme, "").await.len(), lines().await), (2, 2), "at once");
        // What waits in memory when its person goes is not written after that.
        let quick = entra.create_with("quick@acme.example", json!({"title": "last words"})).await;
        entra.scim.delete(&format!("/Users/{quick}")).await.expect(204);
        assert_eq!((failures(&acme, "").await.len(), lines().await), (2, 2), "what was still to be written");
        acme.api.delete(&format!("/connections/{}", okta.id)).await.expect(204);
        assert_eq!((failures(&acme, "").await.len(), lines().await), (1, 1), "with its connection");
        server.clock.advance_hours(47);
        rolecall::jobs::forget_records(server.app()).await.expect("what is too old can be removed");
        assert_eq!(failures(&acme, "").await.len(), 1);
        server.clock.advance_hours(2);
        rolecall::jobs::forget_records(server.app()).await.expect("what is too old can be removed");
        assert_eq!((failures(&acme, "").await.len(), lines().await), (0, 1), "lines are kept for a week");
        server.clock.advance_hours(24 * 6);
        rolecall::jobs::forget_records(server.app()).await.expect("what is too old can be removed");
        assert_eq!(lines().await, 0);
        server.stop().await;
    }

    /// By id, with the server's revision; from a file; with a repaired plugin.
    async fn a_failure_is_played_again(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create_with("ada@acme.example", json!({"title": "loop"})).await;
        entra.create_with("eve@acme.example", json!({"title": "last words"})).await;
        let id = text(&failures(&acme, "?code=trap").await[0]["id"]);
        let (done, shown) = run(&server, &["plugin", "failures", "--tenant", "acme", &id]).await;
        assert!(done && shown["input"]["user"]["title"] == "last words", "{shown}");
        // Another revision is active by now: a failure is of its own.
        acme.activate(&server, server.tenant("acme").files()).await;

        let (done, again) = run(&server, &["plugin", "replay", "--tenant", "acme", &id]).await;
        assert!(!done && again["again"] == true && again["ok"] == false, "{again}");
        assert_eq!((&again["fault"]["code"], &again["calls"][0]["fuel"]), (&json!("trap"), &shown["spent"]["fuel"]), "the same fuel as there: {again}");
        assert_eq!(again["calls"][0]["logs"], shown["logs"]);
        // Where it stopped, as people read it.
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let read = async |arguments: &[&str]| {
            let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", &token), ("ROLECALL_TENANT", "acme")];
            process::run(&[&["plugin", "failures"], arguments].concat(), &environment).await
        };
        let (done, out, _) = read(&[&id]).await;
        let offset = shown["backtrace"][0]["offset"].as_u64().expect("where it was");
        assert!(done && out.contains(&format!(" at byte {offset}\n")), "{out}");
        // A page says that there is more, and a word that nothing has is not passed over.
        let (_, out, _) = read(&["--limit", "1"]).await;
        let before = out.rsplit_once("more: --before ").expect("there are two").1.trim().to_owned();
        let (_, out, _) = read(&["--limit", "1", "--before", &before]).await;
        assert!(out.contains("loop") || out.contains(&id), "{out}");
        let (done, out, _) = read(&["--code", "nosuch"]).await;
        assert!(done && out.contains("`nosuch` is none of them"), "{out}");
        let (done, _, error) = read(&["--hook", "foo"]).await;
        assert!(!done && error.contains("transform-user"), "{error}");
        let looping = text(&failures(&acme, "?code=fuel").await[0]["id"]);
        let (done, again) = run(&server, &["plugin", "replay", "--tenant", "acme", &looping]).await;
        assert!(!done && again["again"] == true, "{again}");
        assert_eq!(again["fault"]["limit"], json!({"used": 20_000_000, "allowed": 20_000_000}));

        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name).to_str().expect("the path is text").to_owned();
        let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("it can be written");
        // A plugin that puts everybody out of scope: repaired, as far as this failure goes.
        write("repaired.wasm", &probe::module_with("", "(i32.store (i32.const 512) (i32.const 0)) (i32.store offset=4 (i32.const 512) (i32.const 1)) (i32.store offset=8 (i32.const 512) (i32.const 1024)) (i32.store offset=12 (i32.const 512) (i32.const 5)) (i32.const 512)"));
        write("probe.wasm", &probe::module());
        write("failure.json", shown.to_string().as_bytes());
        let (done, repaired) = run(&server, &["plugin", "replay", "--tenant", "acme", &id, "--with", &path("repaired.wasm")]).await;
        assert!(done && repaired["again"] == false && repaired["answer"]["out_of_scope"] == "probe", "{repaired}");
        // A file needs no server.
        let offline = async |arguments: &[&str]| {
            let arguments = [&["plugin", "replay"], arguments, &["--json"]].concat();
            let (done, out, error) = process::run(&arguments, &[("ROLECALL_SERVER", "http://127.0.0.1:1")]).await;
            (done, serde_json::from_str::<Value>(&out).unwrap_or_default(), error)
        };
        let (done, again, error) = offline(&[&path("failure.json"), "--with", &path("probe.wasm")]).await;
        assert!(!done && again["again"] == true, "{again}{error}");
        let (failing, probe) = (path("failure.json"), path("probe.wasm"));
        for (arguments, words) in [
            (&[failing.as_str()][..], "`--with` is missing"),
            (&["tests/nope.json"], "there is no file `tests/nope.json`"),
            (&[&failing, "--settings", "{}"], "`--settings` is for a `--with` that is a file"),
            (&[&failing, "--with", &path(""), "--settings", "{}"], "`--settings` is for a `--with` that is a file"),
            (&[&failing, "--with", &probe, "--settings", "{"], "`--settings` is no JSON object"),
        ] {
            let (done, said, error) = offline(arguments).await;
            assert!(!done && error.contains(words), "{arguments:?}: {error}");
            assert!(said["problem"].as_str().is_some_and(|problem| problem.contains(words)), "for machines too: {said}");
        }
        // A golden case in its folder.
        for (name, contents) in server.tenant("acme").with_probe().files() {
            let at = folder.path().join("tenant").join(&name);
            std::fs::create_dir_all(at.parent().expect("a folder")).expect("a folder can be made");
            std::fs::write(at, contents).expect("it can be written");
        }
        std::fs::create_dir_all(path("tenant/tests")).expect("a folder can be made");
        let case = json!({"name": "c", "user": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@acme.example"}, "expect": {"roles": []}});
        write("tenant/tests/case.json", case.to_string().as_bytes());
        let (done, said, error) = offline(&[&path("tenant/tests/case.json")]).await;
        assert!(done && said["answer"]["account"]["user_name"] == "ann@acme.example", "{said}{error}");
        // A case that ends in a fault shows what the call said last.
        let failing = json!({"name": "f", "user": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@acme.example", "title": "last words"}, "expect": {"roles": []}});
        write("tenant/tests/failing.json", failing.to_string().as_bytes());
        let (done, tested) = run(&server, &["plugin", "test", &path("tenant")]).await;
        assert!(!done && tested.to_string().contains("warn: careful with this one"), "{tested}");
        std::fs::remove_file(path("tenant/tests/failing.json")).expect("it is there");
        let (done, again, error) = offline(&[&path("failure.json"), "--with", &path("tenant")]).await;
        assert!(!done && again["again"] == true, "{again}{error}");
        server.stop().await;
    }

    /// One person whose plugin call fails holds nobody else of the group's PATCH up, and no removal.
    async fn one_faulty_person_fails_no_group_and_holds_no_removal_up(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().refusing().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut people = entra.crowd("person", 40).await;
        let faulty = entra.create("faulty@acme.example").await;
        let refused = entra.create("refused@acme.example").await;
        let staff = entra.group("Staff", &[&faulty, &refused]).await;
        let engineering = entra.group("Engineering", &[]).await;
        assert_eq!(acme.roles("faulty@acme.example").await, ["reader".to_owned()].into());
        entra.set(&faulty, "title", json!("loop")).await;
        // The tenant answers refusals with 400: for a write of that user, and stores nothing.
        let refusal = tenant::patch(json!([{"op": "replace", "path": "title", "value": "refuse"}]));
        let detail = entra.scim.patch(&format!("/Users/{refused}"), refusal).await.expect_scim_error(400, Some("invalidValue"));
        assert!(detail.contains("choose another") && detail.contains("`title`"), "{detail}");
        // Whoever was stored before the rule came is refused by it ever after: neither a group's PATCH nor a departure fails over that.
        acme.activate(&server, server.tenant("acme").with_probe().files()).await;
        entra.set(&refused, "title", json!("refuse")).await;
        acme.activate(&server, server.tenant("acme").with_probe().refusing().files()).await;
        people.extend([faulty.clone(), refused.clone()]);
        let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
        let join = tenant::patch(json!([{"op": "add", "path": "members", "value": members}]));
        entra.scim.patch(&format!("/Groups/{engineering}"), join).await.expect_one_of(&[200, 204]);
        server.settle().await;
        assert_eq!(acme.roles("person00007@acme.example").await, ["developer".to_owned()].into());
        assert_eq!(acme.roles("faulty@acme.example").await, ["reader".to_owned()].into(), "what stood is retained, nothing is new");
        assert_eq!(acme.roles("refused@acme.example").await, ["reader".to_owned()].into());
        // Removal: from a group, by deactivation and by deletion, while each call of the plugin spins.
        let began = Instant::now();
        entra.remove(&staff, &faulty).await;
        server.settle().await;
        assert!(acme.roles("faulty@acme.example").await.is_empty());
        entra.deactivate(&refused).await;
        assert_eq!(acme.state("refused@acme.example").await, "suspended");
        entra.scim.delete(&format!("/Users/{faulty}")).await.expect(204);
        assert_eq!(acme.state("faulty@acme.example").await, "removed");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        server.stop().await;
    }
}
