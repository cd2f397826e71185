//! The inputs that a fuzzer has kept, and numbers to mutate them by. The tests of both crates with fuzz targets include this file.

use std::fs;
use std::path::Path;

/// The inputs of a target in one of the folders, as `scripts/fuzz` writes them: texts in which each character is a byte.
pub fn inputs(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/testdata").join(folder).join(format!("{target}.json"));
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let texts: Vec<String> = serde_json::from_str(&text).unwrap();
    texts.iter().map(|text| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()).collect()
}

/// What is kept of a target.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let corpus = inputs("corpus", target);
    assert!(corpus.len() > 5, "the corpus of `{target}` was not found");
    corpus
}

/// Xorshift: the same mutations in each run, so that a failure can be looked at.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}
