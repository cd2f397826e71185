//! The order of a bulk request's operations: the request's, but what an operation refers to is created before it, and after what is deleted
//! before that: somebody may be created under the name of somebody who goes.
//!
//! Where creations refer to each other in a circle, members of groups and managers are left out at first and added when
//! everything is there (RFC 7644 §3.7.1). Other circles can't be cut: those operations are refused.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{Action, Method, Operation, reference};
use crate::patch::PATCH_SCHEMA;
use crate::schema::ENTERPRISE;
use crate::{ResourceKind, ScimError};

/// What to do, in this order. Every operation is run or refused exactly once.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step; operations are named by their place in the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Carry the operation out with its own data.
    Run(usize),
    /// Create it with these data, which lack what refers to something that is not there yet.
    RunWithout(usize, Value),
    /// Add what was left out: a PATCH of what the operation created. If it fails, so does the operation.
    Complete(usize, Value),
    /// It can't be carried out.
    Refuse(usize, ScimError),
}

pub(super) fn plan(operations: &[Operation]) -> Plan {
    let created: HashMap<&str, usize> = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.action.as_ref().is_ok_and(|action| action.method == Method::Post))
        .filter_map(|(index, operation)| Some((operation.bulk_id.as_deref()?, index)))
        .collect();
    let mut needs: Vec<Needs> = operations.iter().map(|operation| Needs::of(operation, &created)).collect();
    let mut deletion = None;
    for (index, operation) in operations.iter().enumerate() {
        let Ok(action) = &operation.action else { continue };
        match action.method {
            Method::Post => needs[index].hard.extend(deletion),
            // One behind the other. What deletes something that is yet to be created goes behind that, and is waited for by nobody.
            Method::Delete if needs[index].hard.is_empty() => needs[index].hard.extend(deletion.replace(index)),
            _ => {}
        }
    }
    let mut steps = Vec::with_capacity(operations.len());
    for circle in circles(&needs.iter().map(Needs::all).collect::<Vec<_>>()) {
        add_steps(operations, &needs, circle, &mut steps);
    }
    Plan { steps }
}

/// The operations that an operation refers to.
#[derive(Debug, Default)]
struct Needs {
    /// It can't be carried out before these.
    hard: Vec<usize>,
    /// References as a member or as the manager: they can be added later.
    soft: Vec<usize>,
}

impl Needs {
    fn of(operation: &Operation, created: &HashMap<&str, usize>) -> Self {
        let Ok(action) = &operation.action else { return Self::default() };
        let indices = |data: &Value| -> Vec<usize> {
            reference::of_data(data).into_iter().filter_map(|bulk_id| created.get(bulk_id).copied()).collect()
        };
        let mut all = indices(&action.data);
        if action.method != Method::Post {
            all.extend(reference::of_target(action).and_then(|bulk_id| created.get(bulk_id).copied()));
            return Self { hard: all, soft: Vec::new() };
        }
        let hard = indices(&cut(action, &|_| true).0);
        let kept: HashSet<usize> = hard.iter().copied().collect();
        let soft = all.into_iter().filter(|index| !kept.contains(index)).collect();
        Self { hard, soft }
    }

    fn all(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.hard.iter().chain(&self.soft).copied().collect();
        all.sort_unstable();
        all
    }
}

/// Operations that refer to each other, directly or not; groups of one where they don't. What is referred to comes first,
/// else the request's order holds.
fn circles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    // Tarjan's strongly connected components, without recursion: a chain of references can be as long as the request.
    const UNSEEN: usize = usize::MAX;
    let mut number = vec![UNSEEN; needs.len()];
    let mut low = vec![UNSEEN; needs.len()];
    let mut open = vec![false; needs.len()];
    let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..needs.len() {
        if number[root] != UNSEEN {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((at, edge)) = work.pop() {
            if edge == 0 {
                (number[at], low[at], open[at]) = (next, next, true);
                next += 1;
                stack.push(at);
            }
            if let Some(&to) = needs[at].get(edge) {
                work.push((at, edge + 1));
                if number[to] == UNSEEN {
                    work.push((to, 0));
                } else if open[to] {
                    low[at] = low[at].min(number[to]);
                }
                continue;
            }
            if low[at] == number[at] {
                let start = stack.iter().rposition(|&index| index == at).unwrap_or_default();
                let mut circle = stack.split_off(start);
                circle.iter().for_each(|&index| open[index] = false);
                circle.sort_unstable();
                found.push(circle);
            }
            if let Some(&(parent, _)) = work.last() {
                low[parent] = low[parent].min(low[at]);
            }
        }
    }
    found
}

/// The steps for operations that refer to each other: they are created with the references that are there, in an order that
/// keeps the hard ones; then the rest is added.
fn add_steps(operations: &[Operation], needs: &[Needs], circle: Vec<usize>, steps: &mut Vec<Step>) {
    let within: HashSet<usize> = circle.iter().copied().collect();
    // Without the references that can wait, what is still a circle can't be cut.
    let places: HashMap<usize, usize> = circle.iter().enumerate().map(|(place, &index)| (index, place)).collect();
    let hard: Vec<Vec<usize>> =
        circle.iter().map(|&index| needs[index].hard.iter().filter_map(|need| places.get(need).copied()).collect()).collect();
    let mut done = HashSet::new();
    let mut late = Vec::new();
    for knot in circles(&hard) {
        let knotted = knot.len() > 1 || knot.iter().any(|&place| hard[place].contains(&place));
        for index in knot.into_iter().map(|place| circle[place]) {
            if knotted {
                let detail =
                    "the operation is part of a circle of references that can't be cut: create the resources first and link them then";
                steps.push(Step::Refuse(index, ScimError::status(409, detail)));
                continue;
            }
            let missing: HashSet<usize> =
                needs[index].soft.iter().copied().filter(|need| within.contains(need) && !done.contains(need)).collect();
            let action = operations[index].action.as_ref();
            match action {
                Ok(action) if !missing.is_empty() => {
                    let names: HashSet<&str> = missing.iter().filter_map(|&need| operations[need].bulk_id.as_deref()).collect();
                    let is_late = |bulk_id: &str| names.contains(bulk_id);
                    let (data, addition) = cut(action, &is_late);
                    steps.push(Step::RunWithout(index, data));
                    late.push(Step::Complete(index, json!({"schemas": [PATCH_SCHEMA], "Operations": addition})));
                }
                Ok(_) => steps.push(Step::Run(index)),
                Err(refused) => steps.push(Step::Refuse(index, refused.error.clone())),
            }
            done.insert(index);
        }
    }
    steps.extend(late);
}

/// The data of a creation without the members and the manager that refer to a `bulkId` that is late, and the operations of
/// a PATCH that adds them.
fn cut(action: &Action, is_late: &dyn Fn(&str) -> bool) -> (Value, Vec<Value>) {
    let refers = |value: &Value| reference::of_data(value).into_iter().any(is_late);
    let mut data = action.data.clone();
    let mut addition = Vec::new();
    let Value::Object(parts) = &mut data else { return (data, addition) };
    match action.kind {
        ResourceKind::Group => {
            if let Some(Value::Array(members)) = of_name(parts, "members") {
                let (late, early): (Vec<Value>, Vec<Value>) = members.drain(..).partition(|member| refers(member));
                *members = early;
                if !late.is_empty() {
                    addition.push(json!({"op": "add", "path": "members", "value": late}));
                }
            }
        }
        ResourceKind::User => {
            if let Some(Value::Object(enterprise)) = of_name(parts, ENTERPRISE)
                && let Some(manager) = of_name(enterprise, "manager")
                && refers(manager)
            {
                addition.push(json!({"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": manager.take()}));
            }
        }
    }
    (data, addition)
}

/// A member by its name in any case.
fn of_name<'v>(parts: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Value> {
    parts.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
