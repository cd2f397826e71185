//! Groups: members as differences, nesting, handles, and who is marked by what.

use std::collections::BTreeMap;

use rolecall::model::{Cause, Handle, ResourceId};
use rolecall::store::{Change, GROUP_DEPTH_LIMIT, HandleBinding, INLINE_PEOPLE_LIMIT, PersonOutcome, ResourceWrite, Stale, StoreError};
use rolecall_scim::ResourceKind;
use serde_json::json;

use crate::fixture::{Fixture, START, Through, actor, chains, document, outcome};

store_contract_suite!(
    members_change_by_difference,
    unknown_members_are_refused_and_deleted_ones_counted,
    a_document_needs_the_version_that_was_read,
    members_are_read_in_pages_and_by_candidates,
    circles_and_deep_nesting_are_refused,
    memberships_follow_nesting_and_handles,
    people_below_are_counted_once_and_within_the_limit,
    whoever_is_not_decided_is_marked,
    people_of_nested_groups_are_marked,
    decisions_on_other_memberships_are_stale,
    a_handle_belongs_to_one_group,
    a_confirmed_handle_marks_the_people_below,
    groups_without_a_handle_are_found,
    a_deleted_group_ends_everywhere,
    a_large_group_is_deleted_at_once_and_cleared_in_the_background,
    a_group_is_fanned_out_through_nested_groups,
);

fn binding(through: &Through<'_>, handle: &str, group: &ResourceId, confirmed: bool) -> HandleBinding {
    HandleBinding {
        handle: handle.into(),
        connection: through.connection.clone(),
        group: group.clone(),
        external_id: Some("ext".into()),
        display_name: "as given".into(),
        confirmed,
        bound: START,
    }
}

pub(crate) async fn bind(through: &Through<'_>, handle: &str, group: &ResourceId) {
    let bind_handle = Some(binding(through, handle, group, true));
    through.commit(Change { bind_handle, ..through.change() }).await.unwrap();
}

async fn members_change_by_difference(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob, eve) = (here.create_user("ana").await, here.create_user("bob").await, here.create_user("eve").await);
    let group = here.create_group("eng", &[&ana]).await;
    assert_eq!(here.version(ResourceKind::Group, &group).await, Some(1));
    let committed = here.change_members(&group, &[&ana, &bob], &[&eve]).await;
    assert_eq!((committed.version, committed.added, committed.removed), (Some(2), vec![bob.clone()], Vec::new()));
    let committed = here.change_members(&group, &[&bob], &[&eve]).await;
    assert_eq!((committed.version, committed.added.len()), (Some(2), 0), "nothing changed");
    let committed = here.change_members(&group, &[&eve], &[&ana, &bob]).await;
    assert_eq!((committed.version, committed.removed), (Some(3), vec![ana, bob]));
    assert_eq!(here.members(&group).await, ["user-eve"]);
    let nowhere = here.commit(here.members_change(&"group-x".into(), &[&eve], &[])).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("group"))), "{nowhere:?}");
    let not_a_group = here.commit(here.members_change(&eve, &[], &[])).await;
    assert!(matches!(not_a_group, Err(StoreError::Missing("group"))), "{not_a_group:?}");
}

async fn unknown_members_are_refused_and_deleted_ones_counted(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    here.delete_user(&bob).await;
    let group = here.create_group("eng", &[]).await;
    for unknown in ["user-never", "user-\0"] {
        let refused = here.commit(here.members_change(&group, &[&ana, &unknown.into()], &[])).await;
        assert!(matches!(&refused, Err(StoreError::UnknownMembers(ids)) if ids == &[unknown]), "{refused:?}");
    }
    assert!(here.members(&group).await.is_empty());
    let committed = here.change_members(&group, &[&ana, &bob], &[&"user-never".into(), &"user-\0".into()]).await;
    assert_eq!((committed.added, committed.gone), (vec![ana], vec![bob.clone()]));
    let committed = here.commit(here.group_creation("ops", &[&bob])).await.unwrap();
    assert_eq!((committed.version, committed.gone), (Some(1), vec![bob]));
}

async fn a_document_needs_the_version_that_was_read(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let group = here.create_group("eng", &[]).await;
    let rename = |expected| {
        let document = Some(document(json!({"displayName": "Engineering"})));
        let write = ResourceWrite::UpdateGroup { id: group.clone(), expected, document, add: vec![ana.clone()], remove: Vec::new() };
        Change { write: Some(write), ..here.change() }
    };
    let lost = here.commit(rename(Some(9))).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "resource" })), "{lost:?}");
    assert!(here.members(&group).await.is_empty());
    assert_eq!(here.commit(rename(Some(1))).await.unwrap().version, Some(2));
    let groups = fixture.store.groups_of(&fixture.tenant, &here.connection, std::slice::from_ref(&ana), usize::MAX).await.unwrap();
    assert_eq!(groups[&ana][0].display, "Engineering");
}

async fn members_are_read_in_pages_and_by_candidates(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("m", 5).await;
    let nested = here.create_group("nested", &[]).await;
    let all: Vec<&ResourceId> = users.iter().chain([&nested]).collect();
    let group = here.create_group("eng", &all).await;
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &here.connection);
    let page = store.members(tenant, connection, &[group.clone(), nested.clone()], 2).await.unwrap();
    assert_eq!(page[&nested].len(), 0);
    assert_eq!(
        page[&group].iter().map(|member| (member.id.as_str(), member.kind)).collect::<Vec<_>>(),
        [("group-nested", ResourceKind::Group), ("user-m00000", ResourceKind::User)]
    );
    assert_eq!(page[&group][1].display.as_deref(), Some("m00000"));
    let candidates = [users[3].clone(), "user-x".into(), "user-\0".into()];
    let found = store.which_members(tenant, connection, &group, &candidates).await.unwrap();
    assert_eq!(found.into_iter().map(|member| member.id).collect::<Vec<_>>(), [users[3].clone()]);
}

async fn circles_and_deep_nesting_are_refused(fixture: Fixture) {
    let here = fixture.here();
    let mut chain: Vec<ResourceId> = Vec::new();
    for level in 0..GROUP_DEPTH_LIMIT {
        let inner: Vec<&ResourceId> = chain.last().into_iter().collect();
        let group = here.create_group(&format!("level{level}"), &inner).await;
        chain.push(group);
    }
    let (bottom, top) = (&chain[0], &chain[GROUP_DEPTH_LIMIT - 1]);
    for inner in [top, &chain[3], bottom] {
        let refused = here.commit(here.members_change(bottom, &[inner], &[])).await;
        assert!(matches!(&refused, Err(StoreError::Nesting(id)) if id == inner.as_str()), "{refused:?}");
    }
    let too_deep = here.commit(here.group_creation("over", &[top])).await;
    assert!(matches!(too_deep, Err(StoreError::Nesting(_))), "{too_deep:?}");
    let extra = here.create_group("extra", &[]).await;
    let too_deep = here.commit(here.members_change(bottom, &[&extra], &[])).await;
    assert!(matches!(too_deep, Err(StoreError::Nesting(_))), "{too_deep:?}");
    // A second way to a group is no circle.
    here.change_members(top, &[bottom], &[]).await;
    here.change_members(&chain[1], &[&extra], &[]).await;
}

async fn memberships_follow_nesting_and_handles(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let team = here.create_group("team", &[&ana]).await;
    let unit = here.create_group("unit", &[&team]).await;
    let firm = here.create_group("firm", &[&unit, &bob]).await;
    bind(&here, "team", &team).await;
    bind(&here, "firm", &firm).await;
    let secret = binding(&here, "unit", &unit, false);
    here.commit(Change { bind_handle: Some(secret), ..here.change() }).await.unwrap();

    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &here.connection);
    assert_eq!(chains(&here.person(&ana).await.groups), ["firm: team → group-unit → firm", "team: team"]);
    let asked = [ana.clone(), bob.clone(), "user-x".into()];
    let what_if = async |plus: &[ResourceId], minus: &[ResourceId], gone: Option<&ResourceId>| {
        let found = store.memberships_if(tenant, connection, &asked, plus, minus, gone).await.unwrap();
        asked.iter().map(|user| chains(&found[user])).collect::<Vec<_>>()
    };
    let plus_firm = what_if(std::slice::from_ref(&firm), &[], None).await;
    assert_eq!(plus_firm, [vec!["firm: firm", "team: team"], vec!["firm: firm"], vec!["firm: firm"]], "the shortest chain");
    assert_eq!(what_if(&[], std::slice::from_ref(&team), None).await, [vec![], vec!["firm: firm"], vec![]]);
    assert_eq!(what_if(&[], &[], Some(&unit)).await, [vec!["team: team"], vec!["firm: firm"], vec![]]);
    assert_eq!(what_if(&[], &[], Some(&firm)).await, [vec!["team: team"], vec![], vec![]]);

    let groups = store.groups_of(tenant, connection, &asked, usize::MAX).await.unwrap();
    let of_ana: Vec<_> = groups[&ana].iter().map(|group| (group.id.as_str(), group.display.as_str(), group.direct)).collect();
    assert_eq!(of_ana, [("group-firm", "firm", false), ("group-team", "team", true), ("group-unit", "unit", false)]);
    assert_eq!(groups[&"user-x".into()], []);
    let all: usize = groups.values().map(Vec::len).sum();
    assert_eq!(store.groups_of(tenant, connection, &asked, all).await.unwrap(), groups);
    assert!(matches!(store.groups_of(tenant, connection, &asked, all - 1).await, Err(StoreError::TooMany)));
    for user in [&ana, &bob] {
        let (found, its) = store.user(tenant, connection, user).await.unwrap().unwrap();
        assert_eq!((&found.id, &its), (user, &groups[user]), "as with its groups asked for by themselves");
    }
    assert_eq!(store.user(tenant, connection, &"user-x".into()).await.unwrap(), None);
    assert_eq!(store.user(tenant, connection, &team).await.unwrap(), None, "a group is no user");
    store.confirm_handle(tenant, &"unit".into(), &actor(), START).await.unwrap();
    assert_eq!(chains(&here.person(&ana).await.groups), ["firm: team → unit → firm", "team: team", "unit: team → unit"]);
}

async fn people_below_are_counted_once_and_within_the_limit(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 4).await;
    let inner = here.create_group("inner", &[&users[0], &users[1]]).await;
    let outer = here.create_group("outer", &[&users[1], &users[2], &inner]).await;
    let below =
        async |groups: &[ResourceId], limit| fixture.store.users_below(&fixture.tenant, &here.connection, groups, limit).await.unwrap();
    assert_eq!(below(&[outer.clone(), inner.clone()], 3).await, Some(users[..3].to_vec()));
    assert_eq!(below(&[outer], 2).await, None);
    assert_eq!(below(&["group-x".into()], 2).await, Some(Vec::new()));
}

async fn whoever_is_not_decided_is_marked(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 4).await;
    let group = here.create_group("eng", &[&users[0], &users[1]]).await;
    for user in &users[..2] {
        here.settle(user).await;
    }
    let decided = outcome(&users[0], here.person(&users[0]).await.evaluation.input_version);
    let change = here.members_change(&group, &[&users[2]], &[&users[0], &users[1]]);
    let committed = here.commit(Change { persons: vec![decided], ..change }).await.unwrap();
    assert_eq!(committed.pending, users[1..3]);
    let mut causes = BTreeMap::new();
    for user in &users {
        let evaluation = here.person(user).await.evaluation;
        causes.insert(user.as_str().to_owned(), (evaluation.cause, evaluation.input_version));
    }
    let expected = [(None, 3), (Some(Cause::GroupChange), 3), (Some(Cause::GroupChange), 1), (None, 0)];
    assert_eq!(causes.into_values().collect::<Vec<_>>(), expected);
}

async fn people_of_nested_groups_are_marked(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let inner = here.create_group("inner", &[&ana]).await;
    let outer = here.create_group("outer", &[]).await;
    for (add, remove) in [(vec![&inner], vec![]), (vec![], vec![&inner])] {
        here.settle(&ana).await;
        let committed = here.change_members(&outer, &add, &remove).await;
        assert_eq!(committed.pending, std::slice::from_ref(&ana));
        assert_eq!(here.person(&ana).await.evaluation.cause, Some(Cause::GroupChange));
    }
}

async fn decisions_on_other_memberships_are_stale(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let inner = here.create_group("inner", &[]).await;
    let outer = here.create_group("outer", &[]).await;
    bind(&here, "inner", &inner).await;
    bind(&here, "outer", &outer).await;
    let groups = fixture.store.memberships_if(
        &fixture.tenant,
        &here.connection,
        std::slice::from_ref(&ana),
        std::slice::from_ref(&inner),
        &[],
        None,
    );
    let groups = groups.await.unwrap().remove(&ana).unwrap();
    let decided = PersonOutcome { groups, ..outcome(&ana, 0) };
    let change = Change { persons: vec![decided], ..here.members_change(&inner, &[&ana], &[]) };
    // Meanwhile the group is put into another: the decision did not know of that one's handle.
    here.change_members(&outer, &[&inner], &[]).await;
    let lost = here.commit(change.clone()).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "person" })), "{lost:?}");
    let committed = here.commit(Change { stale: Stale::MarkPending(Cause::GroupChange), ..change.clone() }).await.unwrap();
    assert_eq!((committed.added, committed.pending), (vec![ana.clone()], vec![ana.clone()]));
    // As it is, the decision counts.
    here.change_members(&inner, &[], &[&ana]).await;
    here.change_members(&outer, &[], &[&inner]).await;
    here.settle(&ana).await;
    let mut change = change;
    change.persons[0].read_input_version = here.person(&ana).await.evaluation.input_version;
    assert_eq!(here.commit(change).await.unwrap().pending, []);
}

async fn a_handle_belongs_to_one_group(fixture: Fixture) {
    let here = fixture.here();
    let (one, two) = (here.create_group("one", &[]).await, here.create_group("two", &[]).await);
    bind(&here, "eng", &one).await;
    bind(&here, "eng", &one).await;
    let lost = here.commit(Change { bind_handle: Some(binding(&here, "eng", &two, true)), ..here.change() }).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "handle" })), "{lost:?}");
    let bound = fixture.store.handle(&fixture.tenant, &"eng".into()).await.unwrap().unwrap();
    assert_eq!((bound.group, bound.display_name.as_str(), bound.confirmed), (one, "one", true), "the present name, not the given one");
    assert_eq!(fixture.store.handle(&fixture.tenant, &"ops".into()).await.unwrap(), None);
    // With the group that is created in the same change.
    let mut creation = here.group_creation("three", &[]);
    creation.bind_handle = Some(binding(&here, "a-three", &"group-three".into(), false));
    here.commit(creation).await.unwrap();
    let handles: Vec<Handle> = fixture.store.handles(&fixture.tenant).await.unwrap().into_iter().map(|bound| bound.handle).collect();
    assert_eq!(handles, ["a-three".into(), "eng".into()]);
}

async fn a_confirmed_handle_marks_the_people_below(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let inner = here.create_group("inner", &[&ana]).await;
    let outer = here.create_group("outer", &[&inner]).await;
    here.settle(&ana).await;
    here.commit(Change { bind_handle: Some(binding(&here, "outer", &outer, false)), ..here.change() }).await.unwrap();
    assert_eq!(here.person(&ana).await.evaluation.cause, None, "an unconfirmed handle counts for nothing");
    let confirmed = fixture.store.confirm_handle(&fixture.tenant, &"outer".into(), &actor(), START).await.unwrap();
    assert!(confirmed.confirmed);
    assert_eq!(here.person(&ana).await.evaluation.cause, Some(Cause::HandleChange));
    here.settle(&ana).await;
    fixture.store.confirm_handle(&fixture.tenant, &"outer".into(), &actor(), START).await.unwrap();
    assert_eq!(here.person(&ana).await.evaluation.cause, None, "confirmed already");
    bind(&here, "inner", &inner).await;
    assert_eq!(here.person(&ana).await.evaluation.cause, Some(Cause::HandleChange));
}

async fn groups_without_a_handle_are_found(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let (here, there) = (fixture.here(), fixture.through("conn-2"));
    for name in ["a", "c", "e"] {
        here.create_group(name, &[]).await;
    }
    there.create_group("d", &[]).await;
    bind(&here, "c", &"group-c".into()).await;
    let unbound = async |only: Option<&str>, after: Option<&str>, limit| {
        let (only, after) = (only.map(ResourceId::from), after.map(ResourceId::from));
        let found = fixture.store.unbound_groups(&fixture.tenant, only.as_ref(), after.as_ref(), limit).await.unwrap();
        found.into_iter().map(|(connection, group)| format!("{connection}/{}", group.id)).collect::<Vec<_>>()
    };
    assert_eq!(unbound(None, None, 2).await, ["conn-acme/group-a", "conn-2/group-d"]);
    assert_eq!(unbound(None, Some("group-d"), 2).await, ["conn-acme/group-e"]);
    assert_eq!(unbound(Some("group-d"), None, 2).await, ["conn-2/group-d"]);
    assert!(unbound(Some("group-c"), None, 2).await.is_empty());
}

async fn a_deleted_group_ends_everywhere(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let inner = here.create_group("inner", &[&ana, &bob]).await;
    let outer = here.create_group("outer", &[&inner]).await;
    bind(&here, "inner", &inner).await;
    for user in [&ana, &bob] {
        here.settle(user).await;
    }
    let version = here.person(&ana).await.evaluation.input_version;
    let decided = outcome(&ana, version);
    let write = Some(ResourceWrite::DeleteGroup { id: inner.clone() });
    let committed = here.commit(Change { write: write.clone(), persons: vec![decided], ..here.change() }).await.unwrap();
    assert_eq!((committed.version, committed.pending), (None, vec![bob.clone()]), "decided people are not marked");
    assert_eq!(here.version(ResourceKind::Group, &inner).await, None);
    assert_eq!((here.version(ResourceKind::Group, &outer).await, here.members(&outer).await.len()), (Some(2), 0));
    assert_eq!(fixture.store.handle(&fixture.tenant, &"inner".into()).await.unwrap(), None);
    assert_eq!(fixture.store.groups_of(&fixture.tenant, &here.connection, std::slice::from_ref(&ana), usize::MAX).await.unwrap()[&ana], []);
    let again = here.commit(Change { write, ..here.change() }).await;
    assert!(matches!(again, Err(StoreError::Missing("group"))), "{again:?}");
    // The id of a deleted group is known, like a user's.
    assert_eq!(here.change_members(&outer, &[&inner], &[]).await.gone, [inner]);
    // The same name may be made again, and the people be deleted.
    here.create_group("again", &[&ana]).await;
    here.delete_user(&bob).await;
}

async fn a_large_group_is_deleted_at_once_and_cleared_in_the_background(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", INLINE_PEOPLE_LIMIT + 1).await;
    let all: Vec<&ResourceId> = users.iter().collect();
    let group = here.create_group("big", &all).await;
    for user in &users[..2] {
        here.settle(user).await;
    }
    let write = Some(ResourceWrite::DeleteGroup { id: group.clone() });
    here.commit(Change { write, ..here.change() }).await.unwrap();
    let first = std::slice::from_ref(&users[0]);
    assert_eq!(fixture.store.groups_of(&fixture.tenant, &here.connection, first, usize::MAX).await.unwrap()[&users[0]], []);
    assert_eq!(fixture.store.user(&fixture.tenant, &here.connection, &users[0]).await.unwrap().unwrap().1, []);
    // Not marked yet, and counted all the same.
    assert_eq!(here.person(&users[0]).await.evaluation.cause, None);
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), i64::try_from(users.len()).unwrap());
    // A user may leave meanwhile.
    here.delete_user(&users[1]).await;
    fixture.expand().await;
    assert_eq!(here.person(&users[0]).await.evaluation.cause, Some(Cause::GroupChange));
    assert_eq!(fixture.store.users_below(&fixture.tenant, &here.connection, &[group], 10).await.unwrap(), Some(Vec::new()));
}

async fn a_group_is_fanned_out_through_nested_groups(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", INLINE_PEOPLE_LIMIT + 2).await;
    let (direct, nested) = users.split_at(1);
    let nested: Vec<&ResourceId> = nested.iter().collect();
    let inner = here.create_group("inner", &nested).await;
    let middle = here.create_group("middle", &[&inner, &direct[0]]).await;
    let outer = here.create_group("outer", &[]).await;
    for user in [&users[0], &users[1]] {
        here.settle(user).await;
    }
    // Too many people to be marked with the write.
    let committed = here.change_members(&outer, &[&middle], &[]).await;
    assert_eq!((committed.added, committed.pending), (vec![middle.clone()], Vec::new()));
    fixture.expand().await;
    for user in [&users[0], &users[1]] {
        assert_eq!(here.person(user).await.evaluation.cause, Some(Cause::GroupChange));
        here.settle(user).await;
    }
    here.commit(Change { fan_out: vec![(outer, Cause::HandleChange)], ..here.change() }).await.unwrap();
    fixture.expand().await;
    for user in [&users[0], &users[1]] {
        assert_eq!(here.person(user).await.evaluation.cause, Some(Cause::HandleChange));
    }
}
