#!/usr/bin/env python3
"""scim2-client drives a whole lifecycle; it checks each answer against the schemas that it discovered."""
import secrets

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import BulkOperation, BulkRequest, Error, PatchOp, PatchOperation, SearchRequest

TIMEOUT_S = 60


def connect(server):
    """A client of one connection, which knows nothing of the server yet."""
    headers = {"Authorization": f"Bearer {server['token']}"}
    return SyncSCIMClient(httpx2.Client(base_url=server["base_url"], headers=headers, trust_env=False, timeout=TIMEOUT_S))


def refused(status, request):
    """Whether a request is answered with that status, as an error of SCIM."""
    answer = request()
    assert isinstance(answer, Error), f"expected {status}, got {answer!r}"
    assert answer.status == status, f"expected {status}, got {answer!r}"
    return answer


def patch(model, *operations):
    """A PATCH of a resource, of (op, path, value)."""
    parts = [dict(zip(("op", "path", "value"), operation)) for operation in operations]
    return PatchOp[model](operations=[PatchOperation[model](**part) for part in parts])


def users(scim, user_model, run):
    """Creates, reads, filters, patches and replaces one user, and gives it."""
    name = f"py-{run}@acme.example"
    body = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": {"givenName": "Ada", "familyName": "Lindqvist"},
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": True,
    }
    created = scim.create(user_model.model_validate(body))
    assert created.id and created.user_name == name and created.meta.version
    assert scim.query(user_model, created.id).user_name == name
    assert refused(409, lambda: scim.create(user_model.model_validate(body))).scim_type == "uniqueness"

    for search, total in [(f'userName eq "{name.upper()}"', 1), (f'emails[value eq "{name}" and type eq "home"]', 0)]:
        found = scim.query(user_model, query_parameters=SearchRequest(filter=search))
        assert found.total_results == total, (search, found.total_results)
    found = scim.search(SearchRequest(filter=f'userName sw "py-{run}"', attributes=["userName"]))
    assert [one.id for one in found.resources] == [created.id] and found.resources[0].name is None
    assert refused(400, lambda: scim.query(user_model, query_parameters={"filter": "nope eq"}, check_request_payload=False)).scim_type == "invalidFilter"

    operations = [("add", "title", "Engineer"), ("replace", "name.familyName", "Löwe"), ("add", "emails", [{"value": f"home-{name}", "type": "home"}])]
    patched = scim.modify(user_model, created.id, patch(user_model, *operations))
    assert (patched.title, patched.name.family_name, len(patched.emails)) == ("Engineer", "Löwe", 2)
    patched = scim.modify(user_model, created.id, patch(user_model, ("remove", 'emails[type eq "home"]'), ("replace", "active", False)))
    assert len(patched.emails) == 1 and patched.active is False

    stale = patched.model_copy(deep=True)
    patched.title, patched.active = "Lead", True
    replaced = scim.replace(patched)
    assert (replaced.title, replaced.active) == ("Lead", True) and replaced.meta.version != stale.meta.version
    refused(412, lambda: scim.replace(stale))
    return replaced


def groups(scim, group_model, user, run):
    """Creates a group, and takes its member out and in again."""
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": f"Py {run}", "members": [{"value": user.id}]}
    group = scim.create(group_model.model_validate(body))

    def members():
        return [member.value for member in scim.query(group_model, group.id).members or []]

    assert members() == [user.id]
    assert [one.value for one in scim.query(type(user), user.id).groups] == [group.id]
    scim.modify(group_model, group.id, patch(group_model, ("remove", f'members[value eq "{user.id}"]')))
    assert members() == []
    scim.modify(group_model, group.id, patch(group_model, ("add", "members", [{"value": user.id}]), ("replace", "displayName", f"Py 2 {run}")))
    assert members() == [user.id]
    renamed = scim.query(group_model, group.id)
    assert renamed.display_name == f"Py 2 {run}"
    renamed.members = None
    scim.replace(renamed)
    assert members() == []
    return group


def bulk(scim, user_model, run):
    """Creates a user and deletes it, in bulk."""
    name = f"bulk-{run}@acme.example"
    data = user_model.model_validate({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name})
    made = scim.bulk(BulkRequest[user_model](operations=[BulkOperation[user_model](method="POST", path="/Users", bulk_id="a", data=data)]))
    assert [operation.status for operation in made.operations] == [201], made
    made_id = made.operations[0].location.rsplit("/", 1)[1]
    ended = scim.bulk(BulkRequest[user_model](operations=[BulkOperation[user_model](method="DELETE", path=f"/Users/{made_id}")]))
    assert [operation.status for operation in ended.operations] == [204], ended


def lifecycle(server):
    """Everything, from discovery to deletion."""
    scim = connect(server)
    scim.raise_scim_errors = False
    scim.discover()
    user_model, group_model = scim.get_resource_model("User"), scim.get_resource_model("Group")
    run = secrets.token_hex(4)
    user = users(scim, user_model, run)
    group = groups(scim, group_model, user, run)
    bulk(scim, user_model, run)
    for model, resource in [(group_model, group), (user_model, user)]:
        scim.delete(model, resource.id)
        refused(404, lambda: scim.query(model, resource.id))
