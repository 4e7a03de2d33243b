"""How each run-book is asked for through the API, and what is shown when it has ended.

A run-book without a scenario fails ``test_every_runbook_has_a_scenario``; one with a
scenario is in all suites that are made of the registry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sqlalchemy import update

from tests.functional.control_plane.invariants import Cloud
from tests.functional.control_plane.world import World, wait_for
from trove_ng.db.models import Instance
from trove_ng.db.repositories import operations, service_statuses
from trove_ng.operations import payloads
from trove_ng.operations.reconcile.findings import Kind
from trove_ng.operations.runbook import Runbook
from trove_ng.operations.runbooks.registry import runbooks


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One action.

    :param ask: makes what the action needs, asks for it and returns the id of the
        resource that it works on
    :param kind: of that resource, as in the API's paths
    :param good: status that is shown after it succeeded; None: there is no such resource
    :param bad: status that is shown after it failed
    :param late: the same where there was no way back any more, if that is another one
    :param agent: name of the first step that asks an agent, by default the first of all;
        None: no step does
    :param asked: the API accepts it; else a taskmanager begins it by itself
    """

    ask: Callable[[World], str]
    kind: str = "instances"
    good: str | None = "ACTIVE"
    bad: str | None = "ACTIVE"
    late: str | None = None
    agent: str | None = ""
    asked: bool = True

    def begin(self, world: World) -> tuple[str, str]:
        """Ask for the action; return the ids of resource and operation."""
        resource_id = self.ask(world)
        return resource_id, world.live(resource_id)

    def shown(self, good: bool) -> tuple[str | None, ...]:
        """Return which statuses may be shown after it succeeded, or failed."""
        if good:
            return (self.good,)
        return (self.bad,) if self.late is None else (self.bad, self.late)

    def check(self, world: World, resource_id: str, operation_id: str) -> bool:
        """Check how the operation ended; return whether it succeeded."""
        row = world.operation(operation_id)
        good = row.status == operations.SUCCEEDED
        assert good or row.status == operations.FAILED, row.status
        shown = world.shown(self.kind, resource_id)
        with world.plane.db.reader() as session:
            left = operations.was_left(session, operation_id)
        # an instance of which something could not be undone says so
        expected = ("ERROR",) if left and self.kind == "instances" else self.shown(good)
        assert shown in expected, (shown, row.status, row.error)
        if not good and self.kind == "instances":
            fault = world.plane.show(resource_id)["fault"]["message"]
            assert row.error is not None
            assert fault[:200] == row.error[:200]
        world.check()
        return good


def _delete(world: World) -> str:
    ident = world.instance()
    world.plane.request("DELETE", f"/instances/{ident}", status=202)
    return ident


def _force_delete(world: World) -> str:
    ident = world.instance()
    world.act(ident, {"reset_status": {"force_delete": True}})
    return ident


def _restart(world: World) -> str:
    ident = world.instance()
    world.act(ident, {"restart": {}})
    return ident


def _resize_flavor(world: World) -> str:
    ident = world.instance()
    other = "2" if world.plane.show(ident)["flavor"]["id"] == "1" else "1"
    world.act(ident, {"resize": {"flavorRef": other}})
    return ident


def _resize_volume(world: World) -> str:
    ident = world.instance()
    # the volume is larger than the row says when an earlier case could not use its new size
    size = max(one["size"] for one in Cloud(world.plane).volumes[ident])
    world.act(ident, {"resize": {"volume": {"size": size + 1, "volume_kind": "binlog"}}})
    return ident


def _grow_set(world: World) -> str:
    """Grow a source of which a replica has no larger volume."""
    replica = _replica(world)
    source = str(world.plane.show(replica)["replica_of"]["id"])
    volumes = Cloud(world.plane).volumes
    size = max(one["size"] for ident in (source, replica) for one in volumes[ident])
    world.act(source, {"resize": {"volume": {"size": size + 1, "volume_kind": "binlog"}}})
    return source


def _update_access(world: World) -> str:
    """Open a private instance to the world; what fails takes it all back."""
    ident = world.instance()
    for public, allowed in ((False, "192.0.2.0/24"), (True, "203.0.113.0/24")):
        if not public and not world.plane.show(ident)["access"]["is_public"]:
            continue
        world.plane.request("PUT", f"/instances/{ident}", {"instance": {"access": {
            "is_public": public, "allowed_cidrs": [allowed]}}}, status=202)
        if not public:
            world.finish(world.live(ident))
    return ident


def _upgrade(world: World) -> str:
    """Upgrade to the version that it has: the disk is replaced all the same."""
    ident = world.instance()
    world.plane.request("PATCH", f"/instances/{ident}", {
        "instance": {"datastore_version": "v"}}, status=202)
    return ident


def _rebuild(world: World) -> str:
    image, = world.plane.minicloud.store.list("image")
    return _manage(world, {"rebuild": {"image_id": image["id"]}})


def _recover(world: World) -> str:
    """Replace the disk as somebody else would, and let the reconciliation find it."""
    ident = world.instance()
    agent, = (one for one in world.plane.hypervisor.agents.values()
              if one.instance_id == ident)
    agent.begin_anew()
    # the heartbeat that tells of it may be on its way
    wait_for(lambda: any(one.repaired and one.finding.kind == Kind.AGENT_NEW
                         for one in world.plane.reconcile()), "the finding")
    return ident


def _upgrade_agent(world: World) -> str:
    """Upgrade the agent to a version that it does not have."""
    ident = world.instance()
    agent, = (one for one in world.plane.hypervisor.agents.values()
              if one.instance_id == ident)
    for option, value in {"version": "2.0" if agent.version == "1.0" else "1.0",
                          "location": "http://192.0.2.1/agent.whl",
                          "sha256": "ab" * 32}.items():
        world.plane.conf.set_override(option, value, group="agent_package")

    def told() -> bool:
        with world.plane.db.reader() as session:
            row = service_statuses.get(session, ident)
        return row is not None and row.agent_version == agent.version

    wait_for(told, "the version of the agent")
    world.plane.request("POST", f"/mgmt/instances/{ident}/upgrade", {"upgrade": {}},
                        status=202, token="admin")
    return ident


def _manage(world: World, body: object) -> str:
    ident = world.instance()
    world.plane.request("POST", f"/mgmt/instances/{ident}/action", body, status=202,
                        token="admin")
    return ident


def _delete_backup(world: World) -> str:
    ident = world.backup()
    world.plane.request("DELETE", f"/backups/{ident}", status=202)
    return ident


def _delete_snapshot(world: World) -> str:
    ident = world.snapshot()
    world.plane.request("DELETE", f"/backups/{ident}", status=202)
    return ident


def _verify_backup(world: World) -> str:
    ident = world.backup()
    world.plane.request("POST", f"/backups/{ident}/action", {"verify": {}}, status=202)
    return ident


def _reapply_module(world: World) -> str:
    ident = world.module()
    world.plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {
        "force": 1, "batch_size": 1}}, status=202)
    return ident


def _configuration(world: World, values: dict[str, object]) -> str:
    answer = world.plane.request("POST", "/configurations", {"configuration": {
        "name": "c", "values": values}}, status=200)
    return str(answer.json["configuration"]["id"])


def _attach(world: World, ident: str, configuration_id: str | None) -> None:
    world.plane.request("PUT", f"/instances/{ident}", {"instance": {
        "configuration": configuration_id}}, status=202)


def _configure(world: World) -> str:
    ident = world.instance()
    _attach(world, ident, _configuration(world, {"wait_timeout": 99}))
    return ident


def _apply_configuration(world: World) -> str:
    ident = world.instance()
    group = _configuration(world, {"wait_timeout": 99})
    # attaching it is another action
    with world.plane.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == ident).values(
            configuration_id=group))
    world.plane.request("PATCH", f"/configurations/{group}", {"configuration": {
        "values": {"wait_timeout": 100}}}, status=200)
    return group


def _set_tls(world: World) -> str:
    """Have a set speak TLS, or no more if it does."""
    ident = world.instance()
    if not world.plane.show(ident).get("replicas"):
        _replica(world)
    spoken = world.plane.request("GET", f"/instances/{ident}/ssl", status=200).json["ssl"]
    world.plane.request("POST", f"/instances/{ident}/ssl", {"ssl": {
        "disable": True} if spoken["mode"] else {"enable": True, "mode": "enforced"}}, status=200)
    return ident


def _roll_back_tls(world: World) -> str:
    ident = _set_tls(world)
    world.finish(world.live(ident))
    world.plane.request("POST", f"/instances/{ident}/ssl", {"ssl": {"rollback": True}},
                        status=200)
    return ident


def _new_replicas(world: World) -> tuple[str, str]:
    """Ask for a replica; return its id and that of the snapshot that it begins with."""
    source = world.instance()
    replica = str(world.plane.request("POST", "/instances", {"instance": {
        "name": "follower", "replica_of": source}}, status=200).json["instance"]["id"])
    listed = world.plane.request("GET", f"/instances/{source}/backups").json["backups"]
    snapshot, = (one["id"] for one in listed if one["status"] == "NEW")
    return replica, snapshot


def _create_replica(world: World) -> str:
    replica, snapshot = _new_replicas(world)
    # it is made meanwhile, by another operation
    world.manager.take(world.live(snapshot))
    wait_for(lambda: world.shown("backups", snapshot) == "COMPLETED", "the snapshot")
    return replica


def _replica(world: World) -> str:
    """Return a replica that works."""
    replica, _ = _new_replicas(world)
    world.finish(world.live(replica))
    assert world.shown("instances", replica) == "ACTIVE"
    return replica


def _detach_replica(world: World) -> str:
    replica = _replica(world)
    world.plane.request("PUT", f"/instances/{replica}", {"instance": {"replica_of": None}},
                        status=202)
    return replica


def _promote(world: World) -> str:
    replica = _replica(world)
    world.act(replica, {"promote_to_replica_source": {}})
    return replica


def _eject(world: World) -> str:
    source = world.instance()
    _replica(world)
    world.lose(source)
    world.act(source, {"eject_replica_source": {}})
    return source


def _import_backup(world: World) -> str:
    source = world.backup()
    location = world.plane.request("GET", f"/backups/{source}").json["backup"]["locationRef"]
    return str(world.plane.request("POST", "/backups", {"backup": {
        "name": "taken over", "restore_from": {
            "remote_location": location, "local_datastore_version_id": "v",
            "size": 0.2}}}, status=202).json["backup"]["id"])


SCENARIOS = {
    payloads.INSTANCE_CREATE: Scenario(World.new_instance, bad="ERROR", agent="prepare"),
    payloads.INSTANCE_CREATE_REPLICA: Scenario(_create_replica, bad="ERROR", agent="account"),
    payloads.INSTANCE_DETACH_REPLICA: Scenario(_detach_replica, agent="detach"),
    payloads.INSTANCE_PROMOTE: Scenario(_promote),
    payloads.INSTANCE_EJECT: Scenario(_eject, good="SHUTDOWN", late="SHUTDOWN", agent="halt"),
    payloads.INSTANCE_DELETE: Scenario(_delete, good=None, bad="ERROR", agent=None),
    payloads.INSTANCE_FORCE_DELETE: Scenario(
        _force_delete, good=None, bad="ERROR", agent=None),
    payloads.INSTANCE_RESTART: Scenario(_restart, agent="restart"),
    payloads.INSTANCE_RESIZE_FLAVOR: Scenario(_resize_flavor, agent="stop"),
    payloads.INSTANCE_RESIZE_VOLUME: Scenario(_resize_volume, agent="stop"),
    payloads.INSTANCE_GROW_SET: Scenario(_grow_set),
    payloads.INSTANCE_CONFIGURE: Scenario(_configure, agent="overrides"),
    payloads.INSTANCE_SET_TLS: Scenario(_set_tls),
    payloads.INSTANCE_ROLL_BACK_TLS: Scenario(_roll_back_tls, agent="tls"),
    payloads.CONFIGURATION_APPLY: Scenario(
        _apply_configuration, "configurations", good="", bad="", agent="instances"),
    payloads.INSTANCE_UPDATE_ACCESS: Scenario(_update_access, agent=None),
    payloads.INSTANCE_STOP: Scenario(lambda world: _manage(world, {"stop": {}})),
    payloads.INSTANCE_REBOOT: Scenario(
        lambda world: _manage(world, {"reboot": {}}), agent=None),
    payloads.INSTANCE_MIGRATE: Scenario(lambda world: _manage(world, {"migrate": {}})),
    payloads.INSTANCE_REBUILD: Scenario(_rebuild, agent="stop"),
    payloads.INSTANCE_UPGRADE: Scenario(_upgrade),
    payloads.INSTANCE_RECOVER: Scenario(_recover, bad="ERROR", asked=False),
    payloads.INSTANCE_UPGRADE_AGENT: Scenario(_upgrade_agent),
    payloads.BACKUP_CREATE: Scenario(
        World.next_backup, "backups", good="COMPLETED", bad="FAILED", agent="stream"),
    payloads.BACKUP_SEED_REPLICAS: Scenario(
        lambda world: _new_replicas(world)[1], "backups", good=None, bad="FAILED"),
    payloads.BACKUP_IMPORT: Scenario(
        _import_backup, "backups", good="RESTORED", bad="FAILED", agent=None),
    payloads.BACKUP_DELETE: Scenario(
        _delete_backup, "backups", good=None, bad="DELETE_FAILED", agent=None),
    payloads.BACKUP_SNAPSHOT: Scenario(
        World.new_snapshot, "backups", good="COMPLETED", bad="FAILED", agent="snapshot"),
    payloads.BACKUP_DELETE_SNAPSHOT: Scenario(
        _delete_snapshot, "backups", good=None, bad="DELETE_FAILED", agent=None),
    payloads.BACKUP_VERIFY: Scenario(
        _verify_backup, "backups", good="COMPLETED", bad="COMPLETED", agent="prepare"),
    # what becomes of a module is told by its operation
    payloads.MODULE_REAPPLY: Scenario(
        _reapply_module, "modules", good="", bad="", agent="instances"),
}

#: what the payload says of those that the service begins by itself, too
OF_ITSELF = {payloads.INSTANCE_EJECT: "automatic", payloads.INSTANCE_SET_TLS: "renewal"}

#: ways, of action and whether its last step fails, that call no service of the cloud; of one
#: that fails, while it takes back what was done
WITHOUT_CALLS = frozenset({
    (payloads.INSTANCE_STOP, False),
    (payloads.INSTANCE_RESTART, False),
    (payloads.INSTANCE_CONFIGURE, False),
    (payloads.INSTANCE_CONFIGURE, True),
    (payloads.INSTANCE_UPGRADE_AGENT, False),
    (payloads.INSTANCE_UPGRADE_AGENT, True),
    (payloads.INSTANCE_RESIZE_VOLUME, True),
    (payloads.INSTANCE_GROW_SET, True),
    (payloads.INSTANCE_DETACH_REPLICA, True),
    (payloads.INSTANCE_PROMOTE, True),
    (payloads.CONFIGURATION_APPLY, False),
    (payloads.MODULE_REAPPLY, False),
})
#: the same, that send nothing to agents, of actions that may do that
WITHOUT_WORDS = frozenset({
    (payloads.INSTANCE_CREATE, True),
    (payloads.INSTANCE_REBUILD, True),
    (payloads.INSTANCE_UPGRADE, True),
    (payloads.INSTANCE_DETACH_REPLICA, True),
    (payloads.INSTANCE_PROMOTE, True),
    (payloads.INSTANCE_EJECT, True),
    (payloads.BACKUP_SNAPSHOT, True),
    (payloads.BACKUP_VERIFY, True),
    (payloads.CONFIGURATION_APPLY, False),
})


def points(book: Runbook, *, fails: bool) -> list[str]:
    """Return the points of a run-book that a worker can die at, in their order.

    :param fails: the last step does not succeed
    """
    last = book.steps[-1]
    found = [f"{when} {step.name}" for step in book.steps
             for when in ("before", "done", "written") if not (fails and step is last)]
    if fails:
        # what is final, and was done, is not undone: its undoing says so
        found += [f"{when} {step.name}" for step in reversed(book.steps) if step.undo
                  for when in ("undo", "undone")
                  if not (when == "undone" and step.final and step is not last)]
    return [*found, "end", "ended"]


def all_points() -> list[tuple[str, bool, str]]:
    """Return action, whether its last step fails, and point, of all run-books.

    What happens before the failing step is that of the way that succeeds.
    """
    found = []
    for action, book in runbooks().items():
        for fails in (False, True):
            known = points(book, fails=False)[:-2] if fails else []
            found += [(action, fails, point) for point in points(book, fails=fails)
                      if point not in known]
    return found
