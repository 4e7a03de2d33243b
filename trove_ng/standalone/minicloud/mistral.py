"""Mistral, as far as ``trove schedule-*`` and ``execution-*`` need it: schedules by another name.

Wire format: Workflow API v2, cron triggers and executions.  Nothing is kept here: a trigger of
the workflow ``trove.backup_create`` is a schedule of the database service, which is asked with
the caller's token.  A trigger's name is the schedule's id, whatever name was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import requests
from werkzeug import Request, Response

from trove_ng.standalone.minicloud.nova_call import Call, CloudFault
from trove_ng.standalone.minicloud.web import Route, json_response

Document = dict[str, Any]

WORKFLOW = "trove.backup_create"
_TIMEOUT = 60
_STATES = {"WAITING": "DELAYED", "MISSED": "ERROR"}


class Trove(Protocol):
    """The database service."""

    def __call__(self, method: str, path: str, token: str, project_id: str,
                 body: Document | None = None) -> tuple[int, Document]:
        """Ask; return status and body.  The path is below the project's."""


class TroveHttp:
    """The database service at an address.

    :param url: start of its URL
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, path: str, token: str, project_id: str,
                 body: Document | None = None) -> tuple[int, Document]:
        try:
            answer = requests.request(
                method, f"{self._url}/v1.0/{project_id}{path}", json=body, timeout=_TIMEOUT,
                headers={"X-Auth-Token": token, "Accept": "application/json"})
            return answer.status_code, answer.json() if answer.content else {}
        except (requests.RequestException, ValueError):
            raise CloudFault(503, "The database service does not answer.") from None


def version_document(base: str) -> Document:
    """Return Mistral's description of its version 2; ``base`` is the service's address."""
    return {"id": "v2.0", "status": "CURRENT",
            "links": [{"rel": "self", "target": "v2", "href": f"{base}/v2"}]}


def words(status: int, message: str, _kind: str) -> Response:
    """Return an error as Mistral words it."""
    return json_response(status, {
        "debuginfo": None, "faultcode": "Client" if status < 500 else "Server",
        "faultstring": message})


class _Caller:
    """The database service, for one request."""

    def __init__(self, trove: Trove, call: Call, request: Request) -> None:
        self._trove = trove
        self._project_id = call.caller.project_id
        self._token = request.headers.get("X-Auth-Token", "")

    def ask(self, method: str, path: str, body: Document | None = None) -> Document:
        """Return the body of a good answer.

        :raises CloudFault: with the service's own words
        """
        status, found = self._trove(method, path, self._token, self._project_id, body)
        if status >= 400:
            error = next(iter(found.values()), None)
            raise CloudFault(status, str(error.get("message")) if isinstance(error, dict) else (
                "The database service refused this."))
        return found

    def all(self, path: str, key: str) -> Iterator[Document]:
        """Give the items of a list, page by page."""
        marker = ""
        while True:
            found = self.ask("GET", f"{path}?limit=100{marker}")
            yield from found[key]
            if not found.get("links"):
                return
            marker = f"&marker={found[key][-1]['id']}"


class Mistral:
    """The handlers."""

    def __init__(self, trove: Trove) -> None:
        #: who answers; tests pass another one
        self.trove = trove

    def routes(self) -> Iterator[Route]:
        """Return method, path and handler of each call."""
        for method, path, handler in (
                ("POST", "/cron_triggers", self._create),
                ("GET", "/cron_triggers", self._list),
                ("GET", "/cron_triggers/<name>", self._show),
                ("DELETE", "/cron_triggers/<name>", self._delete),
                ("GET", "/executions", self._executions),
                ("GET", "/executions/<ident>", self._execution),
                ("DELETE", "/executions/<ident>", self._delete_execution)):
            yield method, path, _raw(handler)

    def _caller(self, call: Call, request: Request) -> _Caller:
        return _Caller(self.trove, call, request)

    # cron triggers

    def _create(self, call: Call, request: Request) -> Response:
        body = request.get_json(silent=True, force=True)
        if not isinstance(body, dict):
            raise CloudFault(400, "The body is not a JSON object.")
        if body.get("workflow_name") != WORKFLOW:
            raise CloudFault(404, f"Workflow not found [workflow_identifier="
                                  f"{body.get('workflow_name')}]")
        wanted = _input(body.get("workflow_input"))
        schedule: Document = {
            "name": wanted.get("name"), "instance": wanted.get("instance"),
            "pattern": body.get("pattern"), "full_every": 0 if wanted.get("incremental") else 1}
        for name in ("description", "parent_id"):
            if wanted.get(name):
                schedule[name] = wanted[name]
        made = self._caller(call, request).ask("POST", "/schedules", {"schedule": schedule})
        return json_response(201, _trigger(made["schedule"]))

    def _list(self, call: Call, request: Request) -> Response:
        found = self._caller(call, request).all("/schedules", "schedules")
        return json_response(200, {"cron_triggers": [_trigger(one) for one in found]})

    def _show(self, call: Call, request: Request, name: str) -> Response:
        found = self._caller(call, request).ask("GET", f"/schedules/{name}")
        return json_response(200, _trigger(found["schedule"]))

    def _delete(self, call: Call, request: Request, name: str) -> Response:
        self._caller(call, request).ask("DELETE", f"/schedules/{name}")
        return json_response(204, None)

    # executions

    def _found(self, caller: _Caller) -> list[Document]:
        """Return the executions of all schedules of the project, the newest first."""
        found = [_view(one, schedule) for schedule in caller.all("/schedules", "schedules")
                 for one in caller.all(f"/schedules/{schedule['id']}/executions", "executions")]
        return sorted(found, key=lambda one: (one["created_at"], one["id"]), reverse=True)

    def _executions(self, call: Call, request: Request) -> Response:
        found = self._found(self._caller(call, request))
        marker, limit = request.args.get("marker"), request.args.get("limit", type=int)
        if marker:
            ids = [one["id"] for one in found]
            found = found[ids.index(marker) + 1:] if marker in ids else []
        return json_response(200, {"executions": found[:limit] if limit else found})

    def _one(self, caller: _Caller, ident: str) -> Document:
        for one in self._found(caller):
            if one["id"] == ident:
                return one
        raise CloudFault(404, f"WorkflowExecution not found [id={ident}]")

    def _execution(self, call: Call, request: Request, ident: str) -> Response:
        return json_response(200, self._one(self._caller(call, request), ident))

    def _delete_execution(self, call: Call, request: Request, ident: str) -> Response:
        caller = self._caller(call, request)
        schedule = self._one(caller, ident)["cron_trigger_name"]
        caller.ask("DELETE", f"/schedules/{schedule}/executions/{ident}")
        return json_response(204, None)


def _raw(handler: Any) -> Any:
    """Mark a handler as one that reads the request itself."""
    def raw(call: Call, request: Request, **ids: str) -> Response:
        found: Response = handler(call, request, **ids)
        return found

    raw.raw = True  # type: ignore[attr-defined]
    return raw


def _input(text: Any) -> Document:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CloudFault(400, "workflow_input must be a JSON object.")
    return found


def _time(text: str | None) -> str | None:
    return None if text is None else text.replace("T", " ")


def _input_of(schedule: Document) -> str:
    """Return the workflow's input of a schedule, the same at every call."""
    return json.dumps({
        "instance": schedule["instance_id"], "name": schedule["name"],
        "description": schedule["description"], "parent_id": schedule["parent_id"],
        "incremental": schedule["full_every"] != 1, "schedule": schedule["id"]})


def _trigger(schedule: Document) -> Document:
    return {
        "id": schedule["id"], "name": schedule["id"], "workflow_name": WORKFLOW,
        "workflow_input": _input_of(schedule), "workflow_params": "{}",
        "pattern": schedule["pattern"], "first_execution_time": None,
        "remaining_executions": None, "scope": "private", "project_id": schedule["project_id"],
        "next_execution_time": _time(schedule["next_run_at"]),
        "created_at": _time(schedule["created"]), "updated_at": _time(schedule["updated"])}


def _view(one: Document, schedule: Document) -> Document:
    return {
        "id": one["id"], "workflow_name": WORKFLOW, "input": _input_of(schedule),
        "cron_trigger_name": schedule["id"], "description": "", "params": "{}",
        "state": _STATES.get(one["state"], one["state"]), "state_info": one["output"],
        "output": json.dumps({"status": one["output"]}), "project_id": schedule["project_id"],
        "created_at": _time(one["tick_at"]), "updated_at": _time(one["updated"])}
