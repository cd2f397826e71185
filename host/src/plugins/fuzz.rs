//! What is fuzzed of the sandbox: what tenants upload and what their plugins answer. Each function takes any bytes and stops at a property
//! that does not hold, so that it finds what is wrong and not only what panics.
//!
//! Owns the properties. Built for tests, which call these functions with the inputs that are kept in `host/fuzz/testdata`, and with the
//! feature `fuzzing` for libFuzzer, which calls them from `host/fuzz/targets`.

use std::fmt::Debug;
use std::sync::OnceLock;

use serde_json::json;

use super::call::Running;
use super::contract::Level;
use super::contract::rolecall::plugin::types;
use super::engine::Watch;
use super::limits::{LOG_LINE_BYTES_LIMIT, LOG_LINES_LIMIT, PATH_BYTES_LIMIT, PROPOSALS_LIMIT, READS_LIMIT, WORD_BYTES_LIMIT};
use super::*;
use crate::mapping::TEXT_BYTES_LIMIT;

/// A target: its name and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 2] = [("answer", answer), ("upload", upload)];

/// The longest sentence that a refusal or a fault has, in bytes: a list of all attributes and a bounded text.
const SENTENCE_BYTES_LIMIT: usize = 4_000;

/// Bytes that a tenant uploads. They are refused with a reason, or they are a plugin that says what it is; whatever it is then asked, it
/// gives the same answer or fault each time.
pub fn upload(data: &[u8]) {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    let sandbox = SANDBOX.get_or_init(|| Sandbox::new(&SandboxConfig::default()).expect("the machine has memory for the pool"));
    let found = inspect(data);
    for name in found.iter().flat_map(|found| found.imports.iter().chain(&found.exports)) {
        is_bounded(name, SENTENCE_BYTES_LIMIT);
    }
    let plugin = match sandbox.load(data) {
        Ok(plugin) => plugin,
        Err(error) => return is_sentence(&error.to_string()),
    };
    assert!(found.is_some_and(|found| found.contract.is_some()), "a plugin has a contract");
    is_description(plugin.description());
    assert!(plugin.transforms() || plugin.proposes());
    let user = json!({"userName": "ann@acme.example", "title": "Lead"});
    let row = BTreeMap::from([("app".to_owned(), "billing".to_owned())]);
    let tables = Arc::new(Tables::from([("teams".to_owned(), BTreeMap::from([("eng".to_owned(), row)]))]));
    let (as_of, groups) = (jiff::Timestamp::UNIX_EPOCH, ["eng", "grp-eng-prod-rw"]);
    let call = Call { as_of, connection: "conn-1", settings: &r#"{"a":1}"#.into(), user: &user, groups: &groups, tables: &tables };
    if let Some(Ok(Err(problem))) = again(|| (plugin.validate_settings("{}"), Seen::default())) {
        is_sentence(&problem);
    }
    if let Some(Ok(mapping)) = again(|| seen(|seen| plugin.transform_seen(&call, seen))) {
        is_mapping(&mapping);
    }
    if let Some(Ok(proposals)) = again(|| seen(|seen| plugin.propose_seen(&call, &AccountShape::default(), seen))) {
        are_proposals(&proposals);
    }
}

/// What a call gives, with what it showed.
fn seen<T>(call: impl FnOnce(&mut Seen) -> T) -> (T, Seen) {
    let mut seen = Seen::default();
    (call(&mut seen), seen)
}

/// What a question gives, asked twice. Nothing if it depends on the machine's state.
fn again<T: Debug + PartialEq>(ask: impl Fn() -> (Result<T, PluginFault>, Seen)) -> Option<Result<T, PluginFault>> {
    let (first, second) = (ask(), ask());
    let by_the_machine = |answer: &Result<T, PluginFault>| answer.as_ref().is_err_and(PluginFault::is_infrastructure);
    if by_the_machine(&first.0) || by_the_machine(&second.0) {
        return None;
    }
    assert_eq!(first, second, "the same question has the same answer");
    let (answer, seen) = first;
    answer.as_ref().err().into_iter().for_each(is_fault);
    are_logs(&seen.logs);
    for frame in &seen.backtrace {
        is_bounded(&frame.function, SENTENCE_BYTES_LIMIT);
    }
    Some(answer)
}

/// What a plugin answers, of the contract's types. It is a fault, or it is what the contract allows.
///
/// The first byte says which answer, and the rest what is in it: see [`Given`].
pub fn answer(data: &[u8]) {
    let mut given = Given(data);
    match given.byte() {
        b'a' => {
            let account = types::Account { json: given.text(), provenance: given.rest(provenance) };
            mapping(Ok(types::Answer::Account(account)));
        }
        b'o' => mapping(Ok(types::Answer::OutOfScope(given.text()))),
        b'r' => proposals(Ok(given.rest(|given| types::Proposal { role: given.text(), because: given.option() }))),
        b'd' => description(&mut given),
        b'l' => logs(&mut given),
        _ => {
            let error = || {
                let mut given = Given(data);
                types::PluginError { code: given.text(), path: given.option(), message: given.text() }
            };
            mapping(Err(error()));
            proposals(Err(error()));
            match answer::settings_problem(error()) {
                Ok(problem) => is_sentence(&problem),
                Err(fault) => is_fault(&fault),
            }
        }
    }
}

fn provenance(given: &mut Given<'_>) -> types::Provenance {
    types::Provenance { attribute: given.text(), source: given.text() }
}

fn mapping(answer: Result<types::Answer, types::PluginError>) {
    match answer::mapping(answer) {
        Ok(mapping) => is_mapping(&mapping),
        Err(fault) => is_fault(&fault),
    }
}

fn proposals(answer: Result<Vec<types::Proposal>, types::PluginError>) {
    match answer::proposals(answer) {
        Ok(proposals) => are_proposals(&proposals),
        Err(fault) => is_fault(&fault),
    }
}

/// A description; and the settings with which it is then asked about somebody.
fn description(given: &mut Given<'_>) {
    let (settings, name, version) = (given.text(), given.text(), given.text());
    match answer::description(types::Description { name, version, reads: given.rest(Given::text) }) {
        Ok((description, reads)) => {
            is_description(&description);
            let user = json!({
                "userName": "ann", "active": true, "name": {"givenName": "Ann", "familyName": "Lee"},
                "emails": [{"type": "work", "value": "ann@acme.example", "primary": true}, {"type": "home"}, "odd"],
                "urn:example:a": {"b": 1, "c.d": {"e": [{"f": null}]}}, "urn:example:a:b": {"c": "é"},
            });
            let seen = serde_json::from_str(&reads.project(&user, &settings.into())).expect("what a plugin is shown is JSON");
            assert!(is_part(&seen, &user), "{seen}");
        }
        Err(fault) => is_fault(&fault),
    }
}

/// Whether all that a plugin is shown is there.
fn is_part(seen: &Value, of: &Value) -> bool {
    match (seen, of) {
        (Value::Object(seen), Value::Object(of)) => seen.iter().all(|(name, seen)| of.get(name).is_some_and(|of| is_part(seen, of))),
        (Value::Array(seen), Value::Array(of)) => seen.iter().all(|seen| of.iter().any(|of| is_part(seen, of))),
        (seen, of) => seen == of,
    }
}

fn logs(given: &mut Given<'_>) {
    let mut running = Running::new(None, 0, 0, Watch::new(Instant::now(), &Limits::default()));
    let lines = given.rest(|given| (given.byte(), given.text()));
    let said = lines.len();
    for (level, message) in lines {
        let level = match level {
            b'd' => Level::Debug,
            b'w' => Level::Warn,
            b'e' => Level::Error,
            _ => Level::Info,
        };
        running.log(level, message);
    }
    let logs = running.into_logs();
    assert_eq!(logs.len(), said.min(LOG_LINES_LIMIT + 1), "a note stands for those that were dropped");
    are_logs(&logs);
}

/// What was given, read as answers: texts end at a byte that no text has, so that a change of one leaves the others.
struct Given<'a>(&'a [u8]);

impl Given<'_> {
    const END: u8 = 0xff;
    /// Before a text: the byte after it says how many times it is there, so that long ones are short.
    const TIMES: u8 = 0xfe;

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn text(&mut self) -> String {
        let mut times = 1;
        if self.0.first() == Some(&Self::TIMES) {
            self.byte();
            times = self.byte().into();
        }
        let length = self.0.iter().position(|byte| *byte == Self::END).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest.get(1..).unwrap_or_default();
        String::from_utf8_lossy(text).repeat(times)
    }

    fn option(&mut self) -> Option<String> {
        (self.byte() == b'+').then(|| self.text())
    }

    /// As many as there is something for.
    fn rest<T>(&mut self, read: impl Fn(&mut Self) -> T) -> Vec<T> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(read(self));
        }
        all
    }
}

/// Somebody else's text on one line, within its bound.
fn is_bounded(text: &str, limit: usize) {
    assert!(text.len() <= limit && !text.chars().any(char::is_control), "{} bytes: {text:?}", text.len());
}

fn is_text(text: &str, limit: usize) {
    assert!(!text.is_empty());
    is_bounded(text, limit);
}

fn is_sentence(text: &str) {
    is_text(text, SENTENCE_BYTES_LIMIT);
}

fn is_fault(fault: &PluginFault) {
    is_sentence(&fault.to_string());
    fault.path().into_iter().for_each(is_sentence);
}

fn is_mapping(mapping: &Mapping) {
    match mapping {
        Mapping::Account { shape, provenance } => {
            assert_eq!(shape.check(), Ok(()));
            let written = serde_json::to_string(shape).expect("an account has texts for keys");
            let read: AccountShape = serde_json::from_str(&written).expect("what was written can be read");
            assert_eq!(&read, shape, "{written}");
            for (attribute, source) in provenance {
                is_text(source, TEXT_BYTES_LIMIT);
                let there = serde_json::to_value(shape).expect("an account has texts for keys");
                let named = attribute.strip_prefix("tags.").map_or_else(|| there.get(attribute), |tag| there["tags"].get(tag));
                assert!(named.is_some(), "{attribute:?} is not in {written}");
            }
        }
        Mapping::OutOfScope { reason } => is_text(reason, TEXT_BYTES_LIMIT),
        Mapping::Refused { code, path, message } => {
            is_text(code, WORD_BYTES_LIMIT);
            path.iter().for_each(|path| is_text(path, PATH_BYTES_LIMIT));
            is_text(message, TEXT_BYTES_LIMIT);
        }
    }
}

fn are_proposals(proposals: &[Proposal]) {
    assert!(proposals.len() <= PROPOSALS_LIMIT);
    for Proposal { role, because } in proposals {
        is_text(role, PATH_BYTES_LIMIT);
        because.iter().for_each(|because| is_text(because, TEXT_BYTES_LIMIT));
    }
}

fn is_description(description: &Description) {
    is_text(&description.name, WORD_BYTES_LIMIT);
    is_text(&description.version, WORD_BYTES_LIMIT);
    assert!(description.reads.len() <= READS_LIMIT);
    description.reads.iter().for_each(|path| is_text(path, PATH_BYTES_LIMIT));
}

fn are_logs(logs: &[LogLine]) {
    assert!(logs.len() <= LOG_LINES_LIMIT + 1);
    logs.iter().for_each(|line| is_bounded(&line.message, LOG_LINE_BYTES_LIMIT + '…'.len_utf8()));
}
