//! Plugins in every language and of every released version of the contract: they load, they answer what they answered, and they use the
//! same fuel on an author's machine and in a server.
//!
//! Those of a few hundred kilobytes are kept compiled in tests/fixtures/plugins, so that later versions have to go on with what was built
//! for earlier ones. Those with an interpreter in them are what `scripts/build-plugins` built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rolecall::config::MasterKey;
use rolecall::crypto::Keyring;
use rolecall::mapping::{AccountShape, Mapping};
use rolecall::plugins::limits::Kind;
use rolecall::plugins::{self, Artefacts, Call, Plugin, Sandbox, SandboxConfig, Tables};
use rolecall::revision::{Files, Revision};
use rolecall_tests::{Database, Server, on_both_databases, process, tenant, wasm};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The mapping in each language, the one that the others are compared with first.
const LANGUAGES: [&str; 3] = ["people_mapping", "people_mapping_js", "people_mapping_python"];
/// The key under which all that is compiled here is kept.
const KEY: &str = "5b1f0c1d5b1f0c1d5b1f0c1d5b1f0c1d5b1f0c1d5b1f0c1d5b1f0c1d5b1f0c1d";
/// The instant of every question.
const AS_OF: &str = "2026-01-01T00:00:00Z";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A plugin of the mapping, with how long it took to compile.
struct Compiled {
    name: &'static str,
    bytes: Vec<u8>,
    plugin: Arc<Plugin>,
    took: Duration,
}

/// The mapping in each language, compiled once for all tests and kept as a server keeps it.
struct Languages {
    kept: PathBuf,
    sandbox: Sandbox,
    compiled: Vec<Compiled>,
}

fn sandbox(kept: &Path) -> Sandbox {
    let keyring = Keyring::from_hex(KEY).expect("the key is one");
    let artefacts = Some(Artefacts::new(kept.to_owned(), keyring.artefacts().clone()));
    Sandbox::new(&SandboxConfig { artefacts, ..SandboxConfig::default() }).expect("the sandbox can be made")
}

fn languages() -> &'static Languages {
    static LANGUAGES_COMPILED: OnceLock<Languages> = OnceLock::new();
    LANGUAGES_COMPILED.get_or_init(|| {
        // Below target/ and not a temporary folder: nobody drops what is static.
        let kept = repository().join("target/corpus-compiled");
        match std::fs::remove_dir_all(&kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", kept.display()),
            _ => {}
        }
        let sandbox = sandbox(&kept);
        let compiled = LANGUAGES.map(|name| {
            let bytes = wasm::plugin(name);
            let started = Instant::now();
            let plugin = sandbox.load(&bytes).unwrap_or_else(|error| panic!("`{name}`: {error}"));
            Compiled { name, bytes, plugin, took: started.elapsed() }
        });
        Languages { kept, sandbox, compiled: compiled.into() }
    })
}

/// The tenant folder with the golden cases of the mapping, with one of the plugins in it.
fn folder_with(plugin: &[u8]) -> Files {
    let folder = repository().join("plugins/people-mapping-cases");
    let mut files = Files::from([("plugins/people_mapping.wasm".to_owned(), plugin.to_owned())]);
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    files.insert("tenant.toml".to_owned(), read(&folder.join("tenant.toml")));
    for entry in std::fs::read_dir(folder.join("tests")).expect("the cases are there") {
        let path = entry.expect("the cases can be listed").path();
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        files.insert(format!("tests/{name}"), read(&path));
    }
    files
}

fn transform(plugin: &Plugin, settings: &str, user: &Value) -> plugins::Transformed {
    let call = Call {
        as_of: AS_OF.parse().expect("an instant"),
        connection: "connection",
        settings: &settings.into(),
        user,
        groups: &[],
        tables: &Arc::default(),
    };
    plugin.transform_user(&call).unwrap_or_else(|fault| panic!("{}: {fault}: {user}", plugin.description().name))
}

#[test]
fn one_mapping_in_three_languages_passes_the_same_cases_with_the_same_provenance() {
    let languages = languages();
    let mut first: Option<Vec<Mapping>> = None;
    for Compiled { name, bytes, plugin, .. } in &languages.compiled {
        let files = folder_with(bytes);
        let revision = Revision::build(&files, &languages.sandbox).unwrap_or_else(|problems| panic!("`{name}`: {problems:?}"));
        let results = revision.run_tests(&files).unwrap_or_else(|problems| panic!("`{name}`: {problems:?}"));
        assert!(results.len() >= 15, "only {} cases were found", results.len());
        for result in results {
            assert_eq!(result.diff, None, "`{name}`: {}", result.name);
        }
        let settings = &revision.transform.as_ref().expect("the folder names a plugin").settings.json();
        let cases = files.iter().filter(|(path, _)| path.starts_with("tests/"));
        let answers: Vec<Mapping> = cases
            .map(|(_, text)| serde_json::from_slice::<Value>(text).expect("a case is JSON"))
            .map(|case| transform(plugin, settings, &case["user"]).mapping)
            .collect();
        match &first {
            None => first = Some(answers),
            Some(first) => assert_eq!(&answers, first, "`{name}`"),
        }
        let refused = plugin.validate_settings(r#"{"login_domain": "@acme.example"}"#).expect("it answers").unwrap_err();
        assert!(refused.starts_with("`login_domain`: expected an ASCII domain"), "`{name}`: {refused}");
        let unknown = plugin.validate_settings(r#"{"logindomain": "acme.example"}"#).expect("it answers").unwrap_err();
        assert!(unknown.contains("unknown field `logindomain`"), "`{name}`: {unknown}");
        let wrong = plugin.validate_settings(r#"{"login_domain": 5}"#).expect("it answers").unwrap_err();
        assert!(wrong.starts_with("`login_domain`: ") && !wrong.contains("column"), "`{name}`: {wrong}");
        assert!(plugin.validate_settings("5").expect("it answers").is_err(), "`{name}`");
    }
    let kinds: Vec<Kind> = languages.compiled.iter().map(|compiled| compiled.plugin.kind()).collect();
    assert_eq!(kinds, [Kind::Compiled, Kind::Interpreter, Kind::Interpreter]);
}

/// Texts of the first planes' scripts. Without Σ: at the end of a word its small form is another letter, which JavaScript's engine, built
/// without ICU, does not know; and without what the languages' versions of Unicode may not agree on.
fn text() -> impl Strategy<Value = String> {
    let odd = "[\\x00-\u{2fff}]{0,12}".prop_map(|text: String| text.replace('Σ', "σ"));
    prop_oneof!["[a-zA-ZéüßłØžЖγİ王 .,'@-]{0,24}", Just("ana@contractors.acme.example".to_owned()), "test-[a-z]{1,5}", odd]
}

/// People with odd texts in every attribute that the mapping reads.
fn user() -> impl Strategy<Value = Value> {
    let optional = || proptest::option::of(text());
    (text(), [optional(), optional(), optional(), optional(), optional(), optional(), optional()], any::<bool>()).prop_map(
        |(user_name, [given, family, display, email, number, division, custom], primary)| {
            without_nulls(json!({
                "userName": user_name, "displayName": display, "name": {"givenName": given, "familyName": family},
                "emails": [{"type": "home", "value": custom}, {"type": "Work", "value": email, "primary": primary}],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": number, "division": division},
                "urn:acme:params:scim:schemas:extension:hr:1.0:User": {"orgUnit": custom}
            }))
        },
    )
}

/// What is not there is left out, as in a document that was read.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_languages_answer_the_same_about_anybody(user in user()) {
        let settings = json!({
            "extension": "urn:acme:params:scim:schemas:extension:hr:1.0:User", "department_attribute": "orgUnit", "login_domain": "acme.example",
            "contractor_email_suffixes": ["@contractors.acme.example"], "test_account_prefixes": ["test-"]
        }).to_string();
        let answers: Vec<Mapping> =
            languages().compiled.iter().map(|compiled| transform(&compiled.plugin, &settings, &user).mapping).collect();
        for (compiled, answer) in languages().compiled.iter().zip(&answers).skip(1) {
            prop_assert_eq!(answer, &answers[0], "`{}`", compiled.name);
        }
    }
}

#[test]
fn an_interpreter_is_read_back_in_milliseconds_after_a_restart() {
    let languages = languages();
    for Compiled { name, bytes, plugin, took } in &languages.compiled {
        let settings = "{}";
        let ann = json!({"userName": "Ann@acme.example"});
        let before = transform(plugin, settings, &ann);
        let restarted = sandbox(&languages.kept);
        let started = Instant::now();
        let again = restarted.load(bytes).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        let read_back = started.elapsed();
        let has = restarted.occupancy();
        assert_eq!((has.compiled, has.read_back), (0, 1), "`{name}`");
        assert_eq!(transform(&again, settings, &ann), before, "`{name}`: same answer, same fuel, from machine code that was kept");
        println!("{name}: compiled in {took:.1?}, read back in {read_back:.1?}");
        if plugin.kind() == Kind::Interpreter {
            assert!(read_back * 10 < *took, "`{name}`: {read_back:?} to read back, {took:?} to compile");
        }
    }
}

/// A question to a plugin of the corpus, and what it answers.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(default)]
    settings: Value,
    #[serde(default)]
    user: Value,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    tables: Tables,
    /// The answer, and the fuel that it took.
    answer: Value,
    fuel: u64,
}

/// A compiled plugin, and what is expected of it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    contract: String,
    hooks: Vec<String>,
    questions: Vec<Question>,
}

/// The answer as JSON, and the fuel.
fn asked(plugin: &Plugin, question: &Question) -> (Value, u64) {
    let settings = question.settings.to_string().into();
    let groups: Vec<&str> = question.groups.iter().map(String::as_str).collect();
    let tables = Arc::new(question.tables.clone());
    let as_of = AS_OF.parse().expect("an instant");
    let call = Call { as_of, connection: "connection", settings: &settings, user: &question.user, groups: &groups, tables: &tables };
    if plugin.transforms() {
        let said = plugin.transform_user(&call).expect("it answers");
        let answer = match said.mapping {
            Mapping::Account { shape, provenance } => json!({"account": shape, "provenance": provenance}),
            Mapping::OutOfScope { reason } => json!({"out_of_scope": reason}),
            Mapping::Refused { code, path, message } => json!({"refused": code, "path": path, "message": message}),
        };
        (answer, said.usage.fuel)
    } else {
        let account = AccountShape { user_name: "ann".into(), ..AccountShape::default() };
        let said = plugin.propose_roles(&call, &account).expect("it answers");
        let roles: Vec<Value> = said.proposals.into_iter().map(|found| json!({"role": found.role, "because": found.because})).collect();
        (json!({"roles": roles, "logs": said.logs}), said.usage.fuel)
    }
}

/// What was built for a version of the contract goes on as long as that version is served. `UPDATE_EXPECT=1` writes what is answered now;
/// only fuel may ever change, with the machine that counts it.
#[test]
fn plugins_of_every_version_of_the_contract_give_the_answers_that_they_gave() {
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("the sandbox can be made");
    let fixtures = repository().join("tests/fixtures/plugins");
    let mut seen = BTreeMap::new();
    for version in std::fs::read_dir(&fixtures).expect("the corpus is there") {
        let version = version.expect("it can be listed").path();
        for entry in std::fs::read_dir(&version).expect("a version has plugins") {
            let module = entry.expect("it can be listed").path();
            if module.extension().is_none_or(|ending| ending != "wasm") {
                continue;
            }
            let bytes = std::fs::read(&module).expect("a plugin can be read");
            let file = module.with_extension("json");
            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
            let mut kept: Kept = serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
            // Read from the bytes: nothing of the plugin has run.
            let found = plugins::inspect(&bytes).expect("it is WebAssembly");
            assert_eq!(found.contract.as_ref(), Some(&kept.contract), "{}", module.display());
            assert_eq!(version.file_name().and_then(|name| name.to_str()), Some(kept.contract.as_str()));
            let plugin = sandbox.load(&bytes).unwrap_or_else(|error| panic!("`{}`: {error}", module.display()));
            assert_eq!(plugin.hooks(), kept.hooks, "{}", module.display());
            let answers: Vec<(Value, u64)> = kept.questions.iter().map(|question| asked(&plugin, question)).collect();
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                for (question, (answer, fuel)) in kept.questions.iter_mut().zip(answers) {
                    (question.answer, question.fuel) = (answer, fuel);
                }
                let written = serde_json::to_string_pretty(&kept).expect("it is JSON") + "\n";
                std::fs::write(&file, written).expect("it can be written");
            } else {
                for (question, (answer, fuel)) in kept.questions.iter().zip(answers) {
                    assert_eq!((&answer, fuel), (&question.answer, question.fuel), "{}: {}", module.display(), question.user);
                }
            }
            seen.insert(module, kept.questions.len());
        }
    }
    assert!(seen.len() >= 2 && seen.values().all(|questions| *questions >= 3), "{seen:?}");
}

/// Fuel and calls of a tenant's hook so far, as the server's metrics say.
async fn counted(server: &Server, tenant: &str, hook: &str) -> (u64, u64) {
    let metrics = server.operator.get(&format!("{}/metrics", server.url())).await.text;
    let of = |name: &str| -> u64 {
        let start = format!("{name}{{tenant=\"{tenant}\",hook=\"{hook}\"");
        metrics.lines().filter(|line| line.starts_with(&start)).filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    (of("rolecall_plugin_fuel_total"), of("rolecall_plugin_calls_total"))
}

on_both_databases! {
    /// What an author's machine says of a call is what a server says of it, to the unit, in every language.
    async fn the_same_answer_for_the_same_fuel_locally_and_in_a_server(database: Database) {
        let languages = languages();
        // The server has the other sandbox's folder and key, as after a restart: it compiles none of the interpreters.
        std::fs::create_dir_all(database.folder()).expect("a folder can be made");
        std::os::unix::fs::symlink(&languages.kept, database.folder().join("compiled")).expect("a link can be made");
        let server = Server::start_with(&database, |config| config.master_key = MasterKey::Hex(KEY.to_owned().into())).await;
        let cache = repository().join("target/corpus-cache");
        let environment = [("XDG_CACHE_HOME", cache.to_str().expect("the path is text"))];
        for Compiled { name, bytes, .. } in &languages.compiled {
            let folder = tempfile::tempdir().expect("a folder can be made");
            for (path, contents) in folder_with(bytes) {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
                std::fs::write(path, contents).expect("a file can be written");
            }
            let id = name.replace('_', "-");
            let made = server.tenant(&id).with_folder(folder.path()).create().await;
            let connection = made.connection(&server, "directory").await;
            let more = json!({
                "displayName": "Lee, Ann", "title": "Harbour  pilot", "emails": [{"type": "work", "value": "Ann.Lee@acme.example"}],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "7", "department": "Harbour"},
            });
            let before = counted(&server, &id, "transform-user").await;
            connection.create_with("Ann.Lée@acme.example", more.clone()).await;
            server.settle().await;
            let after = counted(&server, &id, "transform-user").await;
            let (fuel, calls) = (after.0 - before.0, after.1 - before.1);
            assert!(calls > 0, "`{name}`: nobody was evaluated");

            let person = tenant::user("Ann.Lée@acme.example", more).to_string();
            let arguments = ["plugin", "run", folder.path().to_str().expect("the path is text"), "--connection", &connection.id, "--json"];
            let (done, out, error) = process::feed(&arguments, &environment, &person).await;
            assert!(done, "`{name}`: {out}{error}");
            let said: Value = serde_json::from_str(&out).expect("the answer is JSON");
            let local = said["calls"][0]["fuel"].as_u64().expect("fuel is a number");
            assert_eq!(fuel, local * calls, "`{name}`: fuel of {calls} calls in the server, and of one here");
            println!("{name}: {local} fuel, here and in the server");

            let account = made.account("ann.lee@acme.example").await;
            let answered = json!({"account": account["profile"], "provenance": account["provenance"]});
            assert_eq!(answered, said["answer"], "`{name}`: {account}");
        }
        server.stop().await;
    }
}
