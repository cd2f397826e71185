//! Resources as clients see them: the document, `id` and `meta`, the rows that are kept beside it (a group's members, a
//! user's groups), projected. Rows that the projection leaves out are never loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LOCATION, ETAG, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use rolecall_scim::projection::Projection;
use rolecall_scim::resource::{self, Extras};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::{Map, Value, json};

use super::version;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::ScimCaller;
use crate::http::urls;
use crate::model::ResourceId;
use crate::provisioning::Caller;
use crate::store::{StoreError, StoredMember, StoredResource, UserGroup};

/// The most members in the answer to a listing, all its groups together, and the most groups of its users: about 8 MB of JSON. Members are never silently cut
/// short, because a client would take the rest for removed.
pub const MEMBERS_LIMIT: usize = 50_000;
/// Members that are read at once for the answer about one group: all of one that is larger are sent as they are read.
pub const MEMBERS_PAGE: usize = 1_000;

/// Everything that makes an answer of stored resources.
pub struct View<'a> {
    /// The process.
    pub app: &'a Arc<App>,
    /// Who asks.
    pub who: &'a ScimCaller,
    /// The connection's schemas.
    pub schemas: &'a Arc<Schemas>,
    /// What the client wants to see.
    pub projection: &'a Projection,
}

type Rows = BTreeMap<ResourceId, Vec<Value>>;
type MemberLists = BTreeMap<ResourceId, Vec<StoredMember>>;

impl View<'_> {
    /// The answer about one resource, with its entity tag; `groups` are a user's if they were read with it.
    ///
    /// # Errors
    /// The store's.
    pub async fn answer(&self, status: StatusCode, stored: &StoredResource, groups: Option<Vec<UserGroup>>) -> Result<Response> {
        let body = match groups {
            Some(groups) => json_text(&self.render(stored, Some(self.group_rows(&groups))))?.into(),
            None => self.body(stored).await?,
        };
        Ok((self.validators(stored), super::of_scim(status, body)).into_response())
    }

    /// The headers of an answer about one resource, whether or not it is shown (RFC 9110 §15.4.5): its entity tag and, as `meta.location`
    /// does (RFC 7643 §3.1), where it is.
    pub fn validators(&self, stored: &StoredResource) -> [(HeaderName, String); 2] {
        [(ETAG, version::etag(stored.version)), (CONTENT_LOCATION, self.location(stored))]
    }

    async fn body(&self, stored: &StoredResource) -> Result<Body> {
        if stored.kind == ResourceKind::User || !self.projection.wants("members") {
            let rows = self.rows(stored.kind, std::slice::from_ref(&stored.id)).await?;
            return json_text(&self.render(stored, rows.and_then(|mut rows| rows.remove(&stored.id)))).map(Body::from);
        }
        let mut members = Members::of(self, stored.id.clone());
        let first = members.next_page().await?;
        if members.ended {
            return json_text(&self.render(stored, Some(first))).map(Body::from);
        }
        let mut shown = self.render(stored, Some(Vec::new()));
        shown.shift_remove("members");
        members.streamed(&shown, first)
    }

    /// A page of resources of one kind.
    ///
    /// # Errors
    /// The store's; 400 `tooMany` for too many members.
    pub async fn page(&self, items: &[StoredResource]) -> Result<Vec<Map<String, Value>>> {
        let Some(first) = items.first() else { return Ok(Vec::new()) };
        let ids: Vec<ResourceId> = items.iter().map(|item| item.id.clone()).collect();
        let mut rows = self.rows(first.kind, &ids).await?;
        let mut of = |id: &ResourceId| rows.as_mut().map(|rows| rows.remove(id).unwrap_or_default());
        Ok(items.iter().map(|item| self.render(item, of(&item.id))).collect())
    }

    fn location(&self, stored: &StoredResource) -> String {
        urls::resource(&self.who.base, stored.kind, stored.id.as_str())
    }

    fn render(&self, stored: &StoredResource, rows: Option<Vec<Value>>) -> Map<String, Value> {
        let extras = Extras {
            id: stored.id.as_str(),
            created: stored.created.to_string(),
            last_modified: stored.modified.to_string(),
            location: self.location(stored),
            version: version::etag(stored.version),
            rows,
        };
        let mut seen = resource::view(stored.kind, &stored.document, extras);
        self.projection.apply(self.schemas, stored.kind, &mut seen);
        seen
    }

    /// The rows beside resources of one kind; `None` when they aren't wanted.
    async fn rows(&self, kind: ResourceKind, ids: &[ResourceId]) -> Result<Option<Rows>> {
        match kind {
            ResourceKind::User if self.projection.wants("groups") => {
                // One user is shown whatever there is: it is read by itself.
                let limit = if ids.len() == 1 { usize::MAX } else { MEMBERS_LIMIT };
                let groups = self.app.store.groups_of(&self.who.caller.tenant, &self.who.caller.connection, ids, limit).await;
                let groups = match groups {
                    Err(StoreError::TooMany) => {
                        let what = format!(
                            "there are more than {MEMBERS_LIMIT} groups: ask with `excludedAttributes=groups` or for fewer users at once"
                        );
                        return Err(ScimError::too_many(what).into());
                    }
                    groups => groups?,
                };
                Ok(Some(groups.into_iter().map(|(user, groups)| (user, self.group_rows(&groups))).collect()))
            }
            ResourceKind::Group if self.projection.wants("members") => {
                let members = bounded(MEMBERS_LIMIT, ids, |groups, limit| self.load(groups, limit)).await?;
                let render = |members: Vec<StoredMember>| members.iter().map(|member| member_row(&self.who.base, member)).collect();
                match members {
                    Some(members) => Ok(Some(members.into_iter().map(|(group, members)| (group, render(members))).collect())),
                    None => Err(ScimError::too_many(format!(
                        "there are more than {MEMBERS_LIMIT} members: ask with `excludedAttributes=members` or for fewer groups at once"
                    ))
                    .into()),
                }
            }
            _ => Ok(None),
        }
    }

    async fn load(&self, groups: Vec<ResourceId>, limit: usize) -> Result<MemberLists> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.app.store.members(&self.who.caller.tenant, &self.who.caller.connection, &groups, limit).await?)
    }

    fn group_rows(&self, groups: &[UserGroup]) -> Vec<Value> {
        let row = |group: &UserGroup| {
            let location = urls::resource(&self.who.base, ResourceKind::Group, group.id.as_str());
            json!({"value": group.id, "$ref": location, "display": group.display, "type": if group.direct { "direct" } else { "indirect" }})
        };
        groups.iter().map(row).collect()
    }
}

fn member_row(base: &str, member: &StoredMember) -> Value {
    let mut row = json!({"value": member.id, "$ref": urls::resource(base, member.kind, member.id.as_str()), "type": member.kind.name()});
    if let Some(display) = &member.display {
        row["display"] = display.as_str().into();
    }
    row
}

fn json_text(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::internal)
}

/// The members of one group, read a page after the other. Nothing is held between two pages, neither rows nor a transaction:
/// somebody who joins or leaves meanwhile may or may not be among them, as with any answer that was on its way. The version in front
/// is from before them all, so that a change that relies on it is refused.
struct Members {
    app: Arc<App>,
    caller: Caller,
    base: String,
    schemas: Arc<Schemas>,
    projection: Projection,
    group: ResourceId,
    after: Option<ResourceId>,
    ended: bool,
}

impl Members {
    fn of(view: &View<'_>, group: ResourceId) -> Self {
        Self {
            app: Arc::clone(view.app),
            caller: view.who.caller.clone(),
            base: view.who.base.clone(),
            schemas: Arc::clone(view.schemas),
            projection: view.projection.clone(),
            group,
            after: None,
            ended: false,
        }
    }

    async fn next_page(&mut self) -> Result<Vec<Value>, StoreError> {
        let (tenant, connection) = (&self.caller.tenant, &self.caller.connection);
        let limit = i64::try_from(MEMBERS_PAGE).unwrap_or(i64::MAX);
        // One more than a page tells whether there is another.
        let mut page = self.app.store.members_after(tenant, connection, &self.group, self.after.as_ref(), limit + 1).await?;
        self.ended = page.len() <= MEMBERS_PAGE;
        page.truncate(MEMBERS_PAGE);
        self.after = page.last().map(|member| member.id.clone());
        Ok(page.iter().map(|member| member_row(&self.base, member)).collect())
    }

    /// The rows as they are shown, each behind a comma but for the first of all.
    fn text(&self, rows: Vec<Value>, is_first: bool) -> Result<Vec<u8>, serde_json::Error> {
        let mut shown = Map::from_iter([("members".to_owned(), Value::Array(rows))]);
        self.projection.apply(&self.schemas, ResourceKind::Group, &mut shown);
        let mut text = Vec::new();
        for row in shown.get("members").and_then(Value::as_array).into_iter().flatten() {
            if !text.is_empty() || !is_first {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, row)?;
        }
        Ok(text)
    }

    /// The group without its members, the first of them, and the others as they are read. When that fails the answer ends in the
    /// middle, and no client takes it for whole.
    fn streamed(self, group: &Map<String, Value>, first: Vec<Value>) -> Result<Body> {
        let mut head = json_text(group)?;
        head.pop();
        head.extend_from_slice(b",\"members\":[");
        head.extend(self.text(first, true).map_err(Error::internal)?);
        let pages = stream::try_unfold(Some(self), |members| async move {
            let Some(mut members) = members else { return Ok(None) };
            if members.ended {
                return Ok(Some((b"]}".to_vec(), None)));
            }
            let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
                tracing::error!(%error, "an answer ends in the middle: members can't be read");
                error
            };
            let rows = members.next_page().await.map_err(|error| failed(error.into()))?;
            let text = members.text(rows, false).map_err(|error| failed(error.into()))?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Some((text, Some(members))))
        });
        Ok(Body::from_stream(stream::once(async { Ok(head) }).chain(pages)))
    }
}

/// The members of groups, or `None` when they are more than `limit` in all. One query (`load`: groups, at most so many of
/// each) where each group has no more than its share of the limit; groups that have more are asked for one by one within
/// what is left of it, so that the work is bounded by the limit and not by the page.
async fn bounded<L, F>(limit: usize, groups: &[ResourceId], load: L) -> Result<Option<MemberLists>>
where
    L: Fn(Vec<ResourceId>, usize) -> F,
    F: Future<Output = Result<MemberLists>>,
{
    let share = limit / groups.len().max(1);
    let mut members = load(groups.to_vec(), share + 1).await?;
    let larger: Vec<ResourceId> = members.iter().filter(|(_, list)| list.len() > share).map(|(id, _)| id.clone()).collect();
    let mut left = limit.saturating_sub(members.values().map(Vec::len).filter(|count| *count <= share).sum());
    for group in larger {
        // A group alone has had the whole limit as its share.
        if groups.len() > 1 {
            members.extend(load(vec![group.clone()], left + 1).await?);
        }
        match left.checked_sub(members.get(&group).map_or(0, Vec::len)) {
            Some(rest) => left = rest,
            None => return Ok(None),
        }
    }
    Ok(Some(members))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Groups of these sizes, the limit, whether they fit, and how many queries that took.
    async fn check(sizes: &[usize], limit: usize, fit: bool, queries: usize) {
        let id = |number: usize| ResourceId(format!("g{number:03}"));
        let member = |number: usize| StoredMember { id: ResourceId(format!("m{number}")), kind: ResourceKind::User, display: None };
        let stored: MemberLists = sizes.iter().enumerate().map(|(group, size)| (id(group), (0..*size).map(member).collect())).collect();
        let asked = RefCell::new(Vec::new());
        let load = |groups: Vec<ResourceId>, most: usize| {
            asked.borrow_mut().push(groups.len() * most);
            let taken = |group: ResourceId| (group.clone(), stored[&group].iter().take(most).cloned().collect());
            std::future::ready(Ok(groups.into_iter().map(taken).collect()))
        };
        let groups: Vec<ResourceId> = stored.keys().cloned().collect();
        let found = bounded(limit, &groups, load).await.unwrap();
        assert_eq!(found, fit.then(|| stored.clone()), "{sizes:?} within {limit}");
        let asked = asked.into_inner();
        assert_eq!(asked.len(), queries, "{sizes:?} within {limit}: {asked:?}");
        assert!(asked.iter().all(|rows| *rows <= limit + sizes.len()), "{sizes:?} within {limit}: {asked:?}");
    }

    #[tokio::test]
    async fn members_are_whole_or_not_at_all_and_the_work_is_bounded() {
        check(&[], 10, true, 1).await;
        check(&[0], 10, true, 1).await;
        check(&[10], 10, true, 1).await;
        check(&[11], 10, false, 1).await;
        check(&[5, 5], 10, true, 1).await;
        check(&[1, 9], 10, true, 2).await;
        check(&[1, 10], 10, false, 2).await;
        check(&[6, 6], 10, false, 3).await;
        check(&[6, 0, 3, 1], 10, true, 3).await;
        check(&[100, 100, 100], 10, false, 2).await;
        check(&[1; 20], 10, false, 12).await;
    }
}
