//! House rules as tests: what every file of the repository has to keep to, so that nobody has to remember it.
//!
//! Reads files only; starts no server and knows nothing of what Rolecall does.
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/limits.rs"]
mod limits;
#[path = "tidy/rooms.rs"]
mod rooms;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file that is, or is about to be, part of the repository: its path from the root, with `/`.
fn all_files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the repository's files");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    assert!(files.len() > 20, "only {} files were found: the tests would hold nothing", files.len());
    files
}

/// Files with one of the extensions, with their text.
fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    all_files()
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)))
        .map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            (path, text)
        })
        .collect()
}

/// Every file that holds text that somebody wrote, with it. What a fuzzer wrote may say anything.
fn all_texts() -> Vec<(String, String)> {
    let written = all_files().into_iter().filter(|path| !path.contains("/fuzz/testdata/"));
    written.filter_map(|path| std::fs::read_to_string(root().join(&path)).ok().map(|text| (path, text))).collect()
}

/// The code of a line: what stands before a comment.
fn code(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        return "";
    }
    line.split(" // ").next().unwrap_or(line)
}

/// The part of a source file that is not its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// Fails with every finding at once.
#[track_caller]
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}\n", findings.join("\n  "));
}
