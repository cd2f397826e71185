//! The example plugins as `scripts/build-plugins` built them.

use std::path::Path;

/// The bytes of an example plugin.
///
/// # Panics
/// When it was not built: `make` does so first.
#[must_use]
pub fn plugin(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("`{}`: {e}: build the plugins with `scripts/build-plugins` first", path.display()))
}
