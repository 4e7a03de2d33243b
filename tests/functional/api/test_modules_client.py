"""Modules by the released python-troveclient, which answers are made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.api.conftest import HELLO_MD5, MINE, OWN, Api
from tests.functional.api.released import Client

ONE = f"{OWN}1"


class Trove:
    """The managers of the client."""

    def __init__(self, app: Api, token: str) -> None:
        from troveclient.v1 import instances, modules

        self.client = Client(app, token)
        self.modules = modules.Modules(self)
        self.instances = instances.Instances(self)


@pytest.fixture
def mine(app: Api) -> Trove:
    return Trove(app, "mine")


@pytest.fixture
def admin(app: Api) -> Trove:
    return Trove(app, "admin")


def test_a_module_is_made_changed_and_deleted(mine: Trove) -> None:
    # as the command module-create sends it
    made = mine.modules.create(
        "own", "ping", b"message=Hello", description="d", all_tenants=False,
        datastore="mariadb", datastore_version="10.11", auto_apply=False, visible=True,
        live_update=False, priority_apply=False, apply_order=5, full_access=None)
    assert (made.md5, made.datastore_version, made.tenant) == (HELLO_MD5, "10.11", MINE)
    assert mine.modules.find(name="own").id == made.id
    changed = mine.modules.update(made, name="new", contents=b"\x00\xff", module_type="ping",
                                  all_datastore_versions=True)
    assert (changed.name, changed.datastore, changed.datastore_version) == (
        "new", "mariadb", "all")
    assert {one.name for one in mine.modules.list(datastore="mariadb")} == {"hello", "new"}
    mine.modules.delete(changed)
    assert {one.name for one in mine.modules.list()} == {"hello"}


def test_an_administrators_flags_are_taken(admin: Trove) -> None:
    made = admin.modules.create("auto", "ping", "message=Hi", all_tenants=True, visible=False,
                                auto_apply=True, priority_apply=True, apply_order=0)
    assert (made.tenant, made.visible, made.auto_apply, made.priority_apply, made.apply_order,
            made.is_admin) == ("all", False, True, True, 0, True)


def test_modules_are_applied_queried_retrieved_and_removed(mine: Trove,
                                                           tmp_path: Path) -> None:
    ident = f"{OWN}4"
    done, = mine.instances.module_apply(ONE, [ident])
    assert (done.name, done.type, done.status, done.message, done.datastore,
            done.datastore_version) == ("hello", "ping", "OK", "Hello", "all", "all")
    listed, = mine.instances.modules(ONE)
    assert (listed.id, listed.md5) == (ident, HELLO_MD5)
    assert listed.created
    queried, = mine.instances.module_query(ONE)
    assert (queried.status, queried.created) == ("OK", "2023-11-14T22:13:20")
    saved = mine.instances.module_retrieve(ONE, str(tmp_path / "new"), "p")
    assert saved == {"hello": str(tmp_path / "new" / "p_hello_all_all.dat")}
    assert Path(saved["hello"]).read_bytes() == b"message=Hello"
    listed, = mine.modules.instances(ident, include_clustered=True)
    assert (listed.id, listed.flavor["id"]) == (ONE, "1")
    counted, = mine.modules.instances(ident, count_only=True)
    assert (counted.module_name, counted.module_md5, counted.current,
            counted.instance_count) == ("hello", HELLO_MD5, True, 1)
    mine.modules.reapply(ident, md5=HELLO_MD5, include_clustered=False, batch_size=2, delay=3,
                         force=True)
    mine.instances.module_remove(ONE, ident)
    assert mine.instances.modules(ONE) == []


def test_an_instance_is_made_with_modules(mine: Trove) -> None:
    body = mine.instances._get_module_list([f"{OWN}4"])
    made = mine.instances.create("db", "1", volume={"size": 1}, modules=[f"{OWN}4"])
    assert body == [{"id": f"{OWN}4"}]
    assert made.status == "BUILD"
