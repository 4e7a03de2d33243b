"""Operations and timelines at the command line."""

from __future__ import annotations

from tests.functional.api.conftest import FOREIGN, RUNNING, Api
from tests.functional.osc.conftest import OpenStack


def test_operations_are_listed_and_shown(openstack: OpenStack, app: Api) -> None:
    made = app("POST", "/instances", {"instance": {
        "name": "new", "flavorRef": "1", "volume": {"size": 1}}})
    ident, instance = app.waker.woken[-1], made.json["instance"]["id"]
    listed = openstack("database", "operation", "list", "--status", "PENDING")
    assert ident in [one["ID"] for one in listed]
    listed = openstack("database", "operation", "list", "--resource", instance)
    assert [(one["ID"], one["Action"]) for one in listed] == [(ident, "instance.create")]
    assert len(openstack("database", "operation", "list", "--limit", "1")) == 1
    shown = openstack("database", "operation", "show", ident)
    assert (shown["resource_id"], shown["cancellable"]) == (instance, True)
    openstack.does("database", "operation", "cancel", ident)
    assert openstack("database", "operation", "show", ident)["cancel_requested"] is True
    events = openstack("database", "instance", "event", "list", "new")
    assert [one["Operation ID"] for one in events] == [ident]


def test_those_of_all_projects_are_for_administrators(openstack: OpenStack) -> None:
    words = ("database", "operation", "list", "--all-projects")
    assert "HTTP 403" in openstack.fails(*words)
    found = {one["ID"] for one in openstack(*words, token="admin")}
    assert set(RUNNING) <= found


def test_foreign_operations_are_not_there(openstack: OpenStack) -> None:
    said = openstack.fails("database", "operation", "show", f"{FOREIGN}6")
    assert "HTTP 404" in said
    assert "HTTP 404" in openstack.fails("database", "operation", "cancel", f"{FOREIGN}6")
    assert openstack.fails("database", "instance", "event", "list", f"{FOREIGN}1") == (
        f"There is no instance {FOREIGN + '1'!r}.")


def test_all_pages_of_a_list_are_shown(openstack: OpenStack, app: Api) -> None:
    app.conf.set_override("max_page_size", 2, group="api")
    made = [app("POST", "/instances", {"instance": {
        "name": f"n{number}", "flavorRef": "1", "volume": {"size": 1}}}).json["instance"]["id"]
        for number in range(3)]
    assert len(app("GET", "/operations").json["operations"]) == 2
    shown = {one["Resource ID"] for one in openstack("database", "operation", "list")}
    assert set(made) < shown
    assert len(openstack("database", "operation", "list", "--limit", "3")) == 3
