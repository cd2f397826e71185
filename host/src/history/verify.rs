//! Comparing: stored events with the hashes that were sealed of them, batches with one another and their signatures, what stood
//! with what the events say, an anchor with the batch that it names. Pure; finds, and mends nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::chain::{Anchor, digest, digest_as, hash, is_signed};
use super::standing::{self, Key};
use crate::crypto::hex;
use crate::crypto::signature::VerifyingKey;
use crate::model::TenantId;
use crate::store::history::{Batch, DigestedBatch, Evidence, HASH_BYTES, Standing, StoredEvent, Tail};

/// The most findings that one answer lists; all are counted.
pub const FINDINGS_LIMIT: usize = 100;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// An event is not there.
    EventMissing,
    /// An event is not what was sealed.
    EventAltered,
    /// An event stands where another was sealed.
    EventMoved,
    /// An event is there that nobody numbered.
    EventInserted,
    /// A batch is not there.
    BatchMissing,
    /// A batch is not what was sealed: its numbers, its hash or its events' hashes.
    BatchAltered,
    /// A batch's signature is not this installation's.
    SignatureWrong,
    /// The end of history is cut off, or the count of its events altered.
    EndAltered,
    /// What is kept of who held what does not agree with the events.
    StandingAltered,
    /// An anchor that is wrong in itself, or of another installation or tenant.
    AnchorWrong,
    /// History is not the one that the anchor was taken of.
    AnchorDiffers,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What kind of thing.
    pub what: Wrong,
    /// The number of the event concerned.
    pub seq: Option<i64>,
    /// The number of the batch concerned.
    pub batch: Option<i64>,
    /// The same in a sentence.
    pub message: String,
}

/// What a range came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verified {
    /// How many batches were verified.
    pub batches: usize,
    /// How many sealed events were verified.
    pub events: usize,
    /// The last sealed event of the range.
    pub last: Option<i64>,
    /// How many numbered events are not sealed yet, with the last range.
    pub unsealed: Option<usize>,
    /// What is wrong, the first hundred.
    pub findings: Vec<Finding>,
    /// How much is wrong in all.
    pub found: usize,
    /// The batch behind which verifying goes on; `null` at the end.
    pub next: Option<i64>,
}

impl Verified {
    /// Adds what was found elsewhere.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.found += findings.len();
        self.findings.extend(findings.into_iter().take(FINDINGS_LIMIT.saturating_sub(self.findings.len())));
    }

    fn finds(&mut self, what: Wrong, seq: Option<i64>, batch: Option<i64>, message: String) {
        self.found += 1;
        if self.findings.len() < FINDINGS_LIMIT {
            self.findings.push(Finding { what, seq, batch, message });
        }
    }
}

/// Verifies a range. `latest` is what stood when it began, `ending` the events behind it that ended what began in it.
#[must_use]
pub fn verify(key: &VerifyingKey, tenant: &TenantId, evidence: &Evidence, latest: Vec<Standing>, ending: &[StoredEvent]) -> Verified {
    let mut verified = Verified::default();
    let events: BTreeMap<i64, &StoredEvent> = evidence.events.iter().map(|event| (event.seq, event)).collect();
    if let Some(before) = &evidence.before {
        check_signature(&mut verified, key, tenant, before);
    }
    let mut before = evidence.before.as_ref();
    for sealed in &evidence.batches {
        check_batch(&mut verified, key, tenant, before, sealed);
        check_events(&mut verified, tenant, first_of(before, sealed), sealed, &events);
        before = Some(&sealed.batch);
    }
    check_standings(&mut verified, evidence, latest, ending);
    if let Some(tail) = &evidence.tail {
        check_tail(&mut verified, before.map_or(0, |batch| batch.last), tail);
        verified.unsealed = Some(tail.unsealed.len());
    }
    verified.batches = evidence.batches.len();
    verified.last = before.map(|batch| batch.last);
    verified.next = before.filter(|_| !evidence.complete).map(|batch| batch.number);
    verified
}

/// The number of a batch's first event: the one after the batch before, whatever the batch itself says.
fn first_of(before: Option<&Batch>, sealed: &DigestedBatch) -> i64 {
    match before {
        None if sealed.batch.number == 1 => 1,
        Some(before) if before.number + 1 == sealed.batch.number => before.last.saturating_add(1),
        _ => sealed.batch.first,
    }
}

fn check_signature(verified: &mut Verified, key: &VerifyingKey, tenant: &TenantId, batch: &Batch) {
    if !is_signed(key, tenant, batch) {
        let number = batch.number;
        let message = format!("the signature of batch {number} is not this installation's, or is of other numbers or another hash");
        verified.finds(Wrong::SignatureWrong, None, Some(number), message);
    }
}

fn check_batch(verified: &mut Verified, key: &VerifyingKey, tenant: &TenantId, before: Option<&Batch>, sealed: &DigestedBatch) {
    let DigestedBatch { batch, digests } = sealed;
    let number = batch.number;
    check_signature(verified, key, tenant, batch);
    let expected = before.map_or(1, |before| before.number + 1);
    if number != expected {
        let message = format!("batch {expected} is missing; the next one that is there is {number}");
        return verified.finds(Wrong::BatchMissing, None, Some(expected), message);
    }
    let covers = batch.last.saturating_sub(batch.first).saturating_add(1);
    let counted = usize::try_from(covers).is_ok_and(|covers| covers > 0 && digests.len() == covers.saturating_mul(HASH_BYTES));
    if batch.first != first_of(before, sealed) || !counted || batch.hash != hash(tenant, batch, before, digests) {
        let message = format!("batch {number} does not follow from the batch before and its events' hashes: one of them was altered");
        verified.finds(Wrong::BatchAltered, None, Some(number), message);
    }
}

fn check_events(verified: &mut Verified, tenant: &TenantId, first: i64, sealed: &DigestedBatch, events: &BTreeMap<i64, &StoredEvent>) {
    let number = Some(sealed.batch.number);
    let digests = || sealed.digests.chunks_exact(HASH_BYTES).zip(first..);
    for (sealed, seq) in digests() {
        verified.events += 1;
        let Some(event) = events.get(&seq) else {
            verified.finds(Wrong::EventMissing, Some(seq), number, format!("event {seq} is missing"));
            continue;
        };
        if digest(tenant, event)[..] == *sealed {
            continue;
        }
        let was = digests().find(|(sealed, was)| digest_as(tenant, event, *was)[..] == **sealed);
        match was {
            Some((_, was)) => {
                let message = format!("event {seq} is the one that was sealed as {was}: events were reordered");
                verified.finds(Wrong::EventMoved, Some(seq), number, message);
            }
            None => verified.finds(Wrong::EventAltered, Some(seq), number, format!("event {seq} is not what was sealed")),
        }
    }
}

/// What the events of the range make of what stood before has to be what is kept.
fn check_standings(verified: &mut Verified, evidence: &Evidence, latest: Vec<Standing>, ending: &[StoredEvent]) {
    let Some((first, last)) = evidence.events.first().zip(evidence.events.last()).map(|(first, last)| (first.seq, last.seq)) else {
        return;
    };
    // As it was before the range: ended by an event of the range, or later, is not ended.
    let reopened = |mut standing: Standing| {
        if standing.until_seq.is_some_and(|seq| seq >= first) {
            (standing.until, standing.until_seq) = (None, None);
        }
        standing
    };
    let kept_before: BTreeMap<i64, Standing> = latest.iter().map(|standing| (standing.seq, standing.clone())).collect();
    let made = standing::project(latest.into_iter().map(reopened).collect(), &evidence.events);
    let kept: BTreeMap<i64, &Standing> = evidence.standings.iter().map(|standing| (standing.seq, standing)).collect();
    let mut differs = |seq: i64, message: String| verified.finds(Wrong::StandingAltered, Some(seq), None, message);
    for began in &made.began {
        match kept.get(&began.seq) {
            None => differs(began.seq, format!("what event {} began is missing among what stood", began.seq)),
            Some(kept) if !agree(began, kept, last, ending) => {
                differs(began.seq, format!("what event {} began is not what is kept of it", began.seq));
            }
            Some(_) => {}
        }
    }
    let began: std::collections::BTreeSet<i64> = made.began.iter().map(|standing| standing.seq).collect();
    for seq in kept.keys().filter(|seq| !began.contains(seq)) {
        differs(*seq, format!("event {seq} began nothing, and something is kept as begun by it"));
    }
    for ended in &made.ended {
        let is_same = kept_before.get(&ended.seq).is_some_and(|kept| (kept.until, kept.until_seq) == (ended.until, ended.until_seq));
        if !is_same {
            let seq = ended.until_seq.unwrap_or(ended.seq);
            differs(seq, format!("event {seq} ended what event {} began, and that is not what is kept of it", ended.seq));
        }
    }
}

/// Whether what is kept is what was made, but for an end that a later event may have given it.
fn agree(made: &Standing, kept: &Standing, last: i64, ending: &[StoredEvent]) -> bool {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    let mut same = Standing { reasons: String::new(), ..kept.clone() };
    if made.until.is_none() && kept.until_seq.is_some_and(|seq| seq > last) {
        let of: Option<Key> = ending.iter().find(|event| Some(event.seq) == kept.until_seq).and_then(|event| {
            standing::keys(std::slice::from_ref(event)).pop().filter(|_| kept.until.is_some_and(|until| until >= event.at))
        });
        if of != Some(standing::key(kept)) {
            return false;
        }
        (same.until, same.until_seq) = (None, None);
    }
    same == Standing { reasons: String::new(), ..made.clone() }
        && json(&made.reasons).is_some()
        && json(&made.reasons) == json(&kept.reasons)
}

fn check_tail(verified: &mut Verified, last: i64, tail: &Tail) {
    let Tail { counted, lowest, highest, unsealed } = tail;
    if let Some(seq) = lowest.filter(|seq| *seq < 1) {
        verified.finds(Wrong::EventInserted, Some(seq), None, format!("event {seq} has a number that was never given"));
    }
    for (seq, expected) in unsealed.iter().zip(last.saturating_add(1)..) {
        if *seq != expected {
            return verified.finds(
                Wrong::EventMissing,
                Some(expected),
                None,
                format!("event {expected} is missing, which is not sealed yet"),
            );
        }
    }
    let highest = highest.unwrap_or_default();
    if *counted > highest {
        let seq = highest.saturating_add(1);
        let message = format!("{counted} events were numbered, and those from {seq} on are missing: the end was cut off");
        verified.finds(Wrong::EndAltered, Some(seq), None, message);
    } else if *counted < highest {
        let seq = counted.saturating_add(1);
        let message = format!("{counted} events were numbered, and there are events up to {highest}: the count was altered");
        verified.finds(Wrong::EndAltered, Some(seq), None, message);
    }
}

/// Compares an anchor with the batch that it names.
#[must_use]
pub fn compare(key: &VerifyingKey, tenant: &TenantId, anchor: &Anchor, stored: Option<&Batch>) -> Vec<Finding> {
    let (seq, batch) = (Some(anchor.last), Some(anchor.batch));
    let finding = |what, message: String| vec![Finding { what, seq, batch, message }];
    if let Err(error) = anchor.check() {
        return finding(Wrong::AnchorWrong, format!("the anchor proves nothing: {error}"));
    }
    if anchor.tenant != *tenant {
        return finding(Wrong::AnchorWrong, format!("the anchor is of the tenant `{}`", anchor.tenant));
    }
    if anchor.public_key != key.to_base64() {
        let message = format!("the anchor was signed with the key {}, and this installation's is {}", anchor.public_key, key.to_base64());
        return finding(Wrong::AnchorWrong, message);
    }
    match stored {
        None => {
            let message =
                format!("batch {} is missing, which the anchor names: history up to event {} was cut off", anchor.batch, anchor.last);
            finding(Wrong::AnchorDiffers, message)
        }
        Some(stored) if hex(&stored.hash) != anchor.hash || (stored.first, stored.last) != (anchor.first, anchor.last) => {
            let message = format!(
                "batch {} is another than the one that the anchor was taken of: history up to event {} was rewritten",
                anchor.batch, anchor.last
            );
            finding(Wrong::AnchorDiffers, message)
        }
        Some(_) => Vec::new(),
    }
}
