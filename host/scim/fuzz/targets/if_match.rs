//! The target `if_match` for libFuzzer: what it asks is in `rolecall_scim_fuzz::if_match`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rolecall_scim_fuzz::if_match(data));
