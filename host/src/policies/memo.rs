//! Answers that were given before: decisions by the relevant groups, what the policies read of the person, the dates that have come
//! and, where a policy reads them, the nominated roles; and answers of single policies, for people whose combination is new.
//!
//! Nothing is guessed: a key has everything that [`super::reads`] found, whoever can't be described so is asked about afresh, and
//! an answer that failed is never kept, because its words may name whom it was about. Memory is bounded; what was not needed for
//! longest goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::reads::{Key, Reads};
use super::rule::{Rest, Rule, Who};
use super::{Principal, Role};

/// The most memory that the answers of one revision take, roughly, in bytes: those of some ten thousand kinds of people.
pub(super) const BYTES_LIMIT: usize = 4 << 20;
/// What an entry takes beside its key, about.
const ENTRY_BYTES: usize = 96;
/// How many different attributes and tags the policies of a tenant may read so that whole decisions are kept; beyond, those of single
/// policies are.
const FIELDS_LIMIT: usize = 126;
/// The policies that can concern the person read the nominated roles.
const PROPOSED: u128 = 1 << 126;
/// One of them is opaque.
const OPAQUE: u128 = 1 << 127;

/// A decision without errors, without the words of its reasons: those differ in the chain of groups that led there.
#[derive(Debug, PartialEq)]
pub(super) struct Decided {
    /// Roles with the permits that were satisfied.
    pub grants: Vec<(usize, Vec<usize>)>,
    /// See [`super::Decision::next_change`].
    pub next_change: Option<jiff::Timestamp>,
}

impl Decided {
    fn bytes(&self) -> usize {
        let grants = self.grants.iter().map(|(_, permits)| size_of::<(usize, Vec<usize>)>() + permits.len() * size_of::<usize>());
        size_of::<Self>() + grants.sum::<usize>()
    }
}

#[derive(Clone)]
enum Answer {
    Decided(Arc<Decided>),
    /// Whether one policy is satisfied.
    Satisfied(bool),
}

/// What a policy reads of a person.
enum Field {
    Attribute(u8),
    Tag(Box<str>),
}

/// A group or a person that the policies name.
#[derive(Clone, Copy)]
struct Named {
    number: usize,
    /// What the policies read whose scope it is: numbers in `Memo::fields`, [`PROPOSED`] and [`OPAQUE`].
    reads: u128,
}

/// What is remembered of a tenant's policies, and what it is remembered by.
pub(super) struct Memo {
    groups: BTreeMap<Box<str>, Named>,
    people: BTreeMap<Box<str>, Named>,
    /// What policies read whose scope is everybody.
    of_anyone: u128,
    fields: Vec<Field>,
    /// All dates at which an answer may turn, sorted.
    turns: Vec<jiff::Timestamp>,
    roles: BTreeMap<Box<str>, usize>,
    answers: Mutex<Generations>,
}

impl Memo {
    /// For these rules; those that concern no role are left out by `concerns_any`.
    pub(super) fn of(rules: &[Rule], roles: &[Role], concerns_any: impl Fn(usize) -> bool) -> Self {
        let mut memo = Self {
            groups: BTreeMap::new(),
            people: BTreeMap::new(),
            of_anyone: 0,
            fields: Vec::new(),
            turns: Vec::new(),
            roles: roles.iter().enumerate().map(|(number, role)| (role.id.as_str().into(), number)).collect(),
            answers: Mutex::default(),
        };
        let concerned = rules.iter().enumerate().filter(|(number, rule)| concerns_any(*number) && rule.who != Who::Nobody);
        for (_, rule) in concerned {
            let reads = memo.mask(rule);
            for handle in &rule.handles {
                name(&mut memo.groups, handle);
            }
            for id in &rule.reads.people {
                name(&mut memo.people, id);
            }
            match &rule.who {
                Who::Anyone => memo.of_anyone |= reads,
                Who::Group(handle) => name(&mut memo.groups, handle).reads |= reads,
                Who::Person(id) => name(&mut memo.people, id).reads |= reads,
                Who::Nobody => {}
            }
            memo.turns.extend_from_slice(&rule.turns);
        }
        memo.turns.sort_unstable();
        memo.turns.dedup();
        memo
    }

    fn mask(&mut self, rule: &Rule) -> u128 {
        let attributes = rule.reads.attributes.iter().map(|&number| Field::Attribute(number));
        let fields: Vec<Field> = attributes.chain(rule.reads.tags.iter().map(|tag| Field::Tag(tag.clone()))).collect();
        let mut mask = 0;
        for field in fields {
            let known = self.fields.iter().position(|known| known.is(&field));
            let number = known.unwrap_or(self.fields.len());
            if number >= FIELDS_LIMIT {
                return OPAQUE;
            }
            if known.is_none() {
                self.fields.push(field);
            }
            mask |= 1 << number;
        }
        mask | if rule.reads_proposed { PROPOSED } else { 0 } | if rule.reads.opaque { OPAQUE } else { 0 }
    }

    /// What the decision about the person depends on; `None` where that can't be said.
    pub(super) fn key(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Option<Key> {
        let mut reads = self.of_anyone;
        let mut groups = Vec::with_capacity(principal.groups.len());
        for group in principal.groups {
            if let Some(named) = self.groups.get(group.handle.as_str()) {
                reads |= named.reads;
                groups.push(named.number);
            }
        }
        let person = self.people.get(principal.user);
        reads |= person.map_or(0, |named| named.reads);
        if reads & OPAQUE != 0 {
            return None;
        }
        groups.sort_unstable();
        groups.dedup();
        let mut key = Key::default();
        // No policy has this number: these keys are decisions'.
        key.number(usize::MAX);
        key.number(since(&self.turns, as_of));
        key.number(groups.len());
        groups.into_iter().for_each(|number| key.number(number));
        key.number(person.map_or(0, |named| named.number + 1));
        for (number, field) in self.fields.iter().enumerate().filter(|(number, _)| reads & (1 << number) != 0) {
            key.number(number);
            match field {
                Field::Attribute(attribute) => key.attribute(principal, *attribute),
                Field::Tag(tag) => key.tag(principal, tag),
            }
        }
        if reads & PROPOSED != 0 {
            proposed.iter().filter_map(|role| self.roles.get(role.as_str())).for_each(|&role| key.number(role));
        }
        Some(key)
    }

    pub(super) fn decided(&self, key: &Key) -> Option<Arc<Decided>> {
        match self.answers().get(key.as_bytes()) {
            Some(Answer::Decided(decided)) => Some(decided),
            Some(Answer::Satisfied(_)) | None => None,
        }
    }

    pub(super) fn keep_decided(&self, key: Key, decided: &Arc<Decided>) {
        let bytes = decided.bytes();
        self.answers().put(key, Answer::Decided(Arc::clone(decided)), bytes);
    }

    /// What the answer of one policy about the person depends on.
    pub(super) fn question(
        (number, rule, rest): (usize, &Rule, &Rest),
        (role, nominated): (usize, bool),
        principal: &Principal<'_>,
        as_of: jiff::Timestamp,
    ) -> Option<Key> {
        let Reads { opaque: false, .. } = &rule.reads else { return None };
        let mut key = Key::default();
        key.number(number);
        key.number(if rest.reads_role { role + 1 } else { 0 });
        key.number(if rest.reads_proposed { usize::from(nominated) + 1 } else { usize::from(nominated && rule.reads_proposed) + 3 });
        key.number(since(&rule.turns, as_of));
        for handle in &rule.handles {
            key.number(usize::from(principal.groups.iter().any(|group| &group.handle == handle)));
        }
        rule.reads.describe(principal, &mut key);
        Some(key)
    }

    pub(super) fn satisfied(&self, key: &Key) -> Option<bool> {
        match self.answers().get(key.as_bytes()) {
            Some(Answer::Satisfied(satisfied)) => Some(satisfied),
            Some(Answer::Decided(_)) | None => None,
        }
    }

    pub(super) fn keep_satisfied(&self, key: Key, satisfied: bool) {
        self.answers().put(key, Answer::Satisfied(satisfied), 0);
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Generations> {
        // Whatever a panic left behind is a map of whole entries.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how many bytes are in use.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let answers = self.answers();
        answers.young_bytes + answers.old_bytes
    }
}

impl Field {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Attribute(one), Self::Attribute(other)) => one == other,
            (Self::Tag(one), Self::Tag(other)) => one == other,
            _ => false,
        }
    }
}

fn name<'n>(named: &'n mut BTreeMap<Box<str>, Named>, id: &str) -> &'n mut Named {
    let number = named.len();
    named.entry(id.into()).or_insert(Named { number, reads: 0 })
}

/// How many of the dates have come: an answer turns at none but these.
fn since(turns: &[jiff::Timestamp], as_of: jiff::Timestamp) -> usize {
    turns.partition_point(|turn| *turn <= as_of)
}

/// Two generations: what is asked for moves to the young one, and when that is full, the old one goes.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<[u8]>, Answer>,
    old: HashMap<Box<[u8]>, Answer>,
    young_bytes: usize,
    old_bytes: usize,
}

impl Generations {
    fn get(&mut self, key: &[u8]) -> Option<Answer> {
        if let Some(answer) = self.young.get(key) {
            return Some(answer.clone());
        }
        let (key, answer) = self.old.remove_entry(key)?;
        let bytes = key.len() + ENTRY_BYTES + answer.bytes();
        self.old_bytes = self.old_bytes.saturating_sub(bytes);
        self.insert(key, answer.clone(), bytes);
        Some(answer)
    }

    fn put(&mut self, key: Key, answer: Answer, bytes: usize) {
        let key = key.into_bytes();
        let bytes = key.len() + ENTRY_BYTES + bytes;
        // Whoever needs so much for one answer is better off asking.
        if bytes <= BYTES_LIMIT / 8 {
            self.insert(key, answer, bytes);
        }
    }

    fn insert(&mut self, key: Box<[u8]>, answer: Answer, bytes: usize) {
        if self.young_bytes + bytes > BYTES_LIMIT / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        if self.young.insert(key, answer).is_none() {
            self.young_bytes += bytes;
        }
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        match self {
            Self::Decided(decided) => decided.bytes(),
            Self::Satisfied(_) => 0,
        }
    }
}
