//! Which files a tenant folder consists of, how large they may be, and reading them from a disk without leaving the folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Files;
use crate::diagnostic::Diagnostic;
use crate::plugins::limits::PLUGIN_BYTES_LIMIT;

/// The file that names everything else.
pub const SETTINGS: &str = "tenant.toml";
/// The most files of a revision: it is read, hashed and stored as a whole.
const FILES_LIMIT: usize = 1_000;
/// The most bytes of a settings file, policy, schema or golden case: people write and review them.
const TEXT_BYTES_LIMIT: usize = 1 << 20;
/// The most bytes of a lookup table: all tables of a tenant stay in memory.
const TABLE_BYTES_LIMIT: usize = 8 << 20;
/// The most bytes of a revision: it crosses the API in one request and is read as a whole.
pub const TOTAL_BYTES_LIMIT: usize = 47 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Settings,
    Policy,
    PolicyTest,
    Admin,
    AdminTest,
    Plugin,
    Signature,
    Table,
    Schema,
    Test,
}

/// What stands behind the path of a plugin in that of its signature.
pub const SIGNATURE_ENDING: &str = ".sig";
/// The most bytes of a signature: one is 88 characters.
const SIGNATURE_BYTES_LIMIT: usize = 1_024;

/// Whether a path of a revision is a plugin's.
#[must_use]
pub fn is_plugin(path: &str) -> bool {
    Kind::of(path) == Some(Kind::Plugin)
}

/// The folders, what they hold, and the ending of their files.
const FOLDERS: [(&str, Kind, &str); 8] = [
    ("policies", Kind::Policy, "cedar"),
    ("policies", Kind::PolicyTest, "test.json"),
    ("admin", Kind::Admin, "cedar"),
    ("admin", Kind::AdminTest, "test.json"),
    ("plugins", Kind::Plugin, "wasm"),
    ("tables", Kind::Table, "csv"),
    ("schemas", Kind::Schema, "json"),
    ("tests", Kind::Test, "json"),
];

impl Kind {
    /// What the file at a path of a revision is for; `None` where it is no part of one.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path == SETTINGS {
            return Some(Self::Settings);
        }
        if let Some(signed) = path.strip_suffix(SIGNATURE_ENDING) {
            return is_plugin(signed).then_some(Self::Signature);
        }
        let (folder, name) = path.split_once('/')?;
        let here = FOLDERS.into_iter().filter(|(known, _, _)| *known == folder);
        let (stem, kind) = here.filter_map(|(_, kind, ending)| Some((name.strip_suffix(ending)?.strip_suffix('.')?, kind))).next()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        (!stem.is_empty() && !stem.starts_with('.') && stem.chars().all(plain)).then_some(kind)
    }

    fn bytes_limit(self) -> usize {
        match self {
            Self::Settings | Self::Policy | Self::PolicyTest | Self::Admin | Self::AdminTest | Self::Schema | Self::Test => {
                TEXT_BYTES_LIMIT
            }
            Self::Table => TABLE_BYTES_LIMIT,
            Self::Plugin => PLUGIN_BYTES_LIMIT,
            Self::Signature => SIGNATURE_BYTES_LIMIT,
        }
    }
}

/// The file's name without folder and ending.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Checks that the files are those of a revision and within bounds, wherever they came from.
pub(super) fn check(files: &Files) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (path, contents) in files {
        match Kind::of(path) {
            None => problems.push(stray(path)),
            Some(kind) if contents.len() > kind.bytes_limit() => problems.push(too_large(path, kind)),
            Some(_) => {}
        }
    }
    if files.len() > FILES_LIMIT {
        problems.push(Diagnostic::of_file("", format!("there are {} files: at most {FILES_LIMIT} are allowed", files.len())));
    }
    let total = files.values().fold(0_usize, |total, contents| total.saturating_add(contents.len()));
    if total > TOTAL_BYTES_LIMIT {
        problems.push(too_large_together());
    }
    problems
}

/// The files of a revision are larger together than [`TOTAL_BYTES_LIMIT`].
#[must_use]
pub fn too_large_together() -> Diagnostic {
    Diagnostic::of_file("", format!("the files have more than {TOTAL_BYTES_LIMIT} bytes together"))
}

fn stray(path: &str) -> Diagnostic {
    let help = "a revision is tenant.toml, policies/*.cedar and admin/*.cedar (and *.test.json), plugins/*.wasm (and *.wasm.sig), tables/*.csv, schemas/*.json \
                and tests/*.json, with names of ASCII letters, digits, `-`, `_` and `.`";
    Diagnostic::of_file(path, "the file is no part of a revision").with_help(help)
}

fn too_large(path: &str, kind: Kind) -> Diagnostic {
    let problem = Diagnostic::of_file(path, format!("the file is larger than {} bytes", kind.bytes_limit()));
    if kind == Kind::Plugin { problem.with_code("too_big") } else { problem }
}

/// Reads a tenant folder: only what a revision consists of, bounded. Other files beside `tenant.toml`, hidden files and READMEs
/// are left alone; a plugin that `tenant.toml` does not name is not read.
///
/// # Errors
/// What can't be read, is too large, has a name that would be overlooked, or leads out of the folder.
pub fn read_folder(dir: &Path) -> Result<Files, Vec<Diagnostic>> {
    let root =
        dir.canonicalize().map_err(|error| vec![unreadable("", &error).with_help(format!("`{}` must be a folder", dir.display()))])?;
    if !root.is_dir() {
        return Err(vec![Diagnostic::of_file("", "it is no folder").with_help(format!("`{}` must be a folder", dir.display()))]);
    }
    let mut reading = Reading { root, files: Files::new(), problems: Vec::new() };
    reading.read(SETTINGS, Kind::Settings);
    let plugins = named_plugins(reading.files.get(SETTINGS));
    let folders: BTreeSet<&str> = FOLDERS.into_iter().map(|(folder, _, _)| folder).collect();
    for folder in folders {
        for name in reading.list(folder) {
            let path = format!("{folder}/{name}");
            match Kind::of(&path) {
                None => reading.problems.push(stray(&path)),
                Some(Kind::Plugin | Kind::Signature) if !plugins.contains(path.trim_end_matches(SIGNATURE_ENDING)) => {}
                Some(_) if reading.files.len() >= FILES_LIMIT => {
                    let problem = Diagnostic::of_file(folder, format!("there are more than {FILES_LIMIT} files"));
                    return Err(vec![problem]);
                }
                Some(kind) => reading.read(&path, kind),
            }
        }
    }
    if reading.problems.is_empty() { Ok(reading.files) } else { Err(reading.problems) }
}

/// The plugin files that the settings name. Settings that can't be read name none: building the revision says what is wrong.
fn named_plugins(settings: Option<&Vec<u8>>) -> BTreeSet<String> {
    let text = settings.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let hooks = table.get("plugins").and_then(toml::Value::as_table).into_iter().flatten();
    hooks.filter_map(|(_, hook)| hook.get("file")?.as_str().map(str::to_owned)).collect()
}

fn unreadable(path: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::of_file(path, format!("can't be read: {error}"))
}

struct Reading {
    root: PathBuf,
    files: Files,
    problems: Vec<Diagnostic>,
}

impl Reading {
    /// The names in a folder of the root, sorted, without hidden files and READMEs. A folder that is not there is empty.
    fn list(&mut self, folder: &str) -> Vec<String> {
        let Some(path) = self.inside(folder) else { return Vec::new() };
        let mut names = Vec::new();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                self.problems.push(unreadable(folder, &error));
                return names;
            }
        };
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.file_name().to_string_lossy().into_owned(),
                Err(error) => {
                    self.problems.push(unreadable(folder, &error));
                    break;
                }
            };
            // What is passed over must not stand in the place of what is not: some systems leave a hidden file beside each.
            if name.starts_with('.') || name.starts_with("README") {
                continue;
            }
            names.push(name);
            // One more than allowed is enough to know that there are too many.
            if names.len() > FILES_LIMIT {
                break;
            }
        }
        names.sort();
        names
    }

    fn read(&mut self, path: &str, kind: Kind) {
        let Some(found) = self.inside(path) else { return };
        match read_bounded(&found, kind.bytes_limit()) {
            Ok(Some(contents)) => {
                self.files.insert(path.to_owned(), contents);
            }
            Ok(None) => self.problems.push(too_large(path, kind)),
            Err(error) => self.problems.push(unreadable(path, &error)),
        }
    }

    /// Where a path of the folder really is; `None` when there is nothing, or when it leads out of the folder, which is a problem.
    fn inside(&mut self, path: &str) -> Option<PathBuf> {
        let joined = self.root.join(path);
        joined.symlink_metadata().ok()?;
        match joined.canonicalize() {
            Ok(found) if found.starts_with(&self.root) => Some(found),
            Ok(_) => {
                let problem = Diagnostic::of_file(path, "the link leads out of the tenant folder");
                self.problems.push(problem.with_help("copy the file into the folder"));
                None
            }
            Err(error) => {
                self.problems.push(unreadable(path, &error));
                None
            }
        }
    }
}

/// The contents of a regular file; `None` when it is larger than `limit`. A device or a pipe might never end.
///
/// # Errors
/// Those of reading; anything but a regular file.
pub fn read_bounded(path: &Path, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut contents = Vec::new();
    // The file may grow while it is read.
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut contents)?;
    Ok((contents.len() <= limit).then_some(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn only_what_a_revision_consists_of_is_read() {
        let dir = folder(&[
            ("tenant.toml", "[plugins.transform]\nfile = \"plugins/a.wasm\"\n"),
            ("README.md", "x"),
            ("notes/x.txt", "x"),
            ("policies/a.cedar", "x"),
            ("policies/a.test.json", "x"),
            ("policies/.swap", "x"),
            ("policies/README.md", "x"),
            ("plugins/a.wasm", "x"),
            ("plugins/unnamed.wasm", "x"),
            ("tables/t.csv", "x"),
            ("tests/t.json", "x"),
        ]);
        let files = read_folder(dir.path()).unwrap();
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["plugins/a.wasm", "policies/a.cedar", "policies/a.test.json", "tables/t.csv", "tenant.toml", "tests/t.json"]);
        assert_eq!(check(&files), []);
    }

    /// Some systems leave a hidden file beside each.
    #[test]
    fn what_is_passed_over_takes_nobodys_place() {
        let dir = folder(&[("tenant.toml", ""), ("policies/a.cedar", "x")]);
        for number in 0..=FILES_LIMIT {
            fs::write(dir.path().join(format!("policies/._{number}.cedar")), "").unwrap();
        }
        assert_eq!(read_folder(dir.path()).unwrap().into_keys().collect::<Vec<_>>(), ["policies/a.cedar", "tenant.toml"]);
    }

    #[test]
    fn names_that_would_be_overlooked_are_problems() {
        let dir = folder(&[
            ("tenant.toml", ""),
            ("policies/a.ceder", "x"),
            ("policies/a.json", "x"),
            ("tests/deep/t.json", "x"),
            ("tables/a b.csv", "x"),
        ]);
        let problems = read_folder(dir.path()).unwrap_err();
        let found: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(found, ["policies/a.ceder", "policies/a.json", "tables/a b.csv", "tests/deep"]);
    }

    #[test]
    fn links_out_of_the_folder_are_refused_and_links_inside_are_read() {
        let outside = folder(&[("secret.cedar", "secret")]);
        let dir = folder(&[("tenant.toml", ""), ("policies/a.cedar", "x")]);
        std::os::unix::fs::symlink("a.cedar", dir.path().join("policies/b.cedar")).unwrap();
        assert_eq!(read_folder(dir.path()).unwrap()["policies/b.cedar"], b"x");
        std::os::unix::fs::symlink(outside.path().join("secret.cedar"), dir.path().join("policies/c.cedar")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("tables")).unwrap();
        let problems = read_folder(dir.path()).unwrap_err();
        let found: Vec<(&str, bool)> = problems.iter().map(|p| (p.file.as_str(), p.message.contains("out of the tenant folder"))).collect();
        assert_eq!(found, [("policies/c.cedar", true), ("tables", true)]);
    }

    #[test]
    fn files_beyond_their_bounds_are_refused_from_the_disk_and_from_elsewhere() {
        let large = "x".repeat(TEXT_BYTES_LIMIT + 1);
        let dir = folder(&[("tenant.toml", ""), ("policies/a.cedar", &large)]);
        assert!(read_folder(dir.path()).unwrap_err()[0].message.contains("larger than 1048576 bytes"));
        let files = Files::from([("policies/a.cedar".into(), large.into_bytes()), ("../tenant.toml".into(), Vec::new())]);
        let problems = check(&files);
        let found: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(found, ["../tenant.toml", "policies/a.cedar"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_to_be_none() {
        let dir = folder(&[]);
        let problems = read_folder(&dir.path().join("missing")).unwrap_err();
        assert!(problems[0].help.as_ref().unwrap().contains("missing"));
    }
}
