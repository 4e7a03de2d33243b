"""What ``openstack`` asks an extension for (osc_lib's plug-in interface)."""

from __future__ import annotations

import argparse
from typing import Any

from trove_ng.osc.client import API_NAME as API_NAME
from trove_ng.osc.client import Client

API_VERSION_OPTION = "os_trove_ng_api_version"
API_VERSIONS = ("1",)
DEFAULT_API_VERSION = "1"


def make_client(instance: Any) -> Client:
    """Return the client that commands find as ``app.client_manager.trove_ng``.

    :param instance: osc_lib's client manager
    """
    return Client(instance.session, instance.region_name, instance.interface)


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add no global option: there is one version of the API."""
    return parser
