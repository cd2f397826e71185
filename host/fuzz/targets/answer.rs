//! The target `answer` for libFuzzer: what it asks is in `rolecall::plugins::fuzz::answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rolecall::plugins::fuzz::answer(data));
