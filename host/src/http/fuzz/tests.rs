//! The fuzz target without a fuzzer: over the inputs that were kept, and over mutations of them.

use self::kept::{Random, corpus, inputs};
use super::{Reading, expand, read};

/// What the protocol crate's tests read and draw with too.
#[expect(clippy::duplicate_mod, reason = "the sandbox's tests are below this room and read their own inputs with it")]
#[path = "../../../scim/tests/scim/kept.rs"]
mod kept;

/// Mutations of compressed bodies: a second or two without optimisation.
const BODIES: usize = 2_000;

/// What was kept, and what a fuzzer found once.
#[test]
fn what_was_kept_is_as_it_should_be() {
    corpus("expand").iter().chain(&inputs("findings", "expand")).for_each(|input| expand(input));
}

#[test]
fn mutated_bodies_are_refused_or_read_alike() {
    let corpus = corpus("expand");
    let mut random = Random(0x5eed);
    for _ in 0..BODIES {
        let mut input = corpus[random.below(corpus.len())].clone();
        let at = random.below(input.len());
        match random.below(3) {
            0 => input.truncate(at),
            1 => input[at] ^= 1 << random.below(8),
            _ => input.extend_from_within(at..),
        }
        expand(&input);
    }
}

/// The second reading reads: without it nothing would be compared.
#[test]
fn the_second_reading_knows_gzip() {
    let empty = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(read(&empty, 0), Reading::Whole { expanded, end: 20 } if expanded.is_empty()));
    let bodies = corpus("expand").into_iter().filter(|input| input[0] == b'w');
    let read: Vec<Reading> = bodies.map(|input| read(&input[3..], 1 << 20)).collect();
    assert!(read.iter().any(|reading| matches!(reading, Reading::Whole { expanded, .. } if expanded.len() > 100)));
    assert!(read.iter().any(|reading| matches!(reading, Reading::Broken)));
}
