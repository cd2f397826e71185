//! Bulk requests (RFC 7644 §3.7): each operation is carried out by itself, as if it had come in a request of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use rolecall_scim::bulk::{Action, BulkRequest, Ids, Method, Operation, Outcome, Step, bulk_response, resolve};
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::Value;

use super::version::{self, IfMatch};
use super::{apply, expected, scim};
use crate::app::App;
use crate::http::body::ScimBody;
use crate::http::error::{Error, Result};
use crate::http::guards::ScimCaller;
use crate::http::{frame, trail, urls};
use crate::model::ResourceId;
use crate::provisioning::{Caller, Command};

/// The most operations in a request: a body of the largest size holds about as many users, and each may ask a plugin.
pub const BULK_OPERATIONS_LIMIT: usize = 1_000;

/// POST of `/Bulk`.
///
/// # Errors
/// 400 for what is no `BulkRequest`; 413 for more than [`BULK_OPERATIONS_LIMIT`] operations or a body that is too large. What an
/// operation fails with is in its place in the answer.
pub async fn bulk(who: ScimCaller, State(app): State<Arc<App>>, body: ScimBody) -> Result<Response> {
    let request = BulkRequest::parse(&body.0, BULK_OPERATIONS_LIMIT)?;
    let ScimCaller { caller, base } = who;
    // To its end, also when the client hangs up: half of a request that nobody is told of helps nobody.
    let outcomes = frame::to_the_end(async move { Run { app, caller, base, ids: Ids::new() }.all(&request).await }).await?;
    Ok(scim(StatusCode::OK, &bulk_response(&outcomes)))
}

struct Run {
    app: Arc<App>,
    caller: Caller,
    base: String,
    /// What was created so far.
    ids: Ids,
}

impl Run {
    async fn all(mut self, request: &BulkRequest) -> Vec<Outcome> {
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        for step in request.plan().steps {
            let errors = outcomes.values().filter(|outcome| outcome.is_error()).count();
            let ended = request.ends_after(errors);
            let (index, outcome) = match &step {
                // What was begun is finished.
                Step::Complete(index, data) => {
                    let Some(created) = outcomes.get(index).filter(|outcome| !outcome.is_error()).cloned() else { continue };
                    (*index, self.complete(&request.operations[*index], created, data).await)
                }
                _ if ended => continue,
                Step::Run(index) => (*index, self.operation(&request.operations[*index], None).await),
                Step::RunWithout(index, data) => (*index, self.operation(&request.operations[*index], Some(data)).await),
                Step::Refuse(index, error) => {
                    let operation = &request.operations[*index];
                    self.log_refused(operation, &error.clone().into());
                    (*index, operation.failed(error, self.location_of(operation)))
                }
            };
            outcomes.insert(index, outcome);
        }
        outcomes.into_values().collect()
    }

    /// Carries an operation out, with other data than its own where some have to wait.
    async fn operation(&mut self, operation: &Operation, data: Option<&Value>) -> Outcome {
        let action = match &operation.action {
            Ok(action) => action,
            Err(refused) => {
                self.log_refused(operation, &refused.error.clone().into());
                return operation.failed(&refused.error, self.location_of(operation));
            }
        };
        let logged = self.caller.trail.logged();
        match self.action(action, data.unwrap_or(&action.data)).await {
            Ok((status, id, version)) => {
                if let (Method::Post, Some(bulk_id)) = (action.method, &operation.bulk_id) {
                    self.ids.insert(bulk_id.clone(), id.0.clone());
                }
                operation.done(status, urls::resource(&self.base, action.kind, id.as_str()), version.map(version::etag))
            }
            Err(error) => {
                if self.caller.trail.logged() == logged {
                    self.log_refused(operation, &error);
                }
                operation.failed(&error.into_scim(), self.location_of(operation))
            }
        }
    }

    /// What never came to be tried is in the provisioning log all the same.
    fn log_refused(&self, operation: &Operation, error: &Error) {
        let method = ["POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| operation.method.eq_ignore_ascii_case(known));
        let kind = operation.action.as_ref().ok().map(|action| action.kind);
        trail::refused(&self.app, &self.caller, method.unwrap_or("–"), kind, error);
    }

    async fn action(&self, action: &Action, data: &Value) -> Result<(u16, ResourceId, Option<i64>)> {
        let kind = action.kind;
        let body = || resolve(data, &self.ids);
        let Some(target) = &action.target else {
            return self.command(Command::Create { kind, body: body()? }, 201, false).await;
        };
        let id = ResourceId(target.id(&self.ids)?);
        let condition = action.version.as_deref().map_or(IfMatch::Any, |version| IfMatch::of([version]));
        let if_match = expected(&self.app, &self.caller, kind, &id, condition).await?;
        let conditional = if_match.is_some();
        match action.method {
            Method::Put => self.command(Command::Replace { kind, id, body: body()?, if_match }, 200, conditional).await,
            Method::Patch => self.command(Command::Patch { kind, id, body: body()?, if_match }, 200, conditional).await,
            Method::Delete => {
                apply(&self.app, &self.caller, Command::Delete { kind, id: id.clone(), if_match }, conditional).await?;
                Ok((204, id, None))
            }
            Method::Post => Err(ScimError::invalid_value("`path` of a POST must be /Users or /Groups").into()),
        }
    }

    async fn command(&self, command: Command, status: u16, conditional: bool) -> Result<(u16, ResourceId, Option<i64>)> {
        let applied = apply(&self.app, &self.caller, command, conditional).await?;
        let stored = applied.resource.ok_or_else(|| Error::internal("a write that is no DELETE left no resource"))?;
        Ok((status, stored.id, Some(stored.version)))
    }

    /// Adds what a creation could not refer to yet. Where that fails, the operation has: what it created stays, and its location says so. A
    /// circle that can't be closed, as groups can't be in each other, is a conflict (RFC 7644 §3.7.1).
    async fn complete(&self, operation: &Operation, created: Outcome, data: &Value) -> Outcome {
        let kind = operation.action.as_ref().map_or(ResourceKind::User, |action| action.kind);
        let id = operation.bulk_id.as_ref().and_then(|bulk_id| self.ids.get(bulk_id)).cloned().unwrap_or_default();
        let added = match resolve(data, &self.ids) {
            Ok(body) => self.command(Command::Patch { kind, id: ResourceId(id), body, if_match: None }, 200, false).await,
            Err(error) => Err(error.into()),
        };
        match added {
            Ok((_, _, version)) => Outcome { version: version.map(version::etag).or(created.version), ..created },
            Err(error) => {
                let error = error.into_scim();
                let detail =
                    format!("it was created without its references to what came later, which could not be added: {}", error.detail);
                // 409 has one keyword, `uniqueness` (RFC 7644 §3.12), and what was asked for is no matter of that.
                let error = if error.status == 400 { ScimError::status(409, detail) } else { ScimError { detail, ..error } };
                operation.failed(&error, created.location)
            }
        }
    }

    /// Where the resource of an operation is, if it names one (RFC 7644 §3.7.3).
    fn location_of(&self, operation: &Operation) -> Option<String> {
        let (kind, target) = operation.target()?;
        Some(urls::resource(&self.base, kind, &target.id(&self.ids).ok()?))
    }
}
