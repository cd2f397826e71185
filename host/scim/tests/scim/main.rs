//! The protocol crate as its users see it: cases from `tests/cases/*.json`, and properties over generated input.
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

mod bulk;
mod cases;
mod content;
mod cursor;
mod discovery;
mod event;
mod extension;
mod fuzz;
mod generate;
mod kept;
mod limits;
mod naive;
mod patched;
mod properties;
mod quirks;
mod root;
mod search;
mod sort;
