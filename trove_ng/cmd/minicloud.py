"""``trove-minicloud``: the cloud of an all-in-one."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trove_ng.standalone.minicloud.app import MiniCloud
    from trove_ng.standalone.minicloud.config import MiniCloudConfig
    from trove_ng.standalone.minicloud.hypervisor import Hypervisor

_THREADS = 24


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="trove-minicloud", description="A small cloud with OpenStack's REST APIs.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE",
                        help="JSON file with the configuration")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from trove_ng.standalone.minicloud.app import MiniCloud
    from trove_ng.standalone.minicloud.config import ConfigError, load

    try:
        config = load(options.config)
    except ConfigError as err:
        sys.stderr.write(f"trove-minicloud: {err}\n")
        return 1
    return serve(config, MiniCloud(config, _hypervisor(config)))


def _hypervisor(config: MiniCloudConfig) -> Hypervisor:
    if config.hypervisor == "null":
        from trove_ng.standalone.minicloud.hypervisor import NullHypervisor

        return NullHypervisor()
    from trove_ng.standalone.runtime.hypervisor import NamespaceHypervisor

    return NamespaceHypervisor(config)


def serve(config: MiniCloudConfig, cloud: MiniCloud) -> int:
    """Answer on all addresses of the configuration."""
    servers = make_servers(config, cloud)
    cloud.start()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ending.set())
    threads = [threading.Thread(target=server.serve, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    logging.getLogger(__name__).info("the minicloud is up at %s", config.url)
    ending.wait()
    for server in servers:
        server.stop()
    cloud.stop()
    return 0


def make_servers(config: MiniCloudConfig, cloud: MiniCloud) -> list[Any]:
    """Return an HTTP server for each address, bound and ready to serve."""
    from cheroot import wsgi

    servers = []
    for address in dict.fromkeys(config.listen):
        server = wsgi.Server(
            (address, config.port), cloud, numthreads=_THREADS, request_queue_size=128,
            timeout=120)
        server.prepare()
        servers.append(server)
    return servers


if __name__ == "__main__":
    sys.exit(main())
