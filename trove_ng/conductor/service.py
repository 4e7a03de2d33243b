"""The conductor's process: put together, run, end."""

from __future__ import annotations

import logging
import os
import socket

from oslo_config import cfg

from trove_ng.common.crypto import SecretBox
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conductor.manager import Conductor
from trove_ng.db.clock import StoreClock
from trove_ng.db.repositories import instance_keys
from trove_ng.db.session import Database
from trove_ng.rpc import conductor as conductor_rpc
from trove_ng.rpc import keys
from trove_ng.rpc.endpoint import Endpoint
from trove_ng.rpc.transport import get_transport, start_server

LOG = logging.getLogger(__name__)


class Service:
    """One conductor on the bus.

    :param recorder: is told what is measured
    :raises trove_ng.rpc.keys.KeysMissing: the configuration has no keys
    """

    def __init__(self, conf: cfg.ConfigOpts, recorder: Recorder = SILENT) -> None:
        if not conf.inst_rpc_key_encr_key:
            raise keys.KeysMissing("inst_rpc_key_encr_key is not configured; "
                                   "'trove-manage generate_keys' makes one")
        keys.ControlPlaneKeys(conf.taskmanager_rpc_encr_key)
        self._conf = conf
        self.database = database = Database(conf, recorder)
        provider = instance_keys.StoreKeys(
            database, SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE),
            conf.taskmanager_rpc_encr_key)
        self._conductor = Conductor(
            database, StoreClock(database), conf.conductor_batch_size, conf.conductor_batch_wait,
            recorder)
        self._endpoint = Endpoint(self._conductor.table(), keys.CONDUCTOR, provider,
                                  conf.rpc_message_max_age, recorder=recorder)

    def start(self) -> None:
        """Take messages from now on."""
        self._conductor.start()
        self._server = start_server(
            self._conf, get_transport(self._conf), conductor_rpc.TOPIC,
            f"{socket.gethostname()}.{os.getpid()}", self._endpoint)
        LOG.info("the conductor is up")

    def stop(self) -> None:
        """Take no more, write what was taken, end."""
        self._server.stop()
        self._server.wait()
        self._conductor.stop()
        LOG.info("the conductor has ended: %s, dropped %s",
                 dict(self._conductor.counts), dict(self._endpoint.refused.counts))
