//! Rolecall: a multi-tenant SCIM 2.0 provisioning server in which every tenant brings its own logic.
//! `ARCHITECTURE.md` beside this crate walks through it.

pub mod clock;
pub mod crypto;
pub mod model;
