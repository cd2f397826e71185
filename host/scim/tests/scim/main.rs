//! The protocol crate as its users see it: cases from `tests/cases/*.json`, and properties over generated input.
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

mod cases;
mod cursor;
mod discovery;
mod extension;
mod generate;
mod limits;
mod naive;
mod properties;
mod root;
mod search;
mod sort;
