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
use crate::http::error::{Error, Result};
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
            ResourceKind::Group if self.projection.wants("members") => match self.members(ids).await {
                Ok(members) => {
                    let render = |members: Vec<StoredMember>| members.iter().map(|member| self.member_row(member)).collect();
                    Ok(Some(members.into_iter().map(|(group, members)| (group, render(members))).collect()))
                }
                Err(Members::Store(error)) => Err(error),
                Err(Members::TooMany) if excess == Excess::LeaveOut => Ok(None),
                Err(Members::TooMany) => Err(ScimError::too_many(format!(
                    "there are more than {MEMBERS_LIMIT} members: ask with `excludedAttributes=members` or for fewer groups at once"
                ))
                .into()),
            },
            _ => Ok(None),
        }
    }

    /// The members of groups. One query where each group has no more than its share of the limit; groups that have more
    /// are asked for one by one within what is left of it, so that the work is bounded by the limit and not by the page.
    async fn members(&self, groups: &[ResourceId]) -> Result<BTreeMap<ResourceId, Vec<StoredMember>>, Members> {
        let share = MEMBERS_LIMIT / groups.len().max(1);
        let mut members = self.load(groups, share + 1).await?;
        let larger: Vec<ResourceId> = members.iter().filter(|(_, list)| list.len() > share).map(|(id, _)| id.clone()).collect();
        let mut left = MEMBERS_LIMIT.saturating_sub(members.values().map(Vec::len).filter(|count| *count <= share).sum());
        for group in larger {
            // A group alone has the whole limit as its share.
            if groups.len() > 1 {
                members.extend(self.load(std::slice::from_ref(&group), left + 1).await?);
            }
            let count = members.get(&group).map_or(0, Vec::len);
            left = left.checked_sub(count).ok_or(Members::TooMany)?;
        }
        Ok(members)
    }

    async fn load(&self, groups: &[ResourceId], limit: usize) -> Result<BTreeMap<ResourceId, Vec<StoredMember>>, Members> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let loaded = self.app.store.members(&self.who.caller.tenant, &self.who.caller.connection, groups, limit).await;
        loaded.map_err(|error| Members::Store(error.into()))
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

enum Members {
    TooMany,
    Store(Error),
}
