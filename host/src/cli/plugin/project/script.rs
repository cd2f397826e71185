//! JavaScript and Python: the vendored kit builds the plugin, with the language's own interpreter and with tools that it installs once.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::plugins_folder;

/// How a scripting language's plugins are built.
pub struct Scripted {
    /// What runs the kit's builder.
    interpreter: &'static str,
    /// The oldest version of it that does: major and minor.
    oldest: (u32, u32),
    /// The kit's builder.
    builder: &'static str,
    /// What to do when the interpreter is missing or too old.
    install: &'static str,
}

/// JavaScript.
pub const JS: Scripted = Scripted {
    interpreter: "node",
    oldest: (20, 0),
    builder: "vendor/rolecall-plugin/build.js",
    install: "JavaScript plugins are built with Node.js 20 or newer and its npm: install it from https://nodejs.org/en/download, \
              or on Debian 13 and newer with `apt-get install nodejs npm`",
};

/// Python.
pub const PYTHON: Scripted = Scripted {
    interpreter: "python3",
    oldest: (3, 11),
    builder: "vendor/rolecall-plugin/build.py",
    install: "Python plugins are built with Python 3.11 or newer and its venv: install it from https://www.python.org/downloads/, \
              or on Debian 12 and newer with `apt-get install python3 python3-venv`",
};

/// Builds the project; gives where its component is put. A build whose sources have not changed does nothing.
pub fn build(dir: &Path, language: &Scripted) -> anyhow::Result<PathBuf> {
    let builder = dir.join(language.builder);
    if !builder.is_file() {
        bail!("there is no `{}`: `rolecall plugin new` makes a folder with the kit in it", builder.display());
    }
    let put = plugins_folder(dir)?.join(format!("{}.wasm", module(dir)?));
    language.is_there()?;
    let built = Command::new(language.interpreter)
        .arg(&builder)
        .arg("build")
        .arg(dir)
        .arg(&put)
        .current_dir(dir)
        .stdin(Stdio::null())
        // Standard output is the command's own answer.
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    let built = built.with_context(|| format!("`{}` can't be run", language.interpreter))?;
    if !built.success() {
        bail!("the plugin can't be built");
    }
    Ok(put)
}

impl Scripted {
    /// Whether the interpreter is there and new enough: an old one would stop at a line of the builder that it can't read, and say nothing that helps.
    fn is_there(&self) -> anyhow::Result<()> {
        let Self { interpreter, install, oldest, .. } = self;
        let said = match Command::new(interpreter).arg("--version").stdin(Stdio::null()).output() {
            Ok(said) => said,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no `{interpreter}` on the PATH: {install}"),
            Err(error) => return Err(error).with_context(|| format!("`{interpreter}` can't be run: {install}")),
        };
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr);
            bail!("`{interpreter} --version` fails ({}): {}\n{install}", said.status, why.trim());
        }
        let said = String::from_utf8_lossy(&said.stdout);
        // One that says nothing that is known is left to the builder.
        if version(&said).is_some_and(|version| version < *oldest) {
            bail!("`{interpreter}` is too old ({}): {install}", said.trim());
        }
        Ok(())
    }
}

/// Major and minor version of what an interpreter says of itself: `v20.11.1`, `Python 3.11.4`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().rsplit(' ').next()?.trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The name of the component: the one that tenant.toml names, which is all that a project says of it.
fn module(dir: &Path) -> anyhow::Result<String> {
    let settings = dir.join("tenant.toml");
    let files = super::named(dir)?;
    let names = files.iter().filter_map(|file| file.strip_prefix("plugins/").and_then(|file| file.strip_suffix(".wasm")));
    let name = names.filter(|name| !name.contains(['/', '\\'])).map(str::to_owned).next();
    name.with_context(|| format!("`{}` names no plugin: `[plugins.transform]` with `file = \"plugins/….wasm\"`", settings.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_say_their_versions() {
        for (said, found) in [
            ("v20.11.1\n", Some((20, 11))),
            ("Python 3.9.2\n", Some((3, 9))),
            ("v24.0.0-nightly", Some((24, 0))),
            ("", None),
            ("node", None),
        ] {
            assert_eq!(version(said), found, "{said}");
        }
        assert!((3, 9) < PYTHON.oldest && (3, 11) >= PYTHON.oldest && (18, 19) < JS.oldest);
    }
}
