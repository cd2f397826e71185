//! What tenants upload and what their plugins answer, mutated: whatever it is, it is refused with a reason or it is as the contract has it.
//!
//! A smoke run in the ordinary tests; `ROLECALL_FUZZ_SECONDS` makes it as long as wanted, with other mutations each time.

use std::time::{Duration, Instant};

use super::contract::rolecall::plugin::types;
use super::guest::{Guest, with_contract};
use super::*;

/// Mutations without the environment's word.
const UPLOADS: usize = 400;
/// See [`UPLOADS`].
const ANSWERS: usize = 20_000;
/// The longest sentence that a refusal or a fault has, in bytes: a list of all attributes and a bounded text.
const SENTENCE_BYTES_LIMIT: usize = 4_000;

/// Runs as many times, or as long, as is wanted.
fn repeat(times: usize, mut run: impl FnMut(&mut Random)) {
    let Some(seconds) = std::env::var("ROLECALL_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()) else {
        let mut random = Random(0x5eed);
        (0..times).for_each(|_| run(&mut random));
        return;
    };
    let started = Instant::now();
    let mut random = Random(u64::from_le_bytes(crate::crypto::random_id().as_bytes()[..8].try_into().unwrap()) | 1);
    let mut runs = 0_u64;
    while started.elapsed() < Duration::from_secs(seconds) {
        run(&mut random);
        runs += 1;
    }
    eprintln!("{runs} runs in {seconds} s");
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

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

    /// A text: one of these, mutated, or long.
    fn text(&mut self, of: &[Vec<u8>]) -> String {
        let bytes = if self.below(3) == 0 { of[self.below(of.len())].clone() } else { self.mutation(of) };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if self.below(40) == 0 { text.repeat(1 + self.below(300)) } else { text }
    }
}

fn is_sentence(text: &str) {
    assert!(!text.is_empty() && text.len() <= SENTENCE_BYTES_LIMIT, "{} bytes: {text}", text.len());
}

#[test]
fn mutated_uploads_are_refused_or_are_plugins() {
    let sandbox = sandbox();
    let mut proposer = Guest::proposer();
    proposer.body = proposer.proposals(&[("auditor", Some("audit")), ("reader", None)]);
    let modules = [good(), proposer.module(), with_contract(&Guest::transformer().core(), "transformer")];
    let components = modules.iter().map(|module| check::encode(module).unwrap());
    let corpus: Vec<_> = modules.iter().cloned().chain(components).collect();
    repeat(UPLOADS, |random| {
        let upload = random.mutation(&corpus);
        match sandbox.load(&upload) {
            Ok(plugin) => {
                assert!(plugin.transforms() || plugin.proposes());
                for fault in [
                    with_call(|call| plugin.transform_user(call)).err(),
                    with_call(|call| plugin.propose_roles(call, &AccountShape::default())).err(),
                    plugin.validate_settings("{}").err(),
                ] {
                    fault.iter().for_each(|fault| is_sentence(&fault.to_string()));
                }
            }
            Err(error) => is_sentence(&error.to_string()),
        }
    });
}

fn words(of: &[&str]) -> Vec<Vec<u8>> {
    of.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn mutated_answers_are_faults_or_are_what_the_contract_allows() {
    let json = words(&[
        r#"{"user_name":"ann","tags":{"site":["Ghent","Lille"],"worker_type":["employee"]}}"#,
        r#"{"user_name":"ann@acme.example","display_name":"Ann Lee","email":"ann@acme.example","title":null,"department":"R\u0026D"}"#,
        r#"{"tags":{"a":[]},"user_name":"\ud83d\ude00","locale":"en","manager":"m"}"#,
        r#"[[[[{"user_name":1}]]]]"#,
    ]);
    let paths =
        words(&["user_name", "tags.site", "tags", "tags.worker_type", "title", "emails[type eq \"work\"].value", "{extension}", "é"]);
    let codes = words(&["employee_number_missing", "a", "Not A Word", ""]);
    repeat(ANSWERS, |random| {
        let list = |random: &mut Random| random.below(4);
        let provenance =
            (0..list(random)).map(|_| types::Provenance { attribute: random.text(&paths), source: random.text(&paths) }).collect();
        let error = |random: &mut Random| types::PluginError {
            code: random.text(&codes),
            path: (random.below(2) == 0).then(|| random.text(&paths)),
            message: random.text(&paths),
        };
        let answer = match random.below(4) {
            0 => Err(error(random)),
            1 => Ok(types::Answer::OutOfScope(random.text(&paths))),
            _ => Ok(types::Answer::Account(types::Account { json: random.text(&json), provenance })),
        };
        match answer::mapping(answer) {
            Ok(Mapping::Account { shape, provenance }) => {
                assert_eq!(shape.check(), Ok(()));
                let written = serde_json::to_string(&shape).unwrap();
                assert_eq!(serde_json::from_str::<AccountShape>(&written).unwrap(), shape, "{written}");
                assert!(provenance.values().all(|source| !source.is_empty() && !source.chars().any(char::is_control)));
            }
            Ok(Mapping::OutOfScope { reason: text } | Mapping::Refused { message: text, .. }) => is_sentence(&text),
            Err(fault) => is_sentence(&fault.to_string()),
        }
        let nominated = (0..list(random))
            .map(|_| types::Proposal { role: random.text(&codes), because: (random.below(2) == 0).then(|| random.text(&paths)) })
            .collect();
        match answer::proposals(if random.below(4) == 0 { Err(error(random)) } else { Ok(nominated) }) {
            Ok(proposals) => proposals.iter().for_each(|proposal| is_sentence(&proposal.role)),
            Err(fault) => is_sentence(&fault.to_string()),
        }
        let reads = (0..list(random)).map(|_| random.text(&paths)).collect();
        let said = types::Description { name: random.text(&codes), version: random.text(&codes), reads };
        if let Ok((description, reads)) = answer::description(said) {
            is_sentence(&description.name);
            let settings = random.text(&json);
            let seen = reads.project(&json!({"userName": "ann", "urn:example:a": {"b": 1}}), &settings);
            assert!(serde_json::from_str::<Value>(&seen).unwrap().is_object(), "{seen}");
        }
        if let Ok(problem) = answer::settings_problem(error(random)) {
            is_sentence(&problem);
        }
    });
}
