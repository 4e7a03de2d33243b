"""The taskmanager's process: put together, run, end."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from typing import Any

from oslo_config import cfg

from trove_ng.cloud.catalog import CachedCatalog
from trove_ng.cloud.session import Clouds
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conf.cloud import own_region
from trove_ng.datastores.base import load_datastores
from trove_ng.db.clock import StoreClock
from trove_ng.db.repositories import instance_keys
from trove_ng.db.repositories.operations import Skills
from trove_ng.db.session import Database
from trove_ng.operations import requests, usage
from trove_ng.operations.archive_bases import Bases
from trove_ng.operations.drills import Drills
from trove_ng.operations.duty import Duty
from trove_ng.operations.engine import Engine, Observer, nobody
from trove_ng.operations.failover import Failovers
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.notices import Notices
from trove_ng.operations.renewals import Renewals
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.schedules import Runner, Schedules
from trove_ng.operations.work import Tools
from trove_ng.rpc import keys, taskmanager
from trove_ng.rpc.endpoint import Endpoint
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import Lines
from trove_ng.rpc.notifier import Sender, is_on, own_address
from trove_ng.rpc.transport import get_transport, start_server
from trove_ng.taskmanager.heartbeats import HeartbeatWatch
from trove_ng.taskmanager.housekeeping import Housekeeping
from trove_ng.taskmanager.log_archives import DUTY as LOG_RETENTION
from trove_ng.taskmanager.log_archives import Archiving, LogRetention
from trove_ng.taskmanager.manager import Manager
from trove_ng.taskmanager.notifications import (
    EXISTS,
    QUOTAS,
    SENDING,
    Bound,
    Facts,
    Relay,
    Tell,
)
from trove_ng.taskmanager.periodic import InTurn, Periodic
from trove_ng.taskmanager.reconcile import Turns

LOG = logging.getLogger(__name__)

#: what one taskmanager does at a time; the ticks of schedules need no such turns
RETENTION, RENEWAL = "schedule_retention", "certificate_renewal"
BASE_RETENTION = "archive_base_retention"
#: seconds between two looks whether a period has ended
_FACTS_PAUSE = 30


class Service:
    """One taskmanager on the bus.

    :param recorder: is told what is measured
    :param observe: is told of every point that an operation passes
    :raises trove_ng.rpc.keys.KeysMissing: the configuration has no keys
    """

    def __init__(self, conf: cfg.ConfigOpts, recorder: Recorder = SILENT,
                 observe: Observer = nobody) -> None:
        if not conf.inst_rpc_key_encr_key:
            raise keys.KeysMissing("inst_rpc_key_encr_key is not configured; "
                                   "'trove-manage generate_keys' makes one")
        keys.ControlPlaneKeys(conf.taskmanager_rpc_encr_key)
        self._conf = conf
        self._name = f"{socket.gethostname()}.{os.getpid()}"
        self.database = db = Database(conf, recorder)
        clock = StoreClock(db)
        key_box = SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
        provider = instance_keys.StoreKeys(db, key_box, conf.taskmanager_rpc_encr_key)
        self._transport = get_transport(conf)
        tools = Tools(
            conf=conf, db=db, clock=clock, clouds=Clouds(conf, recorder=recorder),
            guests=_guests(conf, self._transport, provider, recorder,
                           Lines(2 * conf.taskmanager_workers)),
            operation_box=SecretBox(conf.inst_rpc_key_encr_key, requests.PURPOSE),
            key_box=key_box, datastores=load_datastores(), recorder=recorder,
            told=is_on(conf))
        # a host name and a pid come again after a restart
        owner = f"{self._name}.{uuid.uuid4().hex[:8]}"
        self._keeper = LeaseKeeper(
            db, clock, owner, conf.operations.lease,
            Skills(runbooks().keys(), conf.operations.undo_timeout))
        engine = Engine(tools, runbooks(), observe)
        self._manager = Manager(db, clock, self._keeper, engine.run, conf.taskmanager_workers,
                                recorder)
        self._sender: Sender | None = None
        archived = Duty(db, clock, LOG_RETENTION, owner)
        self._periodic = (
            Periodic("the sweep", self._manager.sweep, conf.sweep_interval),
            Periodic("the reconciliation", Turns(tools, owner, conf.reconcile_interval).run,
                     conf.reconcile_interval),
            Periodic("the housekeeping", Housekeeping(conf, db, clock).run,
                     conf.housekeeping_interval),
            Periodic("the watch for heartbeats",
                     HeartbeatWatch(db, clock, conf.agent_heartbeat_expiry).run,
                     conf.heartbeat_check_interval),
            Periodic("the archives of logs", Archiving(tools).run,
                     conf.log_archive_check_interval),
            Periodic("the retention of archived logs", InTurn(
                archived, LogRetention(tools, archived).run,
                conf.schedule_retention_interval).run, conf.schedule_retention_interval),
            *self._begins(tools, owner), *self._notifications(tools, owner))
        self._endpoint = Endpoint(self._manager.table(), keys.TASKMANAGER, provider,
                                  conf.rpc_message_max_age, recorder=recorder)

    def _begins(self, tools: Tools, owner: str) -> list[Periodic]:
        """Return what begins work that nobody asks for now: of schedules, of failovers,
        and on certificates."""
        conf, pause = tools.conf, tools.conf.schedule_retention_interval
        notices = Notices(lambda: tools.told, of_its_own=True)
        accepting = requests.Requests(conf, tools.operation_box, notices)
        runner = Runner(conf, tools.db, tools.clock, Schedules(
            conf, accepting, tools.datastores), self._manager.take)
        lost = Failovers(conf, tools.db, tools.clock, accepting, self._manager.take,
                         tools.recorder)
        drills = Drills(conf, tools.db, tools.clock, accepting, self._manager.take)
        bases = Bases(conf, tools.db, tools.clock, accepting, self._manager.take,
                      tools.datastores)
        retention, based, renewal = (Duty(tools.db, tools.clock, name, owner)
                                     for name in (RETENTION, BASE_RETENTION, RENEWAL))
        renewals = Renewals(conf, tools.db, tools.clock, accepting, self._manager.take)
        return [Periodic("the failovers", lost.run, conf.failover_interval),
                Periodic("the schedules", runner.run, conf.schedule_interval),
                Periodic("the verifications of schedules", drills.run, conf.schedule_interval),
                Periodic("the bases of archives", bases.run, conf.schedule_interval),
                Periodic("the retention of the bases of archives",
                         InTurn(based, bases.clean, pause).run, pause),
                Periodic("the retention of backups",
                         InTurn(retention, runner.clean, pause).run, pause),
                Periodic("the renewal of certificates",
                         InTurn(renewal, renewals.run, conf.tls.renew_interval).run,
                         conf.tls.renew_interval)]

    def _notifications(self, tools: Tools, owner: str) -> list[Periodic]:
        """Return what sends notifications, and what makes those that come of themselves."""
        conf, db, clock = tools.conf, tools.db, tools.clock
        bound = Bound(db, conf.notification_max_waiting, tools.recorder)
        if not tools.told:
            # another service may have a driver
            return [Periodic("the bound of notifications", bound.run,
                             conf.housekeeping_interval)]
        self._sender = Sender(conf)
        relay = Relay(
            db, clock, self._sender, Duty(db, clock, SENDING, owner),
            CachedCatalog(lambda: tools.clouds, conf.service_credentials.catalog_cache_time,
                          own_region(conf)),
            bound, own_address, conf.host or socket.gethostname(),
            tools.recorder)
        found = [Periodic("the notifications", relay.run, conf.notification_interval)]
        made: tuple[tuple[str, int, Tell], ...] = (
            (EXISTS, conf.exists_notification_interval,
             lambda session, beginning, ending, after: usage.tell_exists(
                 session, conf, beginning, ending, after, clock.now())),
            (QUOTAS, conf.quota_notification_interval,
             lambda session, _beginning, ending, after: usage.tell_quotas(
                 session, conf, ending, after, clock.now())))
        for name, interval, tell in made:
            if interval > 0:
                facts = Facts(db, clock, Duty(db, clock, name, owner), interval, tell)
                found.append(Periodic(name, facts.run, min(interval, _FACTS_PAUSE)))
        return found

    def start(self) -> None:
        """Take messages and work from now on."""
        self._keeper.start()
        # what the sweep finds needs no bus to begin
        for one in self._periodic:
            one.start()
        self._server = start_server(
            self._conf, self._transport, taskmanager.TOPIC, self._name, self._endpoint)
        LOG.info("the taskmanager is up")

    def stop(self) -> None:
        """Take no more, leave what runs to others, end."""
        self._server.stop()
        self._server.wait()
        self._manager.stop()
        for one in self._periodic:
            one.stop()
        if self._sender is not None:
            self._sender.close()
        self._keeper.stop()
        LOG.info("the taskmanager has ended, dropped %s", dict(self._endpoint.refused.counts))


def _guests(conf: cfg.ConfigOpts, transport: Any, provider: keys.Keys,
            recorder: Recorder, lines: Lines) -> Any:
    def client(instance_id: str, context: RequestContext | None = None) -> GuestClient:
        return GuestClient(conf, transport, provider, keys.TASKMANAGER, instance_id, context,
                           recorder, lines)
    return client
