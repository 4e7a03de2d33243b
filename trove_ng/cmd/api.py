"""The API's process: gunicorn with threads, the application made in each worker."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.cmd.metrics import WorkersMetrics
from trove_ng.common.metrics import API
from trove_ng.conf import (
    api,
    base,
    cloud,
    database,
    metrics,
    object_store,
    operations,
    quota,
    ratelimit,
    rpc,
)

if TYPE_CHECKING:
    from trove_ng.api.memory import Generation
    from trove_ng.api.middleware.wsgi import App

PROG = "trove-api"


def load(argv: list[str] | None) -> cfg.ConfigOpts:
    """Return the configuration of the API."""
    from trove_ng.datastores import options

    return base.load(argv, prog=PROG, registrars=(
        database.register, rpc.register, quota.register, operations.register,
        cloud.register, api.register, ratelimit.register, metrics.register,
        object_store.register, options.register))


def make_app(conf: cfg.ConfigOpts, measured: WorkersMetrics, datastores: Generation) -> App:
    """Return the WSGI application of a worker, whose metrics are served from then on.

    :param datastores: shared by all workers, see :class:`trove_ng.api.memory.Memory`
    :raises trove_ng.rpc.keys.KeysMissing: the configuration has no keys
    """
    from trove_ng.api.app import build_app
    from trove_ng.api.wiring import make_services

    services = make_services(conf, measured.recorder(), datastores)
    measured.serve(services.db)
    return build_app(services)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    :param argv: arguments without the program's name; None takes the process's own
    :return: 0 after a clean end, 1 if it cannot run
    """
    process.prepare()
    try:
        conf = load(argv)
    except cfg.Error as err:
        return process.refuse(PROG, err)
    from trove_ng.rpc.keys import ControlPlaneKeys, KeysMissing

    try:
        ControlPlaneKeys(conf.taskmanager_rpc_encr_key)
        if not conf.inst_rpc_key_encr_key:
            raise KeysMissing("inst_rpc_key_encr_key is not configured; "
                              "'trove-manage generate_keys' makes one")
        measured = WorkersMetrics(conf, API)
    except (KeysMissing, OSError) as err:
        return process.refuse(PROG, err)
    _serve(conf, measured)
    return 0


def _serve(conf: cfg.ConfigOpts, measured: WorkersMetrics) -> None:
    """Run gunicorn; it ends the process."""
    from gunicorn.app.base import BaseApplication

    from trove_ng.api.memory import Generation

    datastores = Generation()
    settings: dict[str, Any] = {
        "bind": f"{_bracketed(conf.bind_host)}:{conf.bind_port}",
        "workers": conf.trove_api_workers or os.cpu_count() or 1, "worker_class": "gthread",
        "threads": conf.api.threads, "timeout": conf.api.request_timeout,
        "graceful_timeout": 30, "keepalive": 75, "proc_name": PROG, "accesslog": None,
        "on_exit": lambda _server: measured.end(),
        # the front end's own limits must not hide ours
        "limit_request_line": 8190, "limit_request_fields": 100}

    class Application(BaseApplication):
        """gunicorn with our settings."""

        def load_config(self) -> None:
            """Give gunicorn its settings; its own command line is not read."""
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> App:
            """Make the application, in the worker."""
            return make_app(conf, measured, datastores)

    Application().run()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
