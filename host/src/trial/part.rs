//! A part of the people as somebody names it: connections by id or name, groups by handle, people by id or login name.

use std::collections::BTreeSet;
use std::sync::Arc;

use rolecall_scim::filter::fold;

use crate::app::App;
use crate::model::{ConnectionId, Part, TenantId};
use crate::tenancy::TenancyError;

/// The most connections, groups or people that a part names, of each: all of them are stored with the simulation.
pub const NAMED_LIMIT: usize = 1_000;

/// A part of the people, by names.
#[derive(Clone, Debug, Default)]
pub struct NamedPart {
    /// Connections, by id or name.
    pub connections: Vec<String>,
    /// Groups, by handle.
    pub groups: Vec<String>,
    /// People, by account id, SCIM id or login name.
    pub people: Vec<String>,
}

/// What the names stand for; `None` for everybody.
///
/// # Errors
/// `Refused` for too many names, and for one that stands for nothing.
pub async fn resolve(app: &Arc<App>, tenant: &TenantId, named: NamedPart) -> Result<Option<Part>, TenancyError> {
    let NamedPart { connections, groups, people } = named;
    if [&connections, &groups, &people].iter().any(|names| names.len() > NAMED_LIMIT) {
        return refused(format!(
            "a part of the people names at most {NAMED_LIMIT} connections, {NAMED_LIMIT} groups and {NAMED_LIMIT} people"
        ));
    }
    let mut part = Part { connections: named_connections(app, tenant, connections).await?, ..Part::default() };
    if !groups.is_empty() {
        let handles = app.store.handles(tenant).await?;
        let known: BTreeSet<&str> = handles.iter().filter(|bound| bound.confirmed).map(|bound| bound.handle.as_str()).collect();
        if let Some(unknown) = groups.iter().find(|group| !known.contains(group.as_str())) {
            return refused(format!("no group is bound to the handle `{}`: see `rolecall handle list`", unknown.escape_debug()));
        }
        part.groups = distinct(groups);
    }
    if !people.is_empty() {
        let people = distinct(people);
        let found = app.store.people_named(tenant, &people).await?;
        let said: BTreeSet<&str> = found.iter().map(|(said, _)| said.as_str()).collect();
        if let Some(unknown) = people.iter().find(|name| !said.contains(name.as_str()) && !said.contains(fold(name).as_str())) {
            let unknown = unknown.escape_debug();
            return refused(format!("nobody has the id or login name `{unknown}`: see `rolecall account list`"));
        }
        let people: BTreeSet<_> = found.into_iter().map(|(_, person)| person).collect();
        part.people = people.into_iter().collect();
    }
    Ok(Some(part).filter(|part| !part.is_whole()))
}

async fn named_connections(app: &Arc<App>, tenant: &TenantId, names: Vec<String>) -> Result<Vec<ConnectionId>, TenancyError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let known = app.store.connections(tenant).await?;
    let mut found = BTreeSet::new();
    for name in names {
        let Some(connection) = known.iter().find(|known| known.id.as_str() == name || known.name == name) else {
            return refused(format!("there is no connection `{}`: see `rolecall connection list`", name.escape_debug()));
        };
        found.insert(connection.id.clone());
    }
    Ok(found.into_iter().collect())
}

fn distinct(names: Vec<String>) -> Vec<String> {
    names.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn refused<T>(why: String) -> Result<T, TenancyError> {
    Err(TenancyError::Refused(why))
}
