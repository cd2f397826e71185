//! Compiled plugins on disk: read back when they are what was written, compiled again when anything about them is not.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::crypto::SecretKey;

fn with_artefacts(dir: &Path, key: &SecretKey) -> Sandbox {
    let artefacts = Some(Artefacts::new(dir.to_owned(), key.clone()));
    Sandbox::new(&SandboxConfig { concurrency: 1, artefacts, ..SandboxConfig::default() }).unwrap()
}

/// Loads the plugin in a new sandbox, as after a restart; gives how many were compiled and how many read back.
fn after_restart(dir: &Path, key: &SecretKey, module: &[u8]) -> (u64, u64) {
    let sandbox = with_artefacts(dir, key);
    let plugin = sandbox.load(module).unwrap();
    assert!(with_call(|call| plugin.transform_user(call)).is_ok());
    let has = sandbox.occupancy();
    assert_eq!((has.running, has.plugins), (0, 1));
    (has.compiled, has.read_back)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_plugin_is_compiled_once_and_read_back_after_a_restart() {
    let (folder, key) = (tempfile::tempdir().unwrap(), SecretKey::random());
    let dir = folder.path().join("compiled");
    assert_eq!(after_restart(&dir, &key, &good()), (1, 0));
    assert_eq!(after_restart(&dir, &key, &good()), (0, 1));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&files(&dir)[0])), (0o700, 0o600), "nobody else reads or writes them");
}

#[test]
fn what_is_not_what_was_written_is_compiled_again() {
    let (folder, key) = (tempfile::tempdir().unwrap(), SecretKey::random());
    let dir = folder.path();
    assert_eq!(after_restart(dir, &key, &good()), (1, 0));
    let [file] = &files(dir)[..] else { panic!("one plugin is one file") };
    let whole = fs::read(file).unwrap();
    let flipped = |at: usize| {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        altered
    };
    let cut = |bytes: usize| whole[..bytes].to_vec();
    let longer = [&whole[..], b"x"].concat();
    for altered in [flipped(0), flipped(40), flipped(whole.len() - 1), cut(0), cut(20), cut(whole.len() - 1), longer] {
        fs::write(file, altered).unwrap();
        assert_eq!(after_restart(dir, &key, &good()), (1, 0));
        assert_eq!(fs::read(file).unwrap().len(), whole.len(), "it is written again");
        assert_eq!(after_restart(dir, &key, &good()), (0, 1));
    }
}

#[test]
fn an_artefact_of_another_plugin_or_another_installation_is_not_loaded() {
    let (folder, key) = (tempfile::tempdir().unwrap(), SecretKey::random());
    let dir = folder.path();
    let other = Guest { body: "(i32.const 0)".into(), ..Guest::transformer() }.module();
    let sandbox = with_artefacts(dir, &key);
    let (one, two) = (sandbox.load(&good()).unwrap(), sandbox.load(&other).unwrap());
    let of = |plugin: &Plugin| files(dir).into_iter().find(|file| file.to_string_lossy().contains(plugin.digest())).unwrap();
    fs::copy(of(&two), of(&one)).unwrap();
    assert_eq!(after_restart(dir, &key, &good()), (1, 0), "its name is under the tag");
    assert_eq!(after_restart(dir, &SecretKey::random(), &good()), (1, 0), "another installation's key");
}

#[test]
fn a_folder_that_can_not_be_had_costs_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(after_restart(&file.join("below"), &SecretKey::random(), &good()), (1, 0));
}

#[test]
fn what_is_no_plugin_is_not_kept() {
    let (folder, key) = (tempfile::tempdir().unwrap(), SecretKey::random());
    let sandbox = with_artefacts(folder.path(), &key);
    let mut guest = Guest::transformer();
    guest.items = "(func $start unreachable) (start $start)".into();
    assert!(sandbox.load(&guest.module()).is_err());
    assert!(files(folder.path()).is_empty());
}
