"""Our commands of ``openstack``, found by their entry points, against the API on a port."""

from __future__ import annotations

import io
import json
import threading
import types
from collections.abc import Iterator
from typing import Any
from wsgiref import simple_server

import pytest
from cliff.commandmanager import CommandManager
from keystoneauth1 import session
from keystoneauth1.token_endpoint import Token
from osc_lib.exceptions import CommandError

from tests.functional.api.conftest import MINE, Api, api_conf, app  # noqa: F401 - fixtures
from trove_ng.osc import plugin


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing on standard error."""


class OpenStack:
    """The client of users of the first project."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._commands = CommandManager("openstack.trove_ng.v1")

    def _run(self, words: tuple[str, ...], token: str) -> str:
        manager = types.SimpleNamespace(
            session=session.Session(auth=Token(self._url, token)), region_name=None,
            interface="public")
        manager.trove_ng = plugin.make_client(manager)
        shell = types.SimpleNamespace(client_manager=manager, stdout=io.StringIO())
        factory, name, arguments = self._commands.find_command(list(words))
        command = factory(shell, None)
        command.run(command.get_parser(name).parse_args(arguments))
        return shell.stdout.getvalue()

    def __call__(self, *words: str, token: str = "mine") -> Any:
        """Run a command; return what it shows, decoded."""
        return json.loads(self._run((*words, "-f", "json"), token))

    def does(self, *words: str, token: str = "mine") -> None:
        """Run a command that shows nothing."""
        assert self._run(words, token) == ""

    def fails(self, *words: str, token: str = "mine") -> str:
        """Run a command that is refused; return why."""
        with pytest.raises(CommandError) as caught:
            self._run(words, token)
        return str(caught.value)


@pytest.fixture
def openstack(app: Api) -> Iterator[OpenStack]:  # noqa: F811 - the fixture
    """See :class:`OpenStack`."""
    server = simple_server.make_server("127.0.0.1", 0, app.wsgi, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield OpenStack(f"http://127.0.0.1:{server.server_port}/v1.0/{MINE}")
    server.shutdown()
    thread.join()
    server.server_close()
