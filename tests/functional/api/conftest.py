"""The API alone: a real store, fixed facts of the cloud, scripted guests."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import sqlite3
import types
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import webtest
from oslo_config import cfg
from oslo_policy import policy
from sqlalchemy import event, func, select

from tests.functional.api.answers import ANSWERS
from trove_ng.api.app import build_app
from trove_ng.api.wiring import make_services
from trove_ng.cloud.barbican import Found
from trove_ng.cloud.errors import CloudNotFound, CloudUnavailable
from trove_ng.cloud.types import (
    INSTANCE_KEY,
    Flavor,
    Grant,
    Host,
    Image,
    Pool,
    Server,
    Subnet,
    VolumeType,
)
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import Conflict, NotFound, ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.conf import api, base, cloud, object_store, operations, quota, ratelimit
from trove_ng.datastores import guest_logs, options
from trove_ng.db.models import (
    Backup,
    BackupStrategy,
    Base,
    Configuration,
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    DatastoreVersionMember,
    Instance,
    InstanceMetadata,
    InstanceTls,
    InstanceVolume,
    Module,
    Operation,
    OperationStep,
    Schedule,
    ScheduleExecution,
    ServiceStatusRow,
    VolumeConfig,
)
from trove_ng.db.repositories import events
from trove_ng.db.session import Database
from trove_ng.operations.modules import box as module_box
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import machine_messages as machine
from trove_ng.rpc import messages as m
from trove_ng.rpc import module_messages as mm

MINE = "a" * 32
OTHER = "b" * 32
NETWORK = "11111111-1111-4111-8111-111111111111"
IMAGE = "44444444-4444-4444-8444-444444444444"
#: those of the other project
FOREIGN_NETWORK = "22222222-2222-4222-8222-222222222222"
FOREIGN_SUBNET = "33333333-3333-4333-8333-333333333333"
#: ids that begin so belong to the other project
FOREIGN = "f0000000-0000-4000-8000-00000000000"
HERE = pathlib.Path(__file__).parent
OWN = "00000000-0000-4000-8000-00000000000"
#: operations that are under way from the beginning
RUNNING = (f"{OWN}6", f"{FOREIGN}6")
UNKNOWN = "99999999-9999-4999-8999-999999999999"


#: what follows the id of an instance in the id of the rule that lets 10.0.0.0/8 in
RULE = "dbbc22c28ece7e31"
#: a module's file
HELLO = base64.b64encode(b"message=Hello").decode()
HELLO_MD5 = hashlib.md5(b"message=Hello").hexdigest()


def module_state(ident: str, **more: Any) -> mm.ModuleState:
    """Return what an agent says of a module that is in force."""
    return mm.ModuleState(**({
        "id": ident, "type": "ping", "name": "hello", "datastore": "all",
        "datastore_version": "all", "ok": True, "message": "Hello",
        "filename": "all-all-hello.lic", "md5": HELLO_MD5, "installed_at": 1.7e9,
        "updated_at": 1.7e9} | more))


class Catalog:
    """Facts of a cloud with two regions; this is the first one.

    :ivar image: of the datastore version, as each region has it
    """

    def __init__(self) -> None:
        self.image = {"RegionOne": Image("i", "guest", 0, 0, md5="a"),
                      "RegionTwo": Image("j", "guest", 0, 0, md5="a")}

    def regions(self) -> Sequence[str]:
        return ["RegionOne", "RegionTwo"]

    def in_region(self, name: str | None) -> Catalog:
        if name in (None, "RegionOne"):
            return self
        assert name == "RegionTwo"
        return SecondCatalog(self.image)

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> Image | None:
        known = image_id == IMAGE if image_id else set(tags) <= {"trove", "mariadb"}
        return self.image.get("RegionOne") if known else None

    def images_named(self, name: str) -> Sequence[Image]:
        return [one for region, one in self.image.items()
                if region == "RegionOne" and one.name == name]

    def list_flavors(self) -> Sequence[Flavor]:
        return [Flavor("1", "db.tiny", 512, 1, 5), Flavor("2", "db.small", 1024, 1, 10)]

    def get_flavor(self, flavor_id: str) -> Flavor | None:
        return next((one for one in self.list_flavors() if one.id == flavor_id), None)

    def list_volume_types(self) -> Sequence[VolumeType]:
        return [VolumeType("vt", "lvm")]

    def volume_type_exists(self, name: str) -> bool:
        return name in ("vt", "lvm")

    def network_exists(self, network_id: str, project_id: str) -> bool:
        return network_id == NETWORK or (
            network_id == FOREIGN_NETWORK and project_id == OTHER)

    def subnet_network(self, subnet_id: str, project_id: str) -> str | None:
        found = subnet_id == FOREIGN_SUBNET and project_id == OTHER
        return FOREIGN_NETWORK if found else None

    def list_subnets(self, network_id: str) -> Sequence[Subnet]:
        return [Subnet("sn", "10.1.0.0/24", "10.1.0.1")]

    def address_in_use(self, network_id: str, address: str) -> bool:
        return address == "10.1.0.2"

    def has_public_network(self) -> bool:
        return True

    def availability_zone_exists(self, name: str) -> bool:
        return name == "nova"


#: the release of the agent that the operator offers
PACKAGE = {"version": "2.0", "sha256": "ab" * 32,
           "location": "https://packages.example.org/trove_ng-2.0-py3-none-any.whl"}


class Estate:
    """Two hosts, the second one without instances, and a pool."""

    def __init__(self) -> None:
        self.flavors: list[dict[str, Any]] = []
        self.names = ["RegionOne"]
        self.away: set[str] = set()

    def regions(self) -> list[str]:
        return self.names

    def _ask(self, region: str) -> None:
        if region in self.away:
            raise ServiceUnavailable("The cloud does not answer.")

    def hosts(self, region: str) -> list[Host]:
        self._ask(region)
        return [Host("compute1", "enabled", "up", 4096, 1024),
                Host("compute2", "disabled", "down", None, None)]

    def servers(self, _region: str) -> list[Server]:
        return [Server(f"s{one[-1:]}", "db", "ACTIVE", None, "1", "2026-01-01", "",
                       {INSTANCE_KEY: one} if one else {}, "compute1")
                for one in (f"{OWN}1", f"{OWN}2", UNKNOWN, "")]

    def pools(self, region: str) -> list[Pool]:
        self._ask(region)
        return [Pool("node@lvm#lvm", "iSCSI", 100.0, 40.0, 150.0, 2.0),
                Pool("node@new#new", "", None, None, None, 1.0)]

    def create_flavor(self, **wanted: Any) -> Flavor:
        if wanted["name"] == "db.tiny":
            raise Conflict("Flavor with name db.tiny already exists.")
        self.flavors.append(wanted)
        return Flavor(wanted["flavor_id"] or "9", wanted["name"], wanted["ram_mb"],
                      wanted["vcpus"], wanted["disk_gb"], wanted["ephemeral_gb"])


class SecondCatalog(Catalog):
    """The second region: nothing but a network and half of the flavors is the same."""

    def __init__(self, image: dict[str, Image]) -> None:
        self.image = image

    def images_named(self, name: str) -> Sequence[Image]:
        return [one for region, one in self.image.items()
                if region == "RegionTwo" and one.name == name]

    def list_flavors(self) -> Sequence[Flavor]:
        return [Flavor("11", "db.tiny", 512, 1, 5), Flavor("21", "db.small", 1024, 2, 10)]

    def list_volume_types(self) -> Sequence[VolumeType]:
        return []

    def volume_type_exists(self, name: str) -> bool:
        return False

    def network_exists(self, network_id: str, project_id: str) -> bool:
        return False

    def availability_zone_exists(self, name: str) -> bool:
        return name == "two"


class ObjectStore:
    """An object store of one account; what it was told to do with containers it notes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.accounts: set[str] = set()
        self.away = False

    def _account(self, tenant_id: str, container: str) -> None:
        if self.away:
            raise CloudUnavailable("The object store service does not answer.")
        assert container == "database_logs"
        self.accounts.add(tenant_id)

    def ensure_container(self, tenant_id: str, container: str) -> None:
        self._account(tenant_id, container)

    def grant(self, tenant_id: str, container: str, prefix: str, *, write: bool,
              lifetime_s: int) -> Grant:
        self._account(tenant_id, container)
        return Grant(f"http://swift/v1/AUTH_{tenant_id}/{container}", prefix, Secret("get"),
                     Secret("put"), lifetime_s)

    def read_object(self, tenant_id: str, container: str, name: str,
                    limit: int) -> bytes | None:
        self._account(tenant_id, container)
        return self.objects.get(name)

    def delete_object(self, tenant_id: str, container: str, name: str) -> None:
        self._account(tenant_id, container)
        self.objects.pop(name, None)

    def delete_prefix(self, tenant_id: str, container: str, prefix: str) -> None:
        self._account(tenant_id, container)
        for name in [one for one in self.objects if one.startswith(prefix)]:
            del self.objects[name]


class Guest:
    """A guest that has one database, one user and the logs of a MariaDB.

    :ivar logs: bytes of each
    :ivar at_once: bytes that one request publishes
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.store = ObjectStore()
        self.logs = {"error": 500, "general": 0, "guest": 900, "slow_query": 0}
        self.disabled = {"general", "slow_query"}
        self.at_once = 1000
        #: root can log in, whoever let it
        self.root = False

    def list_databases(self, page: m.PageRequest) -> m.DatabasePage:
        return m.DatabasePage(databases=[m.DatabaseSpec(name="shop")])

    def list_users(self, page: m.PageRequest) -> m.UserPage:
        return m.UserPage(users=[m.UserSpec(name="app", host="%", databases=["shop"])])

    def get_user(self, name: str, host: str | None) -> m.UserSpec:
        if name != "app":
            raise NotFound.of("User", name)
        return m.UserSpec(name="app", host="%", databases=["shop"])

    def list_access(self, name: str, host: str | None) -> list[m.DatabaseSpec]:
        return [m.DatabaseSpec(name="shop")]

    def list_logs(self, marks: list[lm.LogMark]) -> list[lm.LogState]:
        known = {mark.name: mark.position for mark in marks}
        return [lm.LogState(name=name, enabled=name not in self.disabled, size=size,
                           continues=known.get(name, 0) <= size)
                for name, size in sorted(self.logs.items())]

    def switch_log(self, switch: lm.LogSwitch) -> None:
        self.asked.append(("switch_log", (switch,)))
        (self.disabled.discard if switch.enabled else self.disabled.add)(switch.name)

    def publish_log(self, request: lm.LogPublishRequest) -> lm.LogPublished:
        self.asked.append(("publish_log", (request,)))
        size = self.logs[request.name]
        done = request.mark.position if request.mark is not None else 0
        if done > size:
            return lm.LogPublished(mark=request.mark, rotated=True)
        mark = lm.LogMark(name=request.name, position=min(size, done + self.at_once), lines=1,
                         last_object=guest_logs.object_name(
                             utcnow(), request.mark.last_object if request.mark else ""))
        self.store.objects[request.folder + mark.last_object] = b"x"
        self.store.objects[request.metafile] = guest_logs.render(mark, request.kind, "/l")
        return lm.LogPublished(mark=mark)

    def module_list(self, query: mm.ModuleQuery) -> list[mm.ModuleState]:
        ident = query.id or f"{OWN}4"
        return [module_state(ident, contents=Secret(HELLO) if query.include_contents else None)
                ] if ident in (f"{OWN}4", f"{FOREIGN}4") else []

    def module_apply(self, specs: list[mm.ModuleSpec]) -> list[mm.ModuleState]:
        self.asked.append(("module_apply", (specs,)))
        return [module_state(one.id, md5=one.md5, name=one.name) for one in specs]

    def get_hwinfo(self) -> machine.Hardware:
        return machine.Hardware(mem_total=536870912, num_cpus=1)

    def get_diagnostics(self) -> machine.Diagnostics:
        return machine.Diagnostics(version="1.0.0", threads=9, fd_size=64, vm_size=400000,
                                   vm_peak=410000, vm_rss=60000, vm_hwm=61000)

    def enable_root(self, request: m.RootRequest) -> m.UserSpec:
        self.asked.append(("enable_root", (request,)))
        return m.UserSpec(name="root", password=request.password or Secret("made-by-agent"))

    def is_root_enabled(self) -> bool:
        return self.root

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.asked.append((name, values))


class Waker:
    """Remembers whom it woke."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, operation_id: str) -> None:
        self.woken.append(operation_id)


#: token → project and roles; others are refused, ``expired`` among them
TOKENS = {
    "mine": (MINE, "member,reader"), "reader": (MINE, "reader"), "roleless": (MINE, ""),
    "other": (OTHER, "member,reader"), "admin": (MINE, "admin,member,reader"),
    "service": ("c" * 32, "service"), "stranger": ("d" * 32, "member,reader"),
}


class Keys:
    """A key manager that has nothing."""

    def find(self, token: Secret, reference: str, password_reference: str | None) -> Found:
        raise CloudNotFound(f"The key manager has no {reference}.")


class Api:
    """The API with two tenants and an administrator (of the first project)."""

    def __init__(self, conf: cfg.ConfigOpts, db: Database) -> None:
        self.conf, self.db, self.guest, self.waker = conf, db, Guest(), Waker()
        self.estate = Estate()
        self.catalog = Catalog()
        self.services = dataclasses.replace(
            make_services(conf), db=db, catalog=self.catalog, estate=self.estate,
            waker=types.SimpleNamespace(wake=lambda ident: self.waker.wake(ident)),
            objects=lambda _region: self.guest.store, keys=Keys,
            guests=lambda _instance, _context: self.guest)
        self.wsgi = build_app(self.services, _identify)
        self.app = webtest.TestApp(self.wsgi)

    def rule(self, name: str, check: str) -> None:
        """Give a policy rule another check, as an operator's file does."""
        enforcer = self.services.authorizer._enforcer
        enforcer.set_rules(policy.Rules.from_dict({name: check}), overwrite=False)

    def __call__(self, method: str, path: str, body: Any = None, *, token: str | None = "mine",
                 raw: bytes | None = None, project: str = MINE) -> Any:
        options: dict[str, Any] = {}
        if raw is not None or body is not None:
            options = {"body": raw if raw is not None else json.dumps(body).encode(),
                       "content_type": "application/json"}
        headers = {"X-Auth-Token": token} if token else {}
        return self.app.request(f"/v1.0/{project}{path}", method=method, headers=headers,
                                expect_errors=True, **options)

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with self.db.reader() as session:
            return {name: int(session.scalar(select(func.count()).select_from(table)) or 0)
                    for name, table in Base.metadata.tables.items()}

    def statements(self) -> list[str]:
        """Return the list that each further statement is added to."""
        seen: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, values: Any, _context: Any,
                 many: bool) -> None:
            verb = statement.split()[0]
            if verb != "BEGIN" and "alembic_version" not in statement:
                # drivers send one for each row, but inserts together
                seen.extend([statement] * (len(values) if many and verb != "INSERT" else 1))

        event.listen(self.db.engine, "before_cursor_execute", note)
        return seen


class PutBack:
    """Puts the store of an API back to how it was when this was made."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._path = api.db.url.removeprefix("sqlite:///")
        self._kept = sqlite3.connect(":memory:")
        with contextlib.closing(sqlite3.connect(self._path)) as now:
            now.backup(self._kept)

    def __call__(self) -> None:
        """Put the store back; forget what was asked of guests and taskmanagers."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as now:
            self._kept.backup(now)
        self.api.guest.asked.clear()
        self.api.waker.woken.clear()


def _identify(below: Any) -> Any:
    def check(environ: dict[str, Any], start_response: Any) -> Any:
        token = environ.get("HTTP_X_AUTH_TOKEN")
        if token in TOKENS:
            project, roles = TOKENS[token]
            environ |= {
                "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": token,
                "HTTP_X_PROJECT_ID": project, "HTTP_X_ROLES": roles}
        return below(environ, start_response)
    return check


@pytest.fixture
def api_conf(store_conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """Configuration without rate limits."""
    for one in (base, api, cloud, object_store, operations, quota, ratelimit, options):
        one.register(store_conf)
    for name in ("get", "post", "put", "delete", "mgmt_post"):
        store_conf.set_override(f"http_{name}_rate", 0)
    store_conf.set_override("default_datastore", "mariadb")
    for option, value in PACKAGE.items():
        store_conf.set_override(option, value, group="agent_package")
    store_conf.set_override("datastore_cache_time", 0, group="api")
    store_conf.set_override("ca_certificate", "/etc/trove/authority.pem", group="tls")
    return store_conf


@pytest.fixture
def app(api_conf: cfg.ConfigOpts, database: Database) -> Iterator[Api]:
    """See :class:`Api`; each project has three instances and a backup."""
    now = utcnow()
    with database.writer() as session:
        session.add(Datastore(id="d", name="mariadb", default_version_id="v"))
        session.flush()
        session.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11",
                                     manager="mariadb", created=now, updated=now))
        session.flush()
        # one that only members see, and a datastore without any
        session.add(DatastoreVersion(
            id="u", datastore_id="d", name="10.6", version="10.6.18", manager="mariadb",
            image_id=IMAGE, visibility="private", created=now, updated=now))
        session.add(Datastore(id="e", name="empty"))
        session.flush()
        session.add(DatastoreVersionMember(id="m", datastore_version_id="u",
                                           tenant_id="c" * 32))
        session.add(VolumeConfig(
            name="small", volume_kind="data", size=2, provider="cinder", provider_type="lvm",
            device_type="block_xfs", created=now, updated=now))
        session.add(DatastoreConfigurationParameter(
            name="max_connections", datastore_version_id="v", data_type="integer",
            min_size="1", max_size="65535", created=now, updated=now))
        for prefix, tenant in ((OWN, MINE), (FOREIGN, OTHER)):
            for number in range(1, 4):
                session.add(Instance(
                    id=f"{prefix}{number}", name=f"db{number}", tenant_id=tenant,
                    flavor_id="1", flavor_ram=512, volume_size=1, server_status="ACTIVE",
                    compute_instance_id=f"s{prefix[0]}{number}",
                    volume_id=f"v{prefix[0]}{number}",
                    datastore_version_id="v", created=now, updated=now))
            session.flush()
            for number in range(1, 4):
                session.add(InstanceVolume(
                    instance_id=f"{prefix}{number}", volume_kind="data", size=1,
                    volume_id=f"v{prefix[0]}{number}", created=now, updated=now))
                session.add(ServiceStatusRow(instance_id=f"{prefix}{number}", sequence=1,
                                             status="HEALTHY", updated_at=now))
            session.add(Backup(id=f"{prefix}8", name="b", tenant_id=tenant, state="COMPLETED",
                               instance_id=f"{prefix}1", datastore_version_id="v",
                               volume_size=1, container="c", prefix="p", created=now,
                               updated=now))
            session.add(BackupStrategy(tenant_id=tenant, swift_container="own_backups",
                                       created=now, updated=now))
            session.add(Schedule(
                id=f"{prefix}9", name="nightly", tenant_id=tenant, instance_id=f"{prefix}1",
                pattern="0 2 * * *", next_run_at=now, created=now, updated=now))
            session.flush()
            session.add(ScheduleExecution(
                id=f"{prefix}e", schedule_id=f"{prefix}9", tick_at=now, state="SUCCESS",
                output="Backup complete", backup_id=f"{prefix}8", created=now, updated=now))
            session.add(Operation(
                id=f"{prefix}6", action="instance.create", resource_type="instance",
                resource_id=f"{prefix}5", live_key=f"{prefix}5", tenant_id=tenant,
                request_id="req-1", status="RUNNING", percent=60, step="server", created=now,
                updated=now))
            session.flush()
            session.add(OperationStep(operation_id=f"{prefix}6", step="server",
                                      state="RUNNING", started_at=now))
            for kind, message in ((EventKind.OPERATION_ACCEPTED, "Creating the instance was "
                                   "asked for."), (EventKind.OPERATION_STARTED, "Creating the "
                                                   "instance has begun.")):
                events.add(session, kind, message, now, tenant_id=tenant,
                           resource_id=f"{prefix}1", request_id="req-1", user_id="mine",
                           details={"action": "instance.create"})
            first = session.get(Instance, f"{prefix}1")
            assert first is not None
            first.security_group_id, first.access = "sg", {"allowed_cidrs": ["10.0.0.0/8"]}
            session.add(InstanceTls(
                instance_id=f"{prefix}1", place="current", mode="basic",
                certificate=(HERE / "certificate.pem").read_text(),
                authority=(HERE / "authority.pem").read_text()))
            session.add(InstanceMetadata(instance_id=f"{prefix}1", key="team",
                                         value='"shop"', created=now, updated=now))
            session.add(Configuration(id=f"{prefix}7", name="c", tenant_id=tenant,
                                      datastore_version_id="v", created=now, updated=now))
            session.add(Module(
                id=f"{prefix}4", name="hello", type="ping", tenant_id=tenant, md5=HELLO_MD5,
                contents=module_box(api_conf).seal(HELLO, f"{prefix}4"), created=now,
                updated=now))
    yield Api(api_conf, database)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that began this one how long answers took."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["answers"] = ANSWERS.plain()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a process of xdist tells; one that crashed tells nothing."""
    told = getattr(node, "workeroutput", {}).get("answers")
    if told is not None:
        ANSWERS.add(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long answers to made-up requests took."""
    if ANSWERS.took:
        terminalreporter.write_line(str(ANSWERS))
