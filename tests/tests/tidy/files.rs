//! What any file has to keep to: names, opening lines, forbidden words and places.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{all_files, all_texts, code, none, root, texts, without_tests};

/// A file's stem that says nothing about what is in it.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "service", "misc"];

/// File names that are written in capitals by convention.
const CAPITAL_NAMES: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "Cargo.toml", "Cargo.lock", "Caddyfile"];

/// The most lines of a source file: past it, it holds more than one thing.
const FILE_LINES_LIMIT: usize = 1_000;

#[test]
fn names_are_kebab_or_snake_case_and_say_something() {
    let mut findings = Vec::new();
    for path in all_files() {
        let name = Path::new(&path).file_name().unwrap().to_str().unwrap();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if !CAPITAL_NAMES.contains(&name) && !name.chars().all(plain) {
            findings.push(format!("{path}: lower case, digits, `-` and `_` only"));
        }
        let stem = name.split('.').next().unwrap_or(name);
        if EMPTY_NAMES.contains(&stem) {
            findings.push(format!("{path}: name it for what it holds"));
        }
        if name == "mod.rs" {
            findings.push(format!("{path}: use `foo.rs` with `foo/` beside it"));
        }
    }
    none("file names", findings);
}

#[test]
fn source_files_open_with_what_they_own() {
    let findings = texts(&["rs"]).into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    none("every Rust file opens with `//!`: what it owns and what it must not know", findings);
}

#[test]
fn source_files_are_of_a_size_that_can_be_read() {
    let findings = texts(&["rs"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_LIMIT)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {FILE_LINES_LIMIT}"))
        .collect();
    none("long files", findings);
}

#[test]
fn documentation_has_no_code_that_nobody_runs() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs"]).into_iter().filter(|(path, _)| !path.starts_with("plugin-sdk/")) {
        let mut open = false;
        for (number, line) in text.lines().enumerate() {
            let Some((_, kind)) = line.trim_start().strip_prefix("//").and_then(|rest| rest.split_once("```")) else { continue };
            open = !open;
            if open && !["text", "json", "toml", "sql"].contains(&kind) {
                findings.push(format!("{path}:{}: `{kind}`: doc tests are not built", number + 1));
            }
        }
    }
    none("code in documentation", findings);
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not find itself.
    let words =
        [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["X", "XX"].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let mut findings = Vec::new();
    for (path, text) in all_texts() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| contains_word(line, word)) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("unfinished work", findings);
}

/// Whether `word` stands in `line` not as part of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let starts_word = word.starts_with(char::is_alphanumeric);
    let ends_word = word.ends_with(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !(starts_word && part_of_word(before) || ends_word && part_of_word(after))
    })
}

#[test]
fn nothing_names_a_machine_or_a_registry_host() {
    let marks = [
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/wo", "rk/"].concat(),
        ["index.", "crates.io"].concat(),
        ["static.", "crates.io"].concat(),
        ["registry.", "npmjs"].concat(),
        ["files.", "pythonhosted"].concat(),
        ["deb.", "debian.org"].concat(),
    ];
    let mut findings = Vec::new();
    for (path, text) in all_texts() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("machines and registry hosts", findings);
}

/// The names of modules that are declared as `#[cfg(test)] mod name;`, for their parents or not.
fn test_modules() -> Vec<String> {
    let mut names = Vec::new();
    for (_, text) in texts(&["rs"]) {
        let mut in_tests = false;
        for line in text.lines() {
            let declared = line.strip_prefix("pub(super) ").unwrap_or(line);
            let name = declared.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            if let (true, Some(name)) = (in_tests, name) {
                names.push(name.to_owned());
            }
            in_tests = line == "#[cfg(test)]" || (in_tests && line.starts_with("#["));
        }
    }
    names
}

#[test]
fn nothing_outside_tests_stops_at_a_surprise() {
    let mut findings = Vec::new();
    let test_modules = test_modules();
    for (path, text) in texts(&["rs"]) {
        let is_test = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
        if is_test {
            continue;
        }
        // Whole files of unit tests say so in their first attribute, or where they are declared.
        let declared = test_modules.iter().any(|module| path.ends_with(&format!("/{module}.rs")));
        if declared || text.lines().any(|line| line.starts_with("#![expect(clippy::unwrap_used")) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            if code(line).contains(".unwrap()") {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("`unwrap` outside tests: return an error, or `expect` with why it can't happen", findings);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let mark = ["#[al", "low("].concat();
    let inner = ["#![al", "low("].concat();
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs"]) {
        for (number, line) in text.lines().enumerate() {
            if code(line).contains(&mark) || code(line).contains(&inner) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("use `#[expect(…, reason = \"…\")]`", findings);
}

#[test]
fn text_files_end_with_a_line_and_lines_without_blanks() {
    let mut findings = Vec::new();
    for (path, text) in all_texts() {
        if path.ends_with(".json") || path.ends_with(".csv") || path.ends_with(".min.js") || path.contains("/testdata/") || text.is_empty()
        {
            continue;
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            findings.push(format!("{path}: ends with exactly one line end"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) || line.contains('\r') {
                findings.push(format!("{path}:{}: blanks at the end of the line", number + 1));
            }
        }
    }
    none("white space", findings);
}

#[test]
fn scripts_stop_at_errors_say_what_they_do_and_can_be_run() {
    let mut findings = Vec::new();
    let scripts: Vec<_> = all_texts().into_iter().filter(|(path, _)| path.starts_with("scripts/") || path == ".ci/run").collect();
    assert!(scripts.len() > 5, "scripts were not found");
    for (path, text) in scripts {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if path.ends_with(".md") {
            continue;
        }
        if !first.starts_with("#!/usr/bin/env ") {
            findings.push(format!("{path}: opens with `#!/usr/bin/env …`"));
        }
        if !lines.next().is_some_and(|line| line.starts_with("# ") || line.starts_with("\"\"\"") || line.starts_with("// ")) {
            findings.push(format!("{path}: the second line says what it does"));
        }
        if first.ends_with("bash") && !text.contains("\nset -euo pipefail\n") && !text.contains("\nset -uo pipefail\n") {
            findings.push(format!("{path}: `set -euo pipefail`"));
        }
        let mode = std::fs::metadata(root().join(&path)).unwrap().permissions().mode();
        if mode & 0o111 == 0 {
            findings.push(format!("{path}: can't be executed"));
        }
    }
    none("scripts", findings);
}

#[test]
fn limits_of_statements_have_a_sign() {
    let mut findings = Vec::new();
    for (path, text) in texts(&["rs"]).into_iter().filter(|(path, _)| path.starts_with("host/src/store/shared")) {
        for (number, line) in text.lines().enumerate() {
            if line.contains("LIMIT $") || line.contains("LIMIT \").push_bind") {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("write `LIMIT +$3`: SQLite plans a statement anew each time a bare parameter of its LIMIT is given", findings);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let of = |database: &str| -> Vec<String> {
        let folder = format!("host/migrations/{database}/");
        all_files().into_iter().filter_map(|path| path.strip_prefix(&folder).map(str::to_owned)).collect()
    };
    let (sqlite, postgres) = (of("sqlite"), of("postgres"));
    assert!(!sqlite.is_empty(), "no migrations were found");
    assert_eq!(sqlite, postgres, "same numbers, same names");
    for (index, name) in sqlite.iter().enumerate() {
        let number = name.split('_').next().and_then(|number| number.parse::<usize>().ok());
        assert_eq!(number, Some(index + 1), "`{name}`: migrations are numbered without gaps");
    }
}
