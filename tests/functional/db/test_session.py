"""Errors of the store, as those who use it see them."""

from __future__ import annotations

import pytest
from oslo_db.exception import DBDeadlock, DBError

from trove_ng.db.session import Database, retry_on_db_error


def hidden() -> DBError:
    """Return a deadlock behind the failure to go back to a savepoint, as MariaDB gives it."""
    return DBError(RuntimeError("SAVEPOINT sa_savepoint_1 does not exist"),
                   cause=DBDeadlock(RuntimeError("Deadlock found")))


def test_a_deadlock_that_a_savepoint_hides_is_tried_again(database: Database) -> None:
    errors: list[DBError] = [hidden(), DBDeadlock(), hidden()]
    done = []

    @retry_on_db_error
    def work() -> None:
        with database.writer():
            if errors:
                raise errors.pop()
            done.append(True)

    work()
    assert (errors, done) == ([], [True])


def test_another_error_stays_what_it_is(database: Database) -> None:
    with pytest.raises(DBError) as found, database.writer():
        raise DBError(RuntimeError("no such table"), cause=DBError(RuntimeError("x")))
    assert not isinstance(found.value, DBDeadlock)
    assert "no such table" in str(found.value)
