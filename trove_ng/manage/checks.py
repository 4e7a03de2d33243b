"""What ``trove-status upgrade check`` looks at."""

from __future__ import annotations

import functools
from typing import Any

from oslo_config import cfg
from oslo_db.exception import DBError
from oslo_upgradecheck.upgradecheck import Code, Result, UpgradeCommands
from sqlalchemy.exc import SQLAlchemyError

from trove_ng.datastores.base import load_datastores
from trove_ng.db.migrations import api as migrations
from trove_ng.db.repositories import datastore_admin
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway

#: ImportError: the store's driver is not installed
_STORE_ERRORS = (DBError, SQLAlchemyError, StoreAway, ImportError)


class Checks:
    """The checks; each returns a result and raises nothing of the store's.

    :param conf: with the options of the store and the bus
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    @functools.cached_property
    def _db(self) -> Database:
        return Database(self._conf)

    def store(self) -> Result:
        """Whether the store answers."""
        if not self._conf.database.connection:
            return Result(Code.FAILURE, "[database] connection is not configured.")
        try:
            self._db.ping()
        except _STORE_ERRORS as err:
            return Result(Code.FAILURE, f"It does not answer: {_line(err)}")
        return Result(Code.SUCCESS)

    def schema(self) -> Result:
        """Whether the schema is the one that this software needs."""
        if self.store().code is not Code.SUCCESS:
            return Result(Code.FAILURE, "Unknown without the store.")
        try:
            found = migrations.current(self._db.engine)
        except _STORE_ERRORS as err:
            return Result(Code.FAILURE, f"The revision cannot be read: {_line(err)}")
        if found != migrations.head():
            return Result(Code.FAILURE, f"The schema is at {found}, not at {migrations.head()}: "
                                        "run 'trove-manage db_sync'.")
        return Result(Code.SUCCESS)

    def keys(self) -> Result:
        """Whether the services have the keys without which they do not start."""
        missing = [name for name in ("taskmanager_rpc_encr_key", "inst_rpc_key_encr_key")
                   if not self._conf[name] or not all(self._conf[name])]
        if missing:
            return Result(Code.FAILURE, f"Not configured: {', '.join(missing)}; 'trove-manage "
                                        "generate_keys' makes them.")
        return Result(Code.SUCCESS)

    def managers(self) -> Result:
        """Whether everything that instances can be made of is installed."""
        if self.schema().code is not Code.SUCCESS:
            return Result(Code.FAILURE, "Unknown without the schema.")
        try:
            with self._db.reader() as session:
                wanted = set(datastore_admin.active_managers(session).values())
            known = set(load_datastores())
        except _STORE_ERRORS as err:
            return Result(Code.FAILURE, f"The versions cannot be read: {_line(err)}")
        except RuntimeError as err:
            # an installed declaration is broken
            return Result(Code.FAILURE, _line(err))
        if wanted - known:
            return Result(Code.WARNING, "Active versions have managers that are not installed: "
                                        f"{', '.join(sorted(wanted - known))}.")
        return Result(Code.SUCCESS)


def _line(err: Exception) -> str:
    # operators may know what a store says that is away
    cause = (isinstance(err, StoreAway) and err.__cause__) or err
    return str(cause).splitlines()[0]


def make(conf: cfg.ConfigOpts) -> UpgradeCommands:
    """Return the checks as oslo.upgradecheck runs them."""
    checks = Checks(conf)

    def plain(check: Any) -> Any:
        return lambda _self: check()

    class Commands(UpgradeCommands):
        """The list that the library asks for."""

        _upgrade_checks = (
            ("Store", plain(checks.store)), ("Schema", plain(checks.schema)),
            ("RPC keys", plain(checks.keys)), ("Datastore managers", plain(checks.managers)))

    return Commands()
