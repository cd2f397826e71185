//! Bulk requests (RFC 7644 §3.7): what is asked, what is answered.
//!
//! Owns the messages, the references between operations (`bulkId:x`) and the order that they call for. Carrying an
//! operation out, counting errors against `failOnErrors` and the size of the body are the caller's.

mod plan;
mod reference;

use serde_json::{Map, Value, json};

pub use self::plan::{Plan, Step};
pub use self::reference::{Ids, resolve};
use crate::patch::PATCH_SCHEMA;
use crate::path::shown;
use crate::resource::DEPTH_LIMIT;
use crate::resource::body::{check_depth_within, member, names_schema};
use crate::{ResourceKind, ScimError};

/// The message of a request.
pub const BULK_REQUEST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The message of an answer.
pub const BULK_RESPONSE_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// The longest `bulkId` in bytes: clients send counters and UUIDs, and an answer repeats it.
pub const BULK_ID_BYTES_LIMIT: usize = 256;
/// A resource's nesting, and that of the message around it: the array of operations, an operation, its data.
pub const BULK_DEPTH_LIMIT: usize = DEPTH_LIMIT + 3;

/// A bulk request. Operations that make no sense are there with their errors: the others are to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkRequest {
    /// How many errors end it.
    pub fail_on_errors: Option<usize>,
    /// The operations in the request's order.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The method as the answer repeats it.
    pub method: String,
    /// The client's name for what a POST creates.
    pub bulk_id: Option<String>,
    /// What is to be done, or why it can't be.
    pub action: Result<Action, Refused>,
}

/// An operation that can't be carried out as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Why.
    pub error: ScimError,
    /// The resource that its path names all the same: the answer says where it is (RFC 7644 §3.7.3).
    pub target: Option<(ResourceKind, Target)>,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The endpoint.
    pub kind: ResourceKind,
    /// The resource; `None` for a POST.
    pub target: Option<Target>,
    /// The condition, as in an `If-Match` header.
    pub version: Option<String>,
    /// The body; null for a DELETE.
    pub data: Value,
}

/// The methods of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Delete.
    Delete,
}

/// The resource in an operation's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its id.
    Id(String),
    /// What the POST with that `bulkId` creates.
    Created(String),
}

/// What became of an operation (RFC 7644 §3.7.3).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// As in the request.
    pub method: String,
    /// As in the request.
    pub bulk_id: Option<String>,
    /// The resource's absolute URI: always but for a POST that failed.
    pub location: Option<String>,
    /// The resource's entity tag.
    pub version: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The error, or the resource if the caller likes.
    pub response: Option<Value>,
}

impl Method {
    const ALL: [Self; 4] = [Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Target {
    /// The id, once what is referred to is created.
    ///
    /// # Errors
    /// 409 when it was not.
    pub fn id(&self, ids: &Ids) -> Result<String, ScimError> {
        match self {
            Self::Id(id) => Ok(id.clone()),
            Self::Created(bulk_id) => ids.get(bulk_id).cloned().ok_or_else(|| reference::not_created(bulk_id)),
        }
    }
}

impl BulkRequest {
    /// Reads the body. What is wrong with an operation alone is that operation's error.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no such message, `invalidValue` for a malformed `failOnErrors`; 413 for more than
    /// `operations_limit` operations.
    pub fn parse(body: &Value, operations_limit: usize) -> Result<Self, ScimError> {
        let Value::Object(body) = body else {
            return Err(ScimError::invalid_syntax("the body must be a JSON object: a BulkRequest message"));
        };
        check_depth_within(body, BULK_DEPTH_LIMIT)?;
        names_schema(body, BULK_REQUEST_SCHEMA)?;
        let fail_on_errors = match member(body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
                Some(number.ok_or_else(|| ScimError::invalid_value("`failOnErrors` must be a whole number that is not negative"))?)
            }
        };
        let Some(Value::Array(operations)) = member(body, "Operations") else {
            return Err(ScimError::invalid_syntax("`Operations` must be an array"));
        };
        if operations.len() > operations_limit {
            return Err(ScimError::status(413, format!("more than {operations_limit} operations: send them in several requests")));
        }
        let mut operations: Vec<Operation> = operations.iter().map(Operation::parse).collect();
        reference::check(&mut operations);
        Ok(Self { fail_on_errors, operations })
    }

    /// Whether so many errors end it: the rest is not carried out and not answered. 0 and 1 both end it with the first one.
    #[must_use]
    pub fn ends_after(&self, errors: usize) -> bool {
        self.fail_on_errors.is_some_and(|accepted| errors >= accepted.max(1))
    }

    /// In which order to carry the operations out.
    #[must_use]
    pub fn plan(&self) -> Plan {
        plan::plan(&self.operations)
    }
}

impl Operation {
    fn parse(operation: &Value) -> Self {
        let no_members = Map::new();
        let members = operation.as_object().unwrap_or(&no_members);
        let text = |name: &str| member(members, name).and_then(Value::as_str);
        let method = text("method").unwrap_or_default();
        let known = Method::ALL.into_iter().find(|known| known.word().eq_ignore_ascii_case(method));
        let bulk_id = text("bulkId").filter(|id| !id.is_empty() && id.len() <= BULK_ID_BYTES_LIMIT).map(str::to_owned);
        let action = known
            .ok_or_else(|| ScimError::invalid_syntax("`method` must be POST, PUT, PATCH or DELETE"))
            .and_then(|method| Action::parse(method, members, bulk_id.as_deref()))
            .map_err(|error| {
                let named = text("path").filter(|_| known != Some(Method::Post)).and_then(|path| endpoint(path).ok());
                Refused { error, target: named.and_then(|(kind, target)| Some((kind, target?))) }
            });
        Self { method: known.map_or_else(|| shown(method), |method| method.word().to_owned()), bulk_id, action }
    }

    /// The resource that it is about, where it names one.
    #[must_use]
    pub fn target(&self) -> Option<(ResourceKind, &Target)> {
        match &self.action {
            Ok(action) => action.target.as_ref().map(|target| (action.kind, target)),
            Err(refused) => refused.target.as_ref().map(|(kind, target)| (*kind, target)),
        }
    }

    fn refuse(&mut self, error: ScimError) {
        let target = self.target().map(|(kind, target)| (kind, target.clone()));
        self.action = Err(Refused { error, target });
    }

    /// The answer to an operation that was not carried out. `location` is the resource's, where there is one.
    #[must_use]
    pub fn failed(&self, error: &ScimError, location: Option<String>) -> Outcome {
        Outcome { location, status: error.status, response: Some(error.to_json()), ..self.outcome() }
    }

    /// The answer to an operation that was carried out.
    #[must_use]
    pub fn done(&self, status: u16, location: String, version: Option<String>) -> Outcome {
        Outcome { location: Some(location), version, status, ..self.outcome() }
    }

    fn outcome(&self) -> Outcome {
        Outcome { method: self.method.clone(), bulk_id: self.bulk_id.clone(), ..Outcome::default() }
    }
}

impl Action {
    fn parse(method: Method, members: &Map<String, Value>, bulk_id: Option<&str>) -> Result<Self, ScimError> {
        if bulk_id.is_none() && (method == Method::Post || member(members, "bulkId").is_some_and(|id| !id.is_null())) {
            return Err(ScimError::invalid_syntax(format!(
                "`bulkId` must be a text of at most {BULK_ID_BYTES_LIMIT} bytes, and a POST needs one (RFC 7644 §3.7)"
            )));
        }
        let path = member(members, "path").and_then(Value::as_str).ok_or_else(|| ScimError::invalid_syntax("`path` must be a text"))?;
        let (kind, target) = endpoint(path)?;
        match (method, &target) {
            (Method::Post, Some(_)) => return Err(ScimError::invalid_value("`path` of a POST must be /Users or /Groups")),
            (Method::Put | Method::Patch | Method::Delete, None) => {
                return Err(ScimError::invalid_value(format!("`path` of a {} must name a resource, such as /Users/{{id}}", method.word())));
            }
            _ => {}
        }
        let version = match member(members, "version") {
            None | Some(Value::Null) => None,
            Some(version) => {
                let version = version.as_str().ok_or_else(|| ScimError::invalid_syntax("`version` must be an entity tag"))?;
                Some(version.to_owned())
            }
        };
        let data = match (method, member(members, "data")) {
            (Method::Delete, _) => Value::Null,
            (_, Some(data @ Value::Object(_))) => data.clone(),
            // RFC 7644 §3.7.3 shows the operations of a PATCH without the message around them.
            (Method::Patch, Some(operations @ Value::Array(_))) => json!({"schemas": [PATCH_SCHEMA], "Operations": operations}),
            _ => return Err(ScimError::invalid_syntax(format!("`data` of a {} must be an object", method.word()))),
        };
        Ok(Self { method, kind, target, version, data })
    }
}

/// The endpoint and the resource in an operation's path, which is relative to the base URL (RFC 7644 §3.7).
fn endpoint(path: &str) -> Result<(ResourceKind, Option<Target>), ScimError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    // A slash at the end makes no difference, as in URLs.
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    let name = segments.next().unwrap_or_default();
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.endpoint() == name);
    let (Some(kind), target, None) = (kind, segments.next(), segments.next()) else {
        return Err(ScimError::not_found("such endpoint: `path` must be /Users, /Groups or a resource there"));
    };
    let target = target.map(|id| match reference::named(id) {
        Some(bulk_id) => Target::Created(bulk_id.to_owned()),
        None => Target::Id(id.to_owned()),
    });
    Ok((kind, target))
}

impl Outcome {
    /// The answer's form; the status is a text (RFC 7644 §3.7.3).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = Map::from_iter([("method".to_owned(), Value::from(self.method.as_str()))]);
        let texts = [("bulkId", &self.bulk_id), ("location", &self.location), ("version", &self.version)];
        for (name, text) in texts {
            if let Some(text) = text {
                body.insert(name.into(), text.as_str().into());
            }
        }
        body.insert("status".into(), self.status.to_string().into());
        if let Some(response) = &self.response {
            body.insert("response".into(), response.clone());
        }
        Value::Object(body)
    }

    /// Whether it counts against `failOnErrors`.
    #[must_use]
    pub fn is_error(&self) -> bool {
        !(200..400).contains(&self.status)
    }
}

/// A `BulkResponse`: the outcomes in the request's order.
#[must_use]
pub fn bulk_response(outcomes: &[Outcome]) -> Value {
    let operations: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
    json!({"schemas": [BULK_RESPONSE_SCHEMA], "Operations": operations})
}
