"""What is said of PostgreSQL's settings, held against the server itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests import programs
from tests.servers import postgresql
from trove_ng.guestagent.datastores.experimental.postgresql.paths import installed_version

TOOL = programs.tool("postgresql-parameters")

pytestmark = [pytest.mark.integration, pytest.mark.skipif(
    os.geteuid() != 0, reason="the server runs as its own user, which only root can do"),
    pytest.mark.skipif(installed_version() != TOOL.VERSION,
                       reason=f"the list is that of PostgreSQL {TOOL.VERSION}")]


@pytest.fixture(scope="module")
def database() -> Iterator[postgresql.Server]:
    with postgresql.running() as server:
        yield server


def test_the_list_is_that_of_the_server(database: postgresql.Server) -> None:
    assert programs.listed("postgresql") == TOOL.described(database), (
        "run tools/postgresql-parameters.py")


def test_what_is_said_of_other_versions_is_said_of_settings(database: postgresql.Server) -> None:
    # a wrong name would leave the setting in all versions, and nothing else would tell
    known = {str(name).lower() for name, in database.execute("SELECT name FROM pg_settings")}
    others = json.loads(TOOL.OTHERS.read_text())
    assert {*others["spans"], *others["changes"]} - known == set()
