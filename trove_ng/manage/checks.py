"""What ``trove-status upgrade check`` looks at."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_db.exception import DBError
from oslo_upgradecheck import upgradecheck
from sqlalchemy.exc import SQLAlchemyError

from trove_ng.datastores.base import load_datastores
from trove_ng.db.migrations import api as migrations
from trove_ng.db.repositories import datastore_admin
from trove_ng.db.session import Database


def make(conf: cfg.ConfigOpts) -> upgradecheck.UpgradeCommands:
    """Return the checks."""
    def schema(_self: Any) -> upgradecheck.Result:
        try:
            found = migrations.current(Database(conf).engine)
        except (DBError, SQLAlchemyError) as err:
            return upgradecheck.Result(
                upgradecheck.Code.FAILURE,
                f"The store cannot be read: {str(err).splitlines()[0]}")
        if found != migrations.head():
            return upgradecheck.Result(
                upgradecheck.Code.FAILURE,
                f"The schema is at {found}, not at {migrations.head()}: run 'trove-manage "
                "db_sync'.")
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def keys(_self: Any) -> upgradecheck.Result:
        missing = [name for name in ("taskmanager_rpc_encr_key", "inst_rpc_key_encr_key")
                   if not conf[name]]
        if missing:
            return upgradecheck.Result(
                upgradecheck.Code.FAILURE,
                f"Not configured: {', '.join(missing)}; 'trove-manage generate_keys' makes "
                "them.")
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def managers(_self: Any) -> upgradecheck.Result:
        try:
            with Database(conf).reader() as session:
                wanted = set(datastore_admin.active_managers(session).values())
        except (DBError, SQLAlchemyError):
            return upgradecheck.Result(
                upgradecheck.Code.FAILURE, "The datastore versions cannot be read.")
        unknown = sorted(wanted - set(load_datastores()))
        if unknown:
            return upgradecheck.Result(
                upgradecheck.Code.WARNING,
                f"Active versions have managers that are not installed: {', '.join(unknown)}.")
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    class Checks(upgradecheck.UpgradeCommands):
        """The checks, as oslo.upgradecheck runs them."""

        _upgrade_checks = (("Schema", schema), ("RPC keys", keys),
                           ("Datastore managers", managers))

    return Checks()
