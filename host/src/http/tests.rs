//! Router-level tests of what needs no store.
