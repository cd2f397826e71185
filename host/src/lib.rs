//! Rolecall: a multi-tenant SCIM 2.0 provisioning server in which every tenant brings its own logic.
//! `ARCHITECTURE.md` beside this crate walks through it.

pub mod app;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod compute;
pub mod config;
pub mod crypto;
pub mod delivery;
pub mod diagnostic;
pub mod evaluation;
pub mod health;
pub mod history;
pub mod http;
pub mod issuer;
pub mod jobs;
pub mod journal;
pub mod lifecycle;
pub mod mapping;
pub mod metrics;
pub mod model;
pub mod outgoing;
pub mod plugins;
pub mod policies;
pub mod provisioning;
pub mod rate;
pub mod reload;
pub mod revision;
pub mod spreadsheet;
pub mod store;
pub mod tenancy;
pub mod trial;
pub mod watch;
