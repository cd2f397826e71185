//! Resources as clients see them: the document, `id` and `meta`, the rows that are kept beside it (a group's members, a
//! user's groups), projected. What the projection leaves out is never loaded.

use std::collections::BTreeMap;

use rolecall_scim::projection::Projection;
use rolecall_scim::resource::{self, Extras};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::{Map, Value, json};

use super::version;
use crate::app::App;
use crate::http::error::Result;
use crate::http::guards::ScimCaller;
use crate::http::urls;
use crate::model::ResourceId;
use crate::store::{StoredMember, StoredResource, UserGroup};

/// The most members in one answer, all its groups together: about 8 MB of JSON. Members are never silently cut short,
/// because a client would take the rest for removed; see [`Excess`].
pub const MEMBERS_LIMIT: usize = 50_000;

/// What happens when there are more members than an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// A read is refused as `tooMany`, with what to ask instead.
    Refuse,
    /// A write has been made and must say so: `members` is left out of its answer.
    LeaveOut,
}

/// Everything that makes an answer of stored resources.
pub struct View<'a> {
    /// The process.
    pub app: &'a App,
    /// Who asks.
    pub who: &'a ScimCaller,
    /// The connection's schemas.
    pub schemas: &'a Schemas,
    /// What the client wants to see.
    pub projection: &'a Projection,
}

type Rows = BTreeMap<ResourceId, Vec<Value>>;
type Members = BTreeMap<ResourceId, Vec<StoredMember>>;

impl View<'_> {
    /// One resource.
    ///
    /// # Errors
    /// The store's; 400 `tooMany` for a read of too many members.
    pub async fn one(&self, stored: &StoredResource, excess: Excess) -> Result<Map<String, Value>> {
        let mut rows = self.rows(stored.kind, std::slice::from_ref(&stored.id), excess).await?;
        Ok(self.render(stored, rows.as_mut()))
    }

    /// A page of resources of one kind.
    ///
    /// # Errors
    /// The store's; 400 `tooMany` for too many members.
    pub async fn page(&self, items: &[StoredResource]) -> Result<Vec<Map<String, Value>>> {
        let Some(first) = items.first() else { return Ok(Vec::new()) };
        let ids: Vec<ResourceId> = items.iter().map(|item| item.id.clone()).collect();
        let mut rows = self.rows(first.kind, &ids, Excess::Refuse).await?;
        Ok(items.iter().map(|item| self.render(item, rows.as_mut())).collect())
    }

    /// The absolute URI of a resource.
    #[must_use]
    pub fn location(&self, stored: &StoredResource) -> String {
        urls::resource(&self.who.base, stored.kind, stored.id.as_str())
    }

    fn render(&self, stored: &StoredResource, rows: Option<&mut Rows>) -> Map<String, Value> {
        let extras = Extras {
            id: stored.id.as_str(),
            created: stored.created.to_string(),
            last_modified: stored.modified.to_string(),
            location: self.location(stored),
            version: version::etag(stored.version),
            rows: rows.map(|rows| rows.remove(&stored.id).unwrap_or_default()),
        };
        let mut seen = resource::view(stored.kind, &stored.document, extras);
        self.projection.apply(self.schemas, stored.kind, &mut seen);
        seen
    }

    /// The rows beside resources of one kind; `None` when they aren't wanted, or are to be left out.
    async fn rows(&self, kind: ResourceKind, ids: &[ResourceId], excess: Excess) -> Result<Option<Rows>> {
        match kind {
            ResourceKind::User if self.projection.wants("groups") => {
                let groups = self.app.store.groups_of(&self.who.caller.tenant, &self.who.caller.connection, ids).await?;
                Ok(Some(
                    groups.into_iter().map(|(user, groups)| (user, groups.iter().map(|group| self.group_row(group)).collect())).collect(),
                ))
            }
            ResourceKind::Group if self.projection.wants("members") => {
                let members = bounded(MEMBERS_LIMIT, ids, |groups, limit| self.load(groups, limit)).await?;
                let render = |members: Vec<StoredMember>| members.iter().map(|member| self.member_row(member)).collect();
                match members {
                    Some(members) => Ok(Some(members.into_iter().map(|(group, members)| (group, render(members))).collect())),
                    None if excess == Excess::LeaveOut => Ok(None),
                    None => Err(ScimError::too_many(format!(
                        "there are more than {MEMBERS_LIMIT} members: ask with `excludedAttributes=members` or for fewer groups at once"
                    ))
                    .into()),
                }
            }
            _ => Ok(None),
        }
    }

    async fn load(&self, groups: Vec<ResourceId>, limit: usize) -> Result<Members> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.app.store.members(&self.who.caller.tenant, &self.who.caller.connection, &groups, limit).await?)
    }

    fn member_row(&self, member: &StoredMember) -> Value {
        let location = urls::resource(&self.who.base, member.kind, member.id.as_str());
        let mut row = json!({"value": member.id, "$ref": location, "type": member.kind.name()});
        if let Some(display) = &member.display {
            row["display"] = display.as_str().into();
        }
        row
    }

    fn group_row(&self, group: &UserGroup) -> Value {
        let location = urls::resource(&self.who.base, ResourceKind::Group, group.id.as_str());
        json!({"value": group.id, "$ref": location, "display": group.display, "type": if group.direct { "direct" } else { "indirect" }})
    }
}

/// The members of groups, or `None` when they are more than `limit` in all. One query (`load`: groups, at most so many of
/// each) where each group has no more than its share of the limit; groups that have more are asked for one by one within
/// what is left of it, so that the work is bounded by the limit and not by the page.
async fn bounded<L, F>(limit: usize, groups: &[ResourceId], load: L) -> Result<Option<Members>>
where
    L: Fn(Vec<ResourceId>, usize) -> F,
    F: Future<Output = Result<Members>>,
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
        let stored: Members = sizes.iter().enumerate().map(|(group, size)| (id(group), (0..*size).map(member).collect())).collect();
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
