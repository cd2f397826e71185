//! The fuzz targets without a fuzzer: over the inputs that were kept, and over mutations of them.

use std::fs;
use std::path::Path;

/// The targets and their properties, as `make fuzz` runs them.
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Mutations of each target: a few seconds in all without optimisation.
const MUTATIONS: usize = 10_000;

/// The inputs of a target in one of the folders, as `scripts/fuzz` writes them: texts in which each character is a byte.
fn inputs(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/testdata").join(folder).join(format!("{target}.json"));
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let texts: Vec<String> = serde_json::from_str(&text).unwrap();
    texts.iter().map(|text| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()).collect()
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let corpus = inputs("corpus", target);
    assert!(corpus.len() > 5, "the corpus of `{target}` was not found");
    corpus
}

#[test]
fn what_was_kept_is_as_it_should_be() {
    for (name, target) in targets::TARGETS {
        corpus(name).iter().for_each(|input| target(input));
    }
}

/// What a fuzzer found once stays found.
#[test]
fn findings_stay_mended() {
    let mut count = 0;
    for (name, target) in targets::TARGETS {
        let findings = inputs("findings", name);
        count += findings.len();
        findings.iter().for_each(|input| target(input));
    }
    assert!(count > 0, "the findings were not found");
}

#[test]
fn mutations_of_what_was_kept_hold_as_well() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        let mut random = Random(0x5eed);
        for _ in 0..MUTATIONS {
            target(&random.mutation(&corpus));
        }
    }
}

/// Xorshift: the same mutations in each run, so that a failure can be looked at.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// A piece of some input.
    fn piece(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let input = &corpus[self.below(corpus.len())];
        let start = self.below(input.len());
        let end = start + self.below(input.len() - start + 1);
        input[start..end].to_vec()
    }

    /// An input with a few bytes changed, pieces put in or taken out.
    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(4) {
                0 => {
                    let piece = self.piece(corpus);
                    input.splice(at..at, piece);
                }
                1 => {
                    let end = at + self.below((input.len() - at).min(16) + 1);
                    input.drain(at..end);
                }
                2 => {
                    let piece = self.piece(corpus);
                    let end = (at + piece.len()).min(input.len());
                    input.splice(at..end, piece);
                }
                _ => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        input
    }
}
