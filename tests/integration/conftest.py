"""Throw-away database servers for the tests of the store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.integration.cloud import REGIONS, AllInOne
from tests.servers import mariadb, postgresql

HERE = Path(__file__).parent
#: folders whose files have servers of their own
APART = ("guestagent", "resilience")
#: what takes longest, in the order in which it begins
LONGEST = ("resilience/test_failover", "all_in_one", "engines", "guestagent/test_guest_faults",
           "resilience", "outages", "guestagent/test_mariadb", "guestagent")


def scope_of(path: Path) -> str:
    """Return what runs in one process of xdist: a folder whose tests share servers, or a file."""
    if not path.is_relative_to(HERE):
        return str(path.parent)
    found = path.relative_to(HERE)
    return str(found if found.parts[0] in APART else found.parent)


class SharedScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps tests that share servers in one process of xdist."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(self.config.rootpath / nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedScheduling:
    """Have what shares servers given to processes in whole, in the order of the tests."""
    config.option.loadscopereorder = False
    return SharedScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; those come first that take longest."""
    def place(item: pytest.Item) -> int:
        scope = scope_of(item.path)
        return next((place for place, name in enumerate(LONGEST) if scope.startswith(name)),
                    len(LONGEST))

    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)
    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_files() -> Iterator[None]:
    """Keep the servers of two processes of xdist apart.

    Each MariaDB that starts removes the temporary tables that it finds in its directory of
    temporary files, those of others too.
    """
    before = os.environ.get("TMPDIR")
    # short for sockets, and open to the servers' own users
    with tempfile.TemporaryDirectory(prefix="t") as made:
        os.chmod(made, 0o1777)  # noqa: S103
        os.environ["TMPDIR"], tempfile.tempdir = made, None
        yield
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        tempfile.tempdir = None


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """The URL of an empty database on a MariaDB server of the tests' own."""
    if os.geteuid() != 0:
        pytest.skip("the server runs as its own user, which only root can do")
    with mariadb.server() as made:
        yield made.url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server of the tests' own."""
    if os.geteuid() != 0:
        pytest.skip("the server runs as its own user, which only root can do")
    with postgresql.server() as url:
        yield url


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllInOne]:
    """One all-in-one for all tests, in a state directory of its own."""
    if os.geteuid() != 0:
        pytest.skip("the all-in-one makes namespaces: root is needed")
    state_dir = Path(os.environ.get("TROVE_TEST_STATE_DIR")
                     or tmp_path_factory.mktemp("all-in-one") / "state")
    one = AllInOne(state_dir)
    keep = "TROVE_TEST_STATE_DIR" in os.environ
    try:
        # one that does not come up keeps its ports and processes, too
        one.standalone("up", "--regions", ",".join(REGIONS), timeout=600)
        yield one
    finally:
        if not keep:
            one.standalone("destroy")
