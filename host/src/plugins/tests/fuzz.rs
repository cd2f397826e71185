//! The fuzz targets without a fuzzer: over the inputs that were kept, and over mutations of them and of plugins that tests build.

use self::kept::{Random, corpus, inputs};
use super::guest::{Guest, with_contract};
use super::*;
use crate::plugins::fuzz::{TARGETS, answer, upload};

/// What the protocol crate's tests read and draw with too.
#[path = "../../../scim/tests/scim/kept.rs"]
mod kept;

/// Mutations of uploads: a few seconds without optimisation.
const UPLOADS: usize = 400;
/// Mutations of answers.
const ANSWERS: usize = 20_000;

/// What was kept, and what a fuzzer found once.
#[test]
fn what_was_kept_is_as_it_should_be() {
    for (name, target) in TARGETS {
        corpus(name).iter().chain(&inputs("findings", name)).for_each(|input| target(input));
    }
}

#[test]
fn mutated_uploads_are_refused_or_are_plugins() {
    let mut proposer = Guest::proposer();
    proposer.body = proposer.proposals(&[("auditor", Some("audit")), ("reader", None)]);
    let modules = [good(), proposer.module(), with_contract(&Guest::transformer().core(), "transformer")];
    let components = modules.iter().map(|module| check::encode(module).unwrap());
    let corpus: Vec<_> = modules.iter().cloned().chain(components).collect();
    let mut random = Random(0x5eed);
    (0..UPLOADS).for_each(|_| upload(&random.mutation(&corpus)));
}

#[test]
fn mutated_answers_are_faults_or_are_what_the_contract_allows() {
    let corpus = corpus("answer");
    let mut random = Random(0x5eed);
    (0..ANSWERS).for_each(|_| answer(&random.mutation(&corpus)));
}

impl Random {
    /// An input with a few bytes changed, pieces of others put in or taken out.
    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let other = &corpus[self.below(corpus.len())];
            let start = self.below(other.len());
            let piece = &other[start..start + self.below((other.len() - start).min(64) + 1)];
            match self.below(5) {
                0 => drop(input.splice(at..at, piece.iter().copied())),
                1 => drop(input.drain(at..at + self.below((input.len() - at).min(16) + 1))),
                2 => drop(input.splice(at..(at + piece.len()).min(input.len()), piece.iter().copied())),
                3 => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte = [0, 1, 0x7f, 0x80, 0xff][self.below(5)];
                    }
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
