//! The target `expand` for libFuzzer: what it asks is in `rolecall::http::fuzz::expand`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rolecall::http::fuzz::expand(data));
