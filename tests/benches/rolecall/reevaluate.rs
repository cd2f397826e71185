//! A whole population asked again: decisions in memory against Cedar's own authorizer over every pair of person and role.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use rolecall::mapping::AccountShape;
use rolecall::model::GroupMembership;
use rolecall::policies::{Policies, Principal, Touch, Unsliced};

use crate::load::per_second;
use crate::population::{forget_peak, peak};
use crate::report::Report;

/// People of the population that is compared.
const PEOPLE: u32 = 100_000;
/// People of the large one.
const LARGE: u32 = 1_000_000;
/// Roles, and as many policies.
const ROLES: u32 = 100;
/// People whom the other side asks about: a second's work.
const SAMPLE: u32 = 150;
/// Rounds: each asks everybody.
const ROUNDS: usize = 5;
/// People at once, as the job reads them.
const PAGE: u32 = 512;

struct Person {
    id: String,
    shape: AccountShape,
    groups: Vec<GroupMembership>,
}

/// Somebody: three of the hundred groups, of ten thousand combinations, and one of twenty departments.
fn somebody(number: u32) -> Person {
    let mixed = number.wrapping_mul(2_654_435_761) >> 8;
    let group = |number: u32| {
        let handle = format!("group-{}", number % ROLES);
        GroupMembership { handle: handle.clone(), chain: vec![format!("team-{}", number % 7), handle] }
    };
    let department = if mixed.is_multiple_of(20) { "Harbour".to_owned() } else { format!("Department {}", mixed % 20) };
    let shape = AccountShape {
        user_name: format!("person-{number}@acme.example"),
        department: Some(department),
        title: Some(format!("title {}", number % 31)),
        ..AccountShape::default()
    };
    Person { id: format!("id-{number}"), shape, groups: vec![group(mixed), group(mixed / ROLES), group(mixed / ROLES + 3)] }
}

/// Asks about everybody, page after page; how many roles there are and how many people a second.
fn ask_everybody(policies: &Policies, people: u32) -> (usize, f64) {
    let (proposed, at) = (BTreeSet::new(), as_of());
    let (mut grants, mut seconds) = (0, 0.0);
    for first in (0..people).step_by(PAGE as usize) {
        let page: Vec<Person> = (first..people.min(first + PAGE)).map(somebody).collect();
        let started = Instant::now();
        for Person { id, shape, groups } in &page {
            grants += black_box(policies.decide(&Principal::of(id, "connection", shape, groups), &proposed, at)).grants.len();
        }
        seconds += started.elapsed().as_secs_f64();
    }
    (grants, f64::from(people) / seconds)
}

/// Looks at everybody, and asks about those whom the change can touch; how many seconds that takes.
fn ask_touched(before: &Policies, after: &Policies) -> f64 {
    let (proposed, at) = (BTreeSet::new(), as_of());
    let (mut touched, mut seconds) = (0, 0.0);
    for first in (0..LARGE).step_by(PAGE as usize) {
        let page: Vec<Person> = (first..LARGE.min(first + PAGE)).map(somebody).collect();
        let started = Instant::now();
        // As an activation does: what differs is found anew for each page.
        let touch = Touch::between(before, after).expect("the catalogue is the same");
        for Person { id, shape, groups } in &page {
            let principal = Principal::of(id, "connection", shape, groups);
            if touch.touches(&principal, at) {
                touched += 1;
                black_box(after.decide(&principal, &proposed, at));
            }
        }
        seconds += started.elapsed().as_secs_f64();
    }
    assert!((LARGE / 30..LARGE / 10).contains(&touched), "one department of twenty: {touched}");
    seconds
}

fn as_of() -> jiff::Timestamp {
    rolecall::model::Instant(1_790_000_000_000_000).timestamp()
}

fn compile(more: &str) -> Policies {
    let (text, roles) = crate::policies::many(ROLES as usize);
    let sources = [("policies/many.cedar".into(), text), ("policies/more.cedar".into(), more.to_owned())];
    Policies::compile(&sources, &roles).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Measures.
pub fn measure(report: &mut Report) {
    let (proposed, at) = (BTreeSet::new(), as_of());
    let (mut remembered, mut afresh, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // As an activation finds them: nothing is remembered yet.
        let policies = compile("");
        remembered.push(ask_everybody(&policies, PEOPLE).1);
        let everything = Unsliced::of(&policies).unwrap_or_else(|problem| panic!("{problem}"));
        let sample: Vec<Person> = (0..SAMPLE).map(|number| somebody(number * (PEOPLE / SAMPLE))).collect();
        let principals = || sample.iter().map(|Person { id, shape, groups }| Principal::of(id, "connection", shape, groups));
        let started = Instant::now();
        let sliced: Vec<_> = principals().map(|principal| policies.decide_afresh(&principal, &proposed, at)).collect();
        afresh.push(per_second(sample.len(), started));
        let started = Instant::now();
        let all: Vec<_> = principals().map(|principal| everything.decide(&principal, &proposed, at)).collect();
        pairs.push(per_second(sample.len(), started));
        let answers: Vec<_> = principals().map(|principal| policies.decide(&principal, &proposed, at)).collect();
        assert!(answers == all && sliced == all, "the same answers all three ways");
    }
    let name = format!("re-evaluation, {PEOPLE} people × {ROLES} × {ROLES}");
    report.add(name.clone(), "people a second", ("remembered", remembered), ("every pair", pairs.clone()));
    report.add(format!("{name}, nothing remembered"), "people a second", ("sliced", afresh), ("every pair", pairs));
    large(report);
}

/// A million people: how long it takes, what is remembered of them, and what one more policy for one department costs.
fn large(report: &mut Report) {
    let one_department = "@id(\"one-department\")\n@reason(\"the harbour\")\npermit (principal, action == Rolecall::Action::\"hold\", resource == \
                          Rolecall::Role::\"role-1\") when { principal has department && principal.department == \"Harbour\" };\n";
    let (mut before, mut after, mut memory, mut none) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        for (more, seconds) in [("", &mut before), (one_department, &mut after)] {
            let policies = compile(more);
            forget_peak();
            let standing = peak();
            let (_, rate) = ask_everybody(&policies, LARGE);
            seconds.push(f64::from(LARGE) / rate);
            if more.is_empty() {
                memory.push((peak() - standing).max(0.1));
                none.push(standing);
            }
        }
    }
    let (without, with) = (compile(""), compile(one_department));
    let (mut touched, mut everybody) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        touched.push(ask_touched(&without, &with));
        everybody.push(f64::from(LARGE) / ask_everybody(&with, LARGE).1);
    }
    report.add(format!("{LARGE} people, activating it"), "seconds", ("whom it touches", touched), ("everybody", everybody));
    report.add(format!("{LARGE} people, one policy of one department more"), "seconds", ("with it", after), ("without", before));
    report.add(format!("memory of {LARGE} people's decisions"), "MiB", ("more", memory), ("before", none));
}
