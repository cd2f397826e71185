//! JavaScript and Python: the vendored kit builds the plugin, with the language's own interpreter and with tools that it installs once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::plugins_folder;

/// How a scripting language's plugins are built.
pub struct Scripted {
    /// What runs the kit's builder.
    interpreter: &'static str,
    /// The kit's builder.
    builder: &'static str,
    /// What to do when the interpreter is missing.
    install: &'static str,
}

/// JavaScript.
pub const JS: Scripted = Scripted {
    interpreter: "node",
    builder: "vendor/rolecall-plugin/build.js",
    install: "JavaScript plugins are built with Node.js 20 or newer and its npm; on Debian, `apt-get install nodejs npm`",
};

/// Python.
pub const PYTHON: Scripted = Scripted {
    interpreter: "python3",
    builder: "vendor/rolecall-plugin/build.py",
    install: "Python plugins are built with Python 3.11 or newer and its venv; on Debian, `apt-get install python3 python3-venv`",
};

/// Builds the project; gives where its component is put. A build whose sources have not changed does nothing.
pub fn build(dir: &Path, language: &Scripted) -> anyhow::Result<PathBuf> {
    let builder = dir.join(language.builder);
    if !builder.is_file() {
        bail!("there is no `{}`: `rolecall plugin new` makes a folder with the kit in it", builder.display());
    }
    let put = plugins_folder(dir)?.join(format!("{}.wasm", module(dir)?));
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
    match built {
        Ok(status) if status.success() => Ok(put),
        Ok(_) => bail!("the plugin can't be built"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no `{}`: {}", language.interpreter, language.install),
        Err(error) => Err(error).with_context(|| format!("`{}` can't be run", language.interpreter)),
    }
}

/// The name of the component: the one that tenant.toml names, which is all that a project says of it.
fn module(dir: &Path) -> anyhow::Result<String> {
    let settings = dir.join("tenant.toml");
    let text = std::fs::read_to_string(&settings).with_context(|| format!("`{}` can't be read", settings.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("`{}` is no TOML", settings.display()))?;
    let plugins = table.get("plugins").and_then(toml::Value::as_table);
    let files = plugins.into_iter().flat_map(toml::Table::values).filter_map(|hook| hook.get("file").and_then(toml::Value::as_str));
    let names = files.filter_map(|file| file.strip_prefix("plugins/").and_then(|file| file.strip_suffix(".wasm")));
    let name = names.filter(|name| !name.contains(['/', '\\'])).map(str::to_owned).next();
    name.with_context(|| format!("`{}` names no plugin: `[plugins.transform]` with `file = \"plugins/….wasm\"`", settings.display()))
}
