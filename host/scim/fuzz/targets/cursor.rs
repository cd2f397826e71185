//! The target `cursor` for libFuzzer: what it asks is in `rolecall_scim_fuzz::cursor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rolecall_scim_fuzz::cursor(data));
