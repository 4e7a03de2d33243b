"""``trove-manage`` on a real store, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from oslo_config import cfg

from trove_ng.cmd import manage
from trove_ng.conf import cloud, operations, quota, taskmanager
from trove_ng.db.session import Database
from trove_ng.manage import parser
from trove_ng.manage.command import Tools


@dataclass
class Operator:
    """Somebody at the command line.

    :param said: the lines of the last command
    """

    conf: cfg.ConfigOpts
    read_errors: Callable[[], str]
    said: list[str] = field(default_factory=list)

    def does(self, *argv: str) -> list[str]:
        """Run a command that succeeds; return its lines."""
        code = self._run(argv)
        assert (code, self.read_errors()) == (0, "")
        return self.said

    def fails(self, *argv: str) -> str:
        """Run a command that fails; return its only line on standard error."""
        code = self._run(argv)
        lines = self.read_errors().splitlines()
        assert (code, len(lines)) == (1, 1)
        return lines[0]

    def _run(self, argv: tuple[str, ...]) -> int:
        self.said = []
        return manage.run(parser.make().parse_args(argv), Tools(self.conf, self.said.append))


@pytest.fixture
def operator(store_conf: cfg.ConfigOpts, database: Database,
             capsys: pytest.CaptureFixture[str]) -> Operator:
    """An operator with a migrated store."""
    quota.register(store_conf)
    cloud.register(store_conf)
    taskmanager.register(store_conf)
    operations.register(store_conf)
    return Operator(store_conf, lambda: capsys.readouterr().err)


@pytest.fixture
def mariadb(operator: Operator) -> Operator:
    """An operator who has registered MariaDB 10.11."""
    operator.does("datastore_update", "mariadb", "")
    operator.does("datastore_version_update", "mariadb", "10.11", "mariadb", "", "", "1",
                  "--image-tags", "trove,mariadb")
    return operator
