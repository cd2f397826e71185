//! The contract, version 1, as the host speaks it: generated from `plugin-sdk/wit/v1`. The rest of the sandbox sees only these types,
//! so that another version is another file that converts to them.

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit/v1",
    world: "plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
    exports: { default: async },
});

pub use self::rolecall::plugin::host::Level;
pub use exports::rolecall::plugin::{info, propose, transform};

/// The instance that a plugin imports.
pub const HOST: &str = "rolecall:plugin/host@1.0.0";
/// What it imports because the others use its types.
pub const TYPES: &str = "rolecall:plugin/types@1.0.0";
/// What every plugin exports.
pub const INFO: &str = "rolecall:plugin/info@1.0.0";
/// What a plugin exports that shapes accounts.
pub const TRANSFORM: &str = "rolecall:plugin/transform@1.0.0";
/// What a plugin exports that nominates roles.
pub const PROPOSE: &str = "rolecall:plugin/propose@1.0.0";
