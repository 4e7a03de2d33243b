"""The same statement asked for many times at once, on a real MariaDB."""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.integration.guestagent.test_mariadb import (  # noqa: F401 - fixtures
    Server,
    server,
)
from trove_ng.common.errors import Conflict, NotFound
from trove_ng.common.secret import Secret
from trove_ng.rpc import messages as m


def at_once(number: int, work: Callable[[], object]) -> dict[str, int]:
    """Return how often the work was done, or refused, and how."""
    def once(_number: int) -> str:
        try:
            work()
        except (Conflict, NotFound) as err:
            return type(err).__name__
        return "done"

    with ThreadPoolExecutor(number) as pool:
        return dict(collections.Counter(pool.map(once, range(number))))


def test_a_user_is_made_and_dropped_once(server: Server) -> None:  # noqa: F811
    users = m.UsersRequest(users=[m.UserSpec(
        name="race", password=Secret("a-Pw1"), databases=["shop"])])
    assert at_once(10, lambda: server.manager.create_users(users)) == {"done": 1, "Conflict": 9}
    found = server.manager.list_users(m.PageRequest(limit=20)).users
    assert [(one.name, one.host) for one in found] == [("app", "%"), ("race", "%")]
    # the losers took nothing of the winner's with them
    assert server.manager.get_user(m.UserRequest(name="race")).databases == ["shop"]
    gone = at_once(10, lambda: server.manager.delete_user(m.UserRequest(name="race")))
    assert gone.pop("done") == 1
    assert set(gone) <= {"NotFound", "Conflict"}


def test_a_database_is_made_once(server: Server) -> None:  # noqa: F811
    wanted = m.DatabasesRequest(databases=[m.DatabaseSpec(name="race")])
    assert at_once(10, lambda: server.manager.create_databases(wanted)) == {
        "done": 1, "Conflict": 9}
    found = server.manager.list_databases(m.PageRequest(limit=20)).databases
    assert [one.name for one in found] == ["race", "shop"]
