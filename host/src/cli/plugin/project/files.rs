//! The files of a new project in each language. `{name}` and `{module}` stand for its name and its module's; what is vendored stays as it is.

use super::Language;

macro_rules! template {
    ($($path:literal = $file:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../template/", $file)))),+]
    };
}

macro_rules! kit {
    ($language:literal: $($file:literal),+ $(,)?) => {
        [$((concat!("vendor/rolecall-plugin/", $file), include_str!(concat!("../../../../../plugin-sdk/", $language, "/", $file)))),+]
    };
}

/// What every project has: a tenant folder with golden cases, and the contract.
const SHARED: [(&str, &str); 5] = [
    ("tenant.toml", include_str!("../template/tenant.toml")),
    ("tests/account.json", include_str!("../template/account.json")),
    ("tests/ignored.json", include_str!("../template/ignored.json")),
    (
        "vendor/README.md",
        concat!(
            "Vendored from Rolecall ",
            env!("CARGO_PKG_VERSION"),
            ": not to be edited. The contract is in wit/, the kit in rolecall-plugin/.\n"
        ),
    ),
    ("vendor/wit/v1/plugin.wit", include_str!("../../../../../plugin-sdk/wit/v1/plugin.wit")),
];

const RUST: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../template/manifest.toml")),
    ("src/lib.rs", include_str!("../template/mapping.rs")),
    (".gitignore", "/target\n"),
];

const RUST_KIT: [(&str, &str); 8] =
    kit!["rust": "Cargo.toml", "src/account.rs", "src/guest.rs", "src/lib.rs", "src/memory.rs", "src/run.rs", "src/text.rs", "src/user.rs"];

const JS: [(&str, &str); 3] = template!["src/plugin.js" = "plugin.js", "package.json" = "package.json", "tsconfig.json" = "tsconfig.json"];

const JS_KIT: [(&str, &str); 19] = kit![
    "js": "package.json", "account.js", "build.js", "guest.d.ts", "guest.js", "index.d.ts", "index.js", "run.d.ts", "run.js", "text.js", "user.js",
    "contract/plugin.d.ts",
    "contract/interfaces/rolecall-plugin-host.d.ts",
    "contract/interfaces/rolecall-plugin-info.d.ts",
    "contract/interfaces/rolecall-plugin-propose.d.ts",
    "contract/interfaces/rolecall-plugin-transform.d.ts",
    "contract/interfaces/rolecall-plugin-types.d.ts",
    "tools/package.json",
    "tools/package-lock.json",
];

const PYTHON: [(&str, &str); 2] = template!["src/plugin.py" = "plugin.py", "pyproject.toml" = "pyproject.toml"];

const PYTHON_KIT: [(&str, &str); 10] = kit![
    "python": "build.py", "pyproject.toml", "requirements.txt",
    "rolecall_plugin/__init__.py",
    "rolecall_plugin/account.py",
    "rolecall_plugin/guest.py",
    "rolecall_plugin/py.typed",
    "rolecall_plugin/run.py",
    "rolecall_plugin/text.py",
    "rolecall_plugin/user.py",
];

/// What a scripted plugin's folder has that is made and not written.
const MADE: (&str, &str) = (".gitignore", "/.tools\n/node_modules\n/plugins/.*\n__pycache__/\n");

/// The files of a new project: their paths and texts.
pub fn of(language: Language) -> Vec<(&'static str, &'static str)> {
    let (own, kit): (Vec<_>, &[_]) = match language {
        Language::Rust => (RUST.to_vec(), &RUST_KIT),
        Language::Js => (JS.into_iter().chain([MADE]).collect(), &JS_KIT),
        Language::Python => (PYTHON.into_iter().chain([MADE]).collect(), &PYTHON_KIT),
    };
    own.into_iter().chain(SHARED).chain(kit.iter().copied()).collect()
}
