//! The command line as an administrator uses it: against a running server, with tokens from the environment, answers in JSON.

use std::process::Stdio;

use rolecall_tests::process::{self, Process};
use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Client, Database, Server, on_both_databases};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Runs a command that has to succeed, and gives its answer.
async fn run(url: &str, token: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = [arguments, &["--json"]].concat();
    let (done, out, error) = process::run(&arguments, &[("ROLECALL_SERVER", url), ("ROLECALL_TOKEN", token)]).await;
    assert!(done, "{arguments:?}: {error}\n{out}");
    if out.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: no JSON ({e}): {out}"))
    }
}

on_both_databases! {
    /// What somebody gets wrong is told in their own words: the file, the option, the measure, the role that they named.
    async fn mistakes_are_told_where_they_were_made(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str())];
        let run = async |arguments: &[&str]| process::run(&[arguments, &["--tenant", "acme"]].concat(), &environment).await;
        let import = async |file: &str| process::feed(&["account", "import", "--tenant", "acme", "-"], &environment, file).await;
        let (done, _, error) = import("user_name,roles\nada,nobody\n").await;
        assert!(!done && error.contains("--> standard input:2"), "{error}");
        let (done, _, error) = import("user_name,emails\nada,ada@acme.example\nbob,bob@acme.example\n").await;
        assert!(done, "{error}");
        let (_, shown, _) = run(&["account", "list", "--limit", "1"]).await;
        assert!(shown.contains("there is more: `--after "), "{shown}");
        run(&["connection", "create", "entra-id"]).await;
        for (arguments, told) in [
            (&["account", "list", "--limit", "0"][..], "1..=1000"),
            (&["exception", "make", "ada", "reader", "--reason", "x", "--owner", "y", "--ends", "tomorrow"], "2031-07-01T00:00:00Z"),
            (&["connection", "log", "--from", "yesterday"], "--from"),
            (&["connection", "health", "entra-id", "--set", "silence_minutes=abc"], "`--set` is `silence_minutes=abc`: invalid type"),
            (&["connection", "adopt", "entra-id", "nobody", "--new", "--reason", "x"], "nobody with the login name `nobody`"),
            (&["connection", "delete", "entra-id"], "`--yes` is needed"),
        ] {
            let (done, out, error) = run(arguments).await;
            assert!(!done && error.contains(told), "{arguments:?}: {error}{out}");
        }
        let (done, _, error) = run(&["token", "create", "--admin-role", "reveiwer"]).await;
        assert!(done && error.contains("no admin policy of `acme` names the role `reveiwer`"), "{error}");
        let (done, _, error) = run(&["token", "create", "--admin-role", "reviewer"]).await;
        assert!(done && error.is_empty(), "{error}");

        // A doubt is decided by the names that the difference shows.
        let made = acme.api.post("/connections", json!({"name": "okta"})).await.expect(201);
        let scim = Client::scim(text(&made["base_url"]), text(&made["token"]));
        scim.post("/Users", user("ada.okonkwo", json!({"emails": [{"value": "ada@acme.example", "primary": true}]}))).await.expect(201);
        server.settle().await;
        let adopt = ["connection", "adopt", "okta", "Ada.Okonkwo", "--account", "ada", "--reason", "the same person"];
        let (done, out, error) = run(&adopt).await;
        assert!(done && out.contains("the account of Ada.Okonkwo is account ada"), "{error}{out}");
        server.stop().await;
    }

    /// 2 is a mistake of whoever typed, 3 the server's word: scripts tell them apart.
    async fn exit_codes_say_whose_mistake_it_was(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        acme.connection(&server, "entra-id").await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file can be written");
            path.display().to_string()
        };
        let (good, two) = (file("good", &format!("{token}\n")), file("two", "rc_one\nrc_two\n"));
        let (large, settings) = (file("large", &"x".repeat(5_000)), file("tenant.toml", "name = \"Acme\"\n"));
        let dir = folder.path().display().to_string();
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str()), ("ROLECALL_TENANT", "acme")];
        let set = ["connection", "issuer", "set", "entra-id", "--issuer", "i", "--audience", "a"];
        let set_keys = [&set[..], &["--jwks", "/nope"]].concat();
        for (arguments, code, told) in [
            (&["connection", "health", "entra-id", "--set", "foo=1"][..], 2, "`--set` is `foo=1`: unknown field `foo`"),
            (&["connection", "health", "entra-id", "--set", "silence_minutes"], 2, "a measure is `field=value`"),
            (&["tenant", "list", "--token-file", "/nope"], 2, "`--token-file` names `/nope`, which can't be read"),
            (&["tenant", "list", "--token-file", &large], 2, "more than 4096 bytes"),
            (&["tenant", "list", "--token-file", &two], 2, "holds more than a token"),
            (&["tenant", "list", "--token-file", &good, "--token", "rc_x"], 2, "cannot be used with"),
            (&["tenant", "list", "--token", "rc_x"], 3, "refused the token"),
            (&set_keys, 2, "`--jwks` names `/nope`, which can't be read"),
            (&set, 2, "<--jwks-uri <URL>|--jwks <FILE>>"),
            (&["connection", "probe", "--url", "foo", "--token", "rc_x"], 2, "`--url` is `foo`"),
            (&["connection", "probe", "--url", "http://127.0.0.1:1/scim/x/v2", "--token", "rc_x"], 3, "no answer"),
            (&["connection", "probe", "--url", &format!("{url}/scim/x/v2"), "--token", "rc_x"], 1, "401"),
            (&["connection", "health", "nobody"], 3, "has no connection `nobody`"),
            (&["token", "create", "--days", "0"], 2, "1..=3660"),
            (&["tenant", "check", &settings], 1, "must be a folder"),
            (&["tenant", "diff", &dir, "--tenant", "acne"], 3, "`rolecall tenant apply` makes a tenant"),
            (&["tenant", "simulate", &dir, "--tenant", "acne"], 3, "`rolecall tenant apply` makes a tenant"),
            (&["tenant", "shadow", &dir, "--tenant", "acne"], 3, "`rolecall tenant apply` makes a tenant"),
        ] {
            let (came, said) = process::exit_code(arguments, &environment).await;
            assert!(came == code && said.contains(told) && !said.contains("rc_"), "{arguments:?}: {came}\n{said}");
        }
        assert_eq!(server.operator.get("/tenants").await.expect(200)["tenants"].as_array().map(Vec::len), Some(1), "none was made");
        // An option goes before the environment, and there the token before the file.
        let wrong = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", "rc_x")];
        assert_eq!(process::exit_code(&["tenant", "list", "--token-file", &good], &wrong).await.0, 0);
        let both = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str()), ("ROLECALL_TOKEN_FILE", "/nope")];
        assert_eq!(process::exit_code(&["tenant", "list"], &both).await.0, 0);
        server.stop().await;
    }

    /// Create, use, rotate, pause, resume, list and delete a connection; ask why; read the history.
    async fn a_connection_is_run_from_the_command_line(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |arguments: &[&str]| run(&url, &token, arguments).await;
        let made = run(&["connection", "create", "--tenant", "acme", "entra-id"]).await;
        assert_eq!((&made["state"], &made["guarded"]), (&json!("staging"), &json!(true)));
        assert_eq!(run(&["connection", "difference", "--tenant", "acme", "entra-id"]).await["totals"]["people"], 0);
        run(&["connection", "live", "--tenant", "acme", "entra-id", "--yes"]).await;
        run(&["connection", "guard", "--tenant", "acme", "entra-id", "off"]).await;
        let (id, base) = (text(&made["id"]), text(&made["base_url"]));
        let scim = Client::scim(base, text(&made["token"]));
        let ada = text(&scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201)["id"]);
        let rotated = run(&["connection", "rotate", "--tenant", "acme", &id]).await;
        let scim = scim.with_token(rotated["token"].as_str());
        run(&["connection", "pause", "--tenant", "acme", &id]).await;
        scim.post("/Groups", rolecall_tests::tenant::group("Engineering", &[&ada])).await.expect(201);
        assert!(acme.roles("ada@acme.example").await.is_empty(), "paused");
        let listed = run(&["connection", "list", "--tenant", "acme"]).await;
        assert_eq!(listed["connections"][0]["state"], "paused", "{listed}");
        run(&["connection", "resume", "--tenant", "acme", &id]).await;
        server.settle().await;
        let why = run(&["explain", "--tenant", "acme", "ada@acme.example", "developer"]).await;
        assert_eq!(why["decision"], "allow", "{why}");
        let why_not = run(&["explain", "--tenant", "acme", "ada@acme.example", "reader"]).await;
        assert_eq!(why_not["decision"], "no_permit", "{why_not}");
        // The history may be long: one JSON object a line.
        let (done, events, error) =
            process::run(&["events", "--tenant", "acme", "--json"], &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        let kinds: Vec<String> =
            events.lines().map(|line| text(&serde_json::from_str::<Value>(line).expect("each line is JSON")["kind"])).collect();
        assert!(done && kinds.iter().any(|kind| kind == "grant.added"), "{error}\n{events}");
        let client = run(&["connection", "client", "rotate", "--tenant", "acme", "entra-id"]).await;
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", text(&client["client_id"]), text(&client["client_secret"]));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let granted = Client::new("", None).send("POST", &text(&client["token_url"]), &headers, Some(form.into_bytes())).await.expect(200);
        scim.with_token(granted["access_token"].as_str()).get("/Users").await.expect(200);
        run(&["connection", "client", "remove", "--tenant", "acme", "entra-id", "--yes"]).await;
        scim.with_token(granted["access_token"].as_str()).get("/Users").await.expect(401);
        let issuer = ["--issuer", "https://idp.acme.example", "--audience", "rolecall", "--jwks-uri", "https://idp.acme.example/jwks"];
        let more = ["--algorithm", "RS256", "--clock-skew", "5", "--subject", "provisioning", "--claim", "scope=scim"];
        let set = run(&[&["connection", "issuer", "set", "--tenant", "acme", "entra-id"], &issuer[..], &more[..]].concat()).await;
        assert_eq!((&set["algorithms"], &set["claims"]["scope"]), (&json!(["RS256"]), &json!("scim")));
        assert_eq!(run(&["connection", "issuer", "show", "--tenant", "acme", "entra-id"]).await, set);
        run(&["connection", "issuer", "remove", "--tenant", "acme", "entra-id", "--yes"]).await;
        let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "Add", "path": "title", "value": "Countess"}]});
        scim.patch(&format!("/Users/{ada}"), patch).await.expect(200);
        let dialects = run(&["connection", "dialects", "--tenant", "acme", "entra-id"]).await;
        assert_eq!((&dialects["dialects"][0]["quirk"], &dialects["dialects"][0]["clients"]), (&json!("capitalised_op"), &json!(["Entra ID"])));
        let log = run(&["connection", "log", "--tenant", "acme", "entra-id", "--limit", "1"]).await;
        assert_eq!((&log["entries"][0]["method"], &log["entries"][0]["status"]), (&json!("PATCH"), &json!(200)), "{log}");
        for command in [&["connection", "log", "--after", "0"][..], &["connection", "dialects"]] {
            let arguments = [command, &["--tenant", "acme", "entra-id"]].concat();
            let (done, shown, error) = process::run(&arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
            assert!(done && shown.contains("PATCH") && !shown.contains("Countess"), "{error}\n{shown}");
        }
        let delete = ["connection", "delete", "--tenant", "acme", &id];
        let (done, _, error) = process::run(&delete, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        assert!(!done && error.contains("--yes"), "nobody is there to be asked: {error}");
        scim.get("/Users").await.expect(200);
        run(&[&delete[..], &["--yes"]].concat()).await;
        scim.get("/Users").await.expect(401);
        server.stop().await;
    }

    /// A token of one tenant that may only read does that and nothing else.
    async fn a_token_reaches_as_far_as_its_scope(database: Database) {
        let server = Server::start(&database).await;
        server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let (url, operator) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let reader = text(&run(&url, &operator, &["token", "create", "--tenant", "acme"]).await["token"]);
        run(&url, &reader, &["connection", "list", "--tenant", "acme"]).await;
        for arguments in [
            &["connection", "create", "--tenant", "acme", "x"][..],
            &["connection", "list", "--tenant", "globex"],
            &["token", "create", "--write"],
        ] {
            let (done, out, error) = process::run(arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &reader)]).await;
            assert!(!done && !error.contains("panicked"), "{arguments:?}: {out}{error}");
            assert!(!(out + &error).contains(&reader), "{arguments:?}: the token is in the output");
        }
        server.stop().await;
    }

    /// Tokens are listed with what they are for and when they were used, never with their secret, and end at once.
    async fn tokens_are_listed_and_end(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let (url, operator) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let payroll = ["token", "create", "--tenant", "acme", "--name", "payroll", "--person", "ada@acme.example", "--days", "90"];
        let secret = text(&run(&url, &operator, &payroll).await["token"]);
        run(&url, &secret, &["connection", "list", "--tenant", "acme"]).await;
        let listed = run(&url, &operator, &["token", "list", "--tenant", "acme"]).await;
        let found = listed["tokens"].as_array().expect("a list").iter().find(|token| token["name"] == "payroll").expect("it is listed").clone();
        assert_eq!((&found["person"], &found["write"]), (&json!("ada@acme.example"), &json!(false)), "{found}");
        assert_eq!(found["created_by"]["kind"], "api_token", "{found}");
        assert!(found["last_used"].is_string() && found["expires"].is_string(), "{found}");
        assert!(!listed.to_string().contains(&secret), "a secret is shown once");
        assert!(!run(&url, &operator, &["token", "list"]).await.to_string().contains("payroll"), "it is the tenant's");
        let id = text(&found["id"]);
        let page = acme.api.get("/tokens?limit=1").await.expect(200);
        assert_eq!(page["tokens"].as_array().map(Vec::len), Some(1), "{page}");
        for elsewhere in [&["token", "revoke", &id][..], &["token", "revoke", &id, "--tenant", "globex"]] {
            let (done, _, _) = process::run(elsewhere, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &operator)]).await;
            assert!(!done, "{elsewhere:?}");
        }
        run(&url, &operator, &["token", "revoke", &id, "--tenant", "acme"]).await;
        let refused = process::run(&["connection", "list", "--tenant", "acme"], &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &secret)]).await;
        assert!(!refused.0, "with the next request it is good no more");
        let told = acme.events(&server).await.into_iter().filter(|event| event["kind"] == "token.revoked" && event["data"]["token"] == id.as_str());
        assert_eq!(told.count(), 1);
        server.stop().await;
    }

    /// The first start shows an operator's token once; the second shows none; neither logs it.
    async fn the_first_start_shows_a_token_once(database: Database) {
        let token = first_token(&database).await.expect("the first start shows a token");
        assert_eq!(first_token(&database).await, None, "the second start shows none");
        let process = Process::serve(&database).await;
        let api = Client::new(format!("{}/api/v1", process.url), Some(token.clone()));
        api.post("/tenants", json!({"id": "acme"})).await.expect(201);
        // Those that are left let nobody administer the server: the next start is a way in again.
        for left in [json!({"tenant": "acme", "write": true}), json!({})] {
            api.post("/tokens", left).await.expect(201);
        }
        for known in api.get("/tokens").await.expect(200)["tokens"].as_array().into_iter().flatten().filter(|known| known["write"] == true) {
            api.delete(&format!("/tokens/{}", text(&known["id"]))).await.expect(204);
        }
        let log = process.terminate().await;
        assert!(log.iter().any(|line| line.contains("answered")), "{log:?}");
        assert!(log.iter().all(|line| !line.contains(&token)), "the token is in the log");
        let again = first_token(&database).await.expect("nobody was left who could administer the server");
        assert_ne!(again, token);
        assert_eq!(first_token(&database).await, None);
    }
}

/// Starts a server until it has said all that it says at a start, and gives the token in that.
async fn first_token(database: &Database) -> Option<String> {
    let mut child =
        process::serve_command(database).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server can be started");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    while let Some(line) = log.next_line().await.expect("the log can be read") {
        if line.contains("\"listening\"") {
            break;
        }
    }
    let id = child.id().expect("the process runs").to_string();
    let reader = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let out = BufReader::new(child.stdout.take().expect("piped"));
    // What is said at the start is said before SIGTERM is looked at.
    let told = tokio::process::Command::new("kill").args(["-TERM", &id]).status().await.expect("`kill` runs");
    assert!(told.success(), "SIGTERM can be sent");
    let mut said = out.lines();
    let mut token = None;
    while let Some(line) = said.next_line().await.expect("standard output can be read") {
        token = line.split_whitespace().find(|word| word.starts_with("rc_")).map(str::to_owned).or(token);
    }
    assert!(child.wait().await.expect("it ends").success());
    reader.await.expect("the log can be read");
    token
}
