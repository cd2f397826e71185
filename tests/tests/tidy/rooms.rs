//! The rooms of the host crate and who may know whom: `host/ARCHITECTURE.md`, "Code map", held by tests.

use super::{code, none, texts, without_tests};

/// A crate and the one room that may name it.
const OWNED_CRATES: &[(&str, &str)] = &[
    ("wasmtime", "plugins"),
    ("cedar_policy", "policies"),
    ("cedar_policy_formatter", "policies"),
    ("sqlx", "store"),
    ("deadpool", "store"),
    ("prometheus_client", "metrics"),
    ("ring", "crypto"),
    ("notify", "reload"),
    ("reqwest", "outgoing"),
];

/// A room that names a crate which another owns, and why that is right.
const NAMED_BESIDE: &[(&str, &str, &str)] = &[
    ("cli", "reqwest", "commands talk to the Rolecall that their user names, which is often on their own machine"),
    ("backup", "reqwest", "a database's URL is taken apart, and nothing is called"),
];

/// The rooms from the top down: each may name those below it.
const ROOMS: &[&str] = &[
    "main",
    "cli",
    "http",
    "auth",
    "reload",
    "jobs",
    "delivery",
    "provisioning",
    "trial",
    "tenancy",
    "app",
    "journal",
    "watch",
    "issuer",
    "history",
    "lifecycle",
    "evaluation",
    "revision",
    "plugins",
    "policies",
    "backup",
    "store",
    "mapping",
    "diagnostic",
    "spreadsheet",
    "metrics",
    "compute",
    "crypto",
    "clock",
    "config",
    "outgoing",
    "rate",
    "health",
    "model",
];

/// A room that names one above it, and why that is right.
const UPWARD: &[(&str, &str, &str)] = &[
    ("app", "tenancy", "the parts of a process hold the memory of built revisions, which only tenancy fills and reads"),
    ("app", "trial", "the parts of a process hold the shadows, which provisioning tells of decisions"),
    ("app", "provisioning", "the parts of a process hold the turns of writers, which only provisioning takes"),
    ("revision", "evaluation", "a revision's golden cases are run by the one decision"),
];

/// Rooms that decide: without I/O, so that the same inputs give the same answer wherever they are asked.
const PURE_ROOMS: &[&str] = &["evaluation", "lifecycle", "mapping", "model", "policies"];

/// What a pure room can't name.
const IMPURE_NAMES: &[&str] =
    &["tokio::", "std::fs", "std::net", "std::env", "std::process", "SystemTime", "getrandom", "async fn", "reqwest"];

/// The room that a file of the host crate belongs to.
fn room(path: &str) -> Option<&str> {
    path.strip_prefix("host/src/")?.split(['/', '.']).next()
}

/// The host's source files with their rooms.
fn sources() -> Vec<(String, String, String)> {
    let sources: Vec<_> = texts(&["rs"])
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/tests.rs"))
        .filter_map(|(path, text)| room(&path).map(str::to_owned).map(|room| (room, path, text)))
        .collect();
    assert!(sources.len() > 10, "the host's sources were not found");
    sources
}

/// Whether a line of code names the crate, as a path or in `use`.
fn names_crate(line: &str, name: &str) -> bool {
    let code = code(line);
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"' || c == '/');
        whole && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
    })
}

#[test]
fn a_library_is_named_by_the_room_that_owns_it_alone() {
    let mut findings = Vec::new();
    for (room, path, text) in sources() {
        for (name, owner) in OWNED_CRATES {
            let is_beside = NAMED_BESIDE.iter().any(|(beside, crate_name, _)| *beside == room && crate_name == name);
            for (number, line) in text.lines().enumerate().filter(|_| room != *owner && !is_beside) {
                if names_crate(line, name) {
                    findings.push(format!("{path}:{}: names `{name}`, which only `{owner}` may: {}", number + 1, line.trim()));
                }
            }
        }
    }
    none("owned libraries", findings);
    for (name, owner) in OWNED_CRATES {
        let used = sources().iter().any(|(room, _, text)| room == owner && text.lines().any(|line| names_crate(line, name)));
        assert!(used, "`{owner}` does not name `{name}` at all: this rule holds nothing any more");
    }
}

#[test]
fn rooms_depend_on_rooms_below_them() {
    let rank = |room: &str| ROOMS.iter().position(|name| *name == room);
    let mut findings = Vec::new();
    for (room, path, text) in sources() {
        if room == "lib" {
            continue;
        }
        let Some(own) = rank(&room) else {
            findings.push(format!("{path}: the room `{room}` has no place in this test's list and in host/ARCHITECTURE.md"));
            continue;
        };
        for (number, line) in without_tests(&text).lines().enumerate() {
            for named in
                code(line).split("crate::").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
            {
                let upward = rank(named).is_some_and(|other| other < own);
                if upward && !UPWARD.iter().any(|(from, to, _)| *from == room && *to == named) {
                    findings.push(format!("{path}:{}: `{room}` stands below `{named}`", number + 1));
                }
            }
        }
    }
    none("rooms depend only on rooms further down", findings);
}

#[test]
fn rooms_that_decide_do_no_input_or_output() {
    let mut findings = Vec::new();
    for (room, path, text) in sources() {
        if !PURE_ROOMS.contains(&room.as_str()) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            if let Some(name) = IMPURE_NAMES.iter().find(|name| code(line).contains(**name)) {
                findings.push(format!("{path}:{}: `{name}` in a pure room", number + 1));
            }
        }
    }
    none("pure rooms", findings);
}

#[test]
fn time_and_randomness_have_one_source_each() {
    let mut findings = Vec::new();
    for (room, path, text) in sources() {
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = code(line);
            if code.contains("getrandom::") && room != "crypto" {
                findings.push(format!("{path}:{}: randomness comes from `crypto`", number + 1));
            }
            if (code.contains("Timestamp::now(") || code.contains("SystemTime::now(")) && room != "clock" {
                findings.push(format!("{path}:{}: the time comes from `clock`", number + 1));
            }
        }
    }
    none("ambient authority", findings);
}
