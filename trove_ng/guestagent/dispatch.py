"""From the name of a call on the bus to what the manager does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from trove_ng.common.errors import UnprocessableEntity
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.os import machine
from trove_ng.guestagent.steps import Progress, StepEngine
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import tls_messages as tm

A = TypeVar("A", bound=m.Message)
GuestHandler = Callable[[Any], m.Message]

#: calls about what is inside the database: they need a prepared instance
DATA_CALLS = (
    "list_databases", "create_databases", "delete_database", "list_users", "get_user",
    "create_users", "delete_user", "update_user", "change_passwords", "list_access",
    "grant_access", "revoke_access", "is_root_enabled", "enable_root", "disable_root",
    "list_logs", "switch_log", "publish_log", "get_position", "wait_for_position",
    "end_log_archive",
)


def handlers(manager: BaseManager, engine: StepEngine,
             own: Mapping[str, Callable[[Any], m.Empty]]) -> dict[str, GuestHandler]:
    """Return the handler of each call of the guest call table.

    :param own: steps about the agent itself, by the name of their call
    """
    table: dict[str, GuestHandler] = {
        "rpc_ping": manager.rpc_ping,
        "get_filesystem_stats": manager.get_filesystem_stats,
        "get_hwinfo": lambda _request: machine.hardware(),
        "get_diagnostics": lambda _request: machine.diagnostics(),
        # an agent on a new root disk does not know yet that it is prepared
        "post_upgrade": _step(engine, manager.upgrades.after, m.Empty),
    }
    for name, about_agent in own.items():
        table[name] = _step(engine, about_agent, m.Empty)
    for name in DATA_CALLS:
        table[name] = _prepared(manager, getattr(manager, name))
    table["set_replica_accounts"] = _prepared(
        manager, _in_time(engine, manager.set_replica_accounts))
    for name, volume_work in (("mount_volume", manager.mount_volume),
                              ("unmount_volume", manager.unmount_volume),
                              ("resize_fs", manager.resize_fs)):
        table[name] = _alone(engine, name, volume_work)
    for name, step in (("restart", manager.restart), ("stop_db", manager.stop_database),
                       ("start_db_with_conf_changes", manager.start_db_with_conf_changes),
                       ("pre_upgrade", manager.upgrades.before),
                       ("enable_as_source", manager.enable_as_source),
                       ("follow", manager.follow),
                       ("detach_replica", manager.detach_replica),
                       ("allow_writes", manager.allow_writes),
                       ("receive_again", manager.receive_again),
                       ("fence", manager.fence), ("unfence", manager.unfence)):
        table[name] = _prepared(manager, _step(engine, step, m.Empty))
    table["update_overrides"] = _prepared(
        manager, _step(engine, manager.update_overrides, m.OverridesResult))
    for name, halt in (("stop_writes", manager.stop_writes),
                       ("stop_receiving", manager.stop_receiving)):
        table[name] = _prepared(manager, _step(engine, halt, rm.Position))
    for name, about_tls in (("set_tls", manager.set_tls),
                            ("roll_back_tls", manager.roll_back_tls)):
        table[name] = _prepared(manager, _step(engine, about_tls, tm.TlsResult))
    table["get_tls"] = _prepared(manager, manager.get_tls)
    table["module_list"] = _prepared(manager, manager.modules.look)
    table["module_apply"] = _prepared(manager, _alone(
        engine, "module_apply", _in_time(engine, manager.modules.apply)))
    table["module_remove"] = _prepared(
        manager, _alone(engine, "module_remove", manager.modules.remove))
    table["hold_data"] = _prepared(
        manager, _alone(engine, "hold_data", _in_time(engine, manager.hold_data)))
    # whatever the agent works on: somebody waits for it
    table["release_data"] = _prepared(manager, manager.release_data)
    table["prepare"] = _prepare(manager, engine)
    table["archive_log"] = _prepared(manager, _archive(manager, engine))
    # objects of a half made backup are overwritten under the same names
    table["create_backup"] = _long(manager, engine, manager.create_backup)
    table["check_data"] = _long(manager, engine, manager.check_data)
    table["cancel_step"] = lambda request: m.Flag(value=engine.cancel(request))
    return table


def _prepare(manager: BaseManager, engine: StepEngine) -> GuestHandler:
    def handle(request: m.PrepareRequest) -> m.Empty:
        engine.submit(request, manager.prepare, rerun_safe=manager.prepare_rerun_safe)
        return m.Empty()

    return handle


def _long(manager: BaseManager, engine: StepEngine,
          work: Callable[[Any, Progress], m.Message]) -> GuestHandler:
    """Return the handler of long work that may be done again when it was cut off."""
    def prepared(request: m.StepRequest, progress: Progress) -> m.Message:
        _require_prepared(manager)
        return work(request, progress)

    def handle(request: m.StepRequest) -> m.Empty:
        engine.submit(request, prepared, rerun_safe=True)
        return m.Empty()

    return handle


def _step(engine: StepEngine, work: Callable[[Any], A], answer: type[A]) -> GuestHandler:
    def handle(request: m.StepRequest) -> A:
        return engine.call(request, work, answer)

    return handle


def _in_time(engine: StepEngine, work: GuestHandler) -> GuestHandler:
    """Return the handler of what an operation asks for, and is no step."""
    def handle(request: m.OrderedRequest) -> m.Message:
        engine.require_in_time(request)
        return work(request)

    return handle


def _alone(engine: StepEngine, name: str, work: GuestHandler) -> GuestHandler:
    def handle(request: m.Message) -> m.Message:
        with engine.exclusive(name):
            return work(request)

    return handle


def _prepared(manager: BaseManager, work: GuestHandler) -> GuestHandler:
    def handle(request: m.Message) -> m.Message:
        _require_prepared(manager)
        return work(request)

    return handle


def _archive(manager: BaseManager, engine: StepEngine) -> GuestHandler:
    """Return the handler of the archive, which may have the database restarted first."""
    def handle(request: am.ArchiveRequest) -> am.ArchivedLog:
        if not manager.writes_log():
            with engine.exclusive("archive_log"):
                manager.begin_log_archive()
        return manager.archive_log(request)

    return handle


def _require_prepared(manager: BaseManager) -> None:
    if not manager.status.prepared:
        raise UnprocessableEntity("The instance is not prepared.")
