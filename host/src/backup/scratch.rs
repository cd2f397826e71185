//! A folder beside a file that is being made: what is in it is put in place in one step, or goes. Knows paths alone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Where a file is made. It goes when this is dropped; what a kill leaves goes with the next one of its name.
pub struct Scratch {
    folder: PathBuf,
    _held: File,
}

impl Scratch {
    /// A folder beside `target`, on the same disk, for this process alone.
    ///
    /// # Errors
    /// When it can't be made, or another process makes the same file.
    pub fn beside(target: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name = target.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let folder = parent(target).join(format!(".{}.partial", name.display()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let held = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        held.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other(format!("another process is making `{}`: let it end", target.display())),
            TryLockError::Error(error) => error,
        })?;
        let scratch = Self { folder, _held: held };
        for left in std::fs::read_dir(&scratch.folder)? {
            let left = left?;
            if left.file_name() != "lock" {
                std::fs::remove_file(left.path())?;
            }
        }
        Ok(scratch)
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a file of it in place, durably: whoever looks sees what was there before, or all of it.
    ///
    /// # Errors
    /// When it can't be.
    pub fn place(&self, name: &str, target: &Path) -> io::Result<()> {
        File::open(self.file(name))?.sync_all()?;
        std::fs::rename(self.file(name), target)?;
        File::open(parent(target))?.sync_all()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done where it can't be removed: the next one of its name tries again.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn parent(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_goes_and_two_do_not_make_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.backup");
        let left = dir.path().join(".a.backup.partial");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("payload"), "half").unwrap();
        let scratch = Scratch::beside(&target).unwrap();
        assert!(!scratch.file("payload").exists());
        let refused = Scratch::beside(&target).err().unwrap().to_string();
        assert!(refused.contains("another process"), "{refused}");
        std::fs::write(scratch.file("payload"), "whole").unwrap();
        scratch.place("payload", &target).unwrap();
        drop(scratch);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
