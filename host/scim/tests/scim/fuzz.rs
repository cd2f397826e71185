//! The fuzz targets without a fuzzer: over the inputs that were kept, and over mutations of them.

use crate::kept::{Random, corpus, inputs};

/// The targets and their properties, as `make fuzz` runs them.
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Mutations of each target: a few seconds in all without optimisation.
const MUTATIONS: usize = 10_000;

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

impl Random {
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
