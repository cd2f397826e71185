//! Resources as they are stored, and what a listing of them asks for and gets.

use rolecall_scim::ResourceKind;
use rolecall_scim::cursor::Position;
use rolecall_scim::filter::Filter;
use rolecall_scim::resource::Document;
use rolecall_scim::schema::Schemas;
use rolecall_scim::sort::Sort;

#[cfg(doc)]
use super::SCAN_LIMIT;
use crate::model::{Instant, ResourceId};

/// A SCIM resource as stored: the client's document beside what the server keeps about it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResource {
    /// The SCIM id.
    pub id: ResourceId,
    /// User or Group.
    pub kind: ResourceKind,
    /// What the client wrote, in normal form; a group's has no members.
    pub document: Document,
    /// Ascending with every change of the document (and of a group's members): the ETag.
    pub version: i64,
    /// When it was created.
    pub created: Instant,
    /// When it was last modified.
    pub modified: Instant,
}

/// A member of a group as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// The member's SCIM id.
    pub id: ResourceId,
    /// User or Group.
    pub kind: ResourceKind,
    /// The member's display name (or user name) for rendering, when it has one.
    pub display: Option<String>,
}

/// A group that a user is in, for rendering the read-only `groups` attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserGroup {
    /// The group's SCIM id.
    pub id: ResourceId,
    /// The group's display name.
    pub display: String,
    /// Whether the user is a direct member (else through a nested group).
    pub direct: bool,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The resources of the page, in order.
    pub items: Vec<StoredResource>,
    /// How many match in all; `None` in [`Window::Beside`] where telling would mean to look at each.
    pub total: Option<i64>,
    /// Where the next page is, in [`Window::Beside`]; `None` on the last one.
    pub next: Option<Position>,
    /// Where the page before is, in [`Window::Beside`]; `None` on the first one.
    pub previous: Option<Position>,
}

/// What a SCIM listing asks for.
#[derive(Clone, Debug)]
pub struct ListQuery<'a> {
    /// Users, Groups, or both (the server's root).
    pub kinds: &'a [ResourceKind],
    /// The connection's schemas: what the filter's paths mean.
    pub schemas: &'a Schemas,
    /// The filter; `None` lists all.
    pub filter: Option<&'a Filter>,
    /// The order; `None` is by id. Ties are in the order of ids, in the same direction.
    pub sort: Option<&'a Sort>,
    /// The part that is wanted.
    pub window: Window<'a>,
}

/// A part of a listing.
#[derive(Clone, Copy, Debug)]
pub enum Window<'a> {
    /// By number, with an exact total.
    Index {
        /// How many matches to skip (`startIndex - 1`).
        offset: i64,
        /// How many to return: at least 0, bounded by the caller.
        limit: i64,
    },
    /// Next to a resource that was seen, whether it is still there or not. A page may hold fewer than asked for and yet not be
    /// the last, where a filter without an index had [`SCAN_LIMIT`] resources to look at.
    Beside {
        /// The place; `None` is the start.
        position: Option<&'a Position>,
        /// How many to return: at least 1, bounded by the caller.
        limit: i64,
    },
}
