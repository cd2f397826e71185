//! Bulk requests: that every plan can be carried out, whatever was asked.

use std::collections::HashSet;

use rolecall_scim::bulk::{Action, BulkRequest, Ids, Method, Outcome, Step, bulk_response, resolve};
use serde_json::Value;

use super::is_refusal;

/// The most operations of a request here.
const OPERATIONS: usize = 100;

/// The body of a bulk request. Each operation is run or refused once, after what it refers to; what is left out is
/// completed; and there is an answer to each.
pub fn bulk(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let request = match BulkRequest::parse(&body, OPERATIONS) {
        Ok(request) => request,
        Err(error) => return is_refusal(&error),
    };
    assert!(request.operations.len() <= OPERATIONS);
    let run = Run::of(&request);
    assert_eq!(run.answered.len(), request.operations.len(), "an operation is neither run nor refused");
    assert_eq!(run.incomplete, HashSet::new(), "something was left out and never added");
    let answer = bulk_response(&run.outcomes);
    assert_eq!(answer["Operations"].as_array().map(Vec::len), Some(run.outcomes.len()));
    assert!(request.ends_after(usize::MAX) == request.fail_on_errors.is_some());
}

/// A request that is carried out by a server that says yes to everything.
#[derive(Default)]
struct Run {
    ids: Ids,
    answered: HashSet<usize>,
    incomplete: HashSet<usize>,
    failed: bool,
    outcomes: Vec<Outcome>,
}

impl Run {
    fn of(request: &BulkRequest) -> Self {
        // What can't be understood is not created, wherever it stands.
        let failed = request.operations.iter().any(|operation| operation.action.is_err());
        let mut run = Self { failed, ..Self::default() };
        for step in request.plan().steps {
            match step {
                Step::Run(index) => {
                    let action = request.operations[index].action.as_ref().expect("what is run was understood");
                    run.first(request, index, &action.data);
                }
                Step::RunWithout(index, data) => {
                    run.incomplete.insert(index);
                    run.first(request, index, &data);
                }
                Step::Complete(index, data) => {
                    assert!(run.answered.contains(&index) && run.incomplete.remove(&index), "completed without being begun");
                    run.resolved(&data);
                }
                Step::Refuse(index, error) => {
                    is_refusal(&error);
                    assert!(run.answered.insert(index), "refused twice");
                    run.failed = true;
                    run.outcomes.push(request.operations[index].failed(&error, None));
                }
            }
        }
        run
    }

    /// Carries an operation out, or creates what it can create at first.
    fn first(&mut self, request: &BulkRequest, index: usize, data: &Value) {
        assert!(self.answered.insert(index), "run twice");
        let operation = &request.operations[index];
        let action = operation.action.as_ref().expect("what is run was understood");
        let (found, sent) = (self.target(action), self.resolved(data));
        if !(found && sent) {
            self.failed = true;
            return;
        }
        if let (Method::Post, Some(bulk_id)) = (action.method, &operation.bulk_id) {
            self.ids.insert(bulk_id.clone(), format!("id-{index}"));
        }
        self.outcomes.push(operation.done(200, format!("https://rolecall.example/{index}"), None));
    }

    /// Whether the operation's resource is there; it may be missing only if something failed.
    fn target(&self, action: &Action) -> bool {
        let Some(target) = &action.target else { return true };
        let found = target.id(&self.ids).is_ok();
        assert!(found || self.failed, "{target:?} is not there yet");
        found
    }

    /// Whether everything that the data refer to is there; it may be missing only if something failed.
    fn resolved(&self, data: &Value) -> bool {
        let resolved = resolve(data, &self.ids);
        assert!(resolved.is_ok() || self.failed, "{data} refers to what is not there yet");
        resolved.is_ok()
    }
}
