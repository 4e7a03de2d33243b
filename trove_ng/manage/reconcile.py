"""Comparing the store with the cloud at the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
from typing import Any

from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import Conflict, ServiceUnavailable
from trove_ng.manage.command import Command, Tools, arg
from trove_ng.operations.duty import Duty
from trove_ng.operations.reconcile import objects
from trove_ng.operations.reconcile.findings import Outcome
from trove_ng.operations.reconcile.look import (
    look,
    look_at_names,
    look_at_store,
    regions,
)
from trove_ng.operations.reconcile.reconciler import DUTY, Reconciler


def _reconcile(tools: Tools, options: argparse.Namespace) -> int:
    """Return 1 when something is wrong that was not repaired, else 0."""
    try:
        found = _fix(tools) if options.fix else _look(tools)
    except CloudError as err:
        raise ServiceUnavailable(err.message) from err
    if options.json:
        tools.say(json.dumps({"findings": [_plain(one) for one in found]}, indent=2))
    else:
        _say(tools, found)
    return 0 if all(one.repaired for one in found) else 1


def _look(tools: Tools) -> list[Outcome]:
    found = [one for region in regions(tools) for one in look(tools, region)[1]]
    return [Outcome(one) for one in (
        *found, *look_at_names(tools), *look_at_store(tools), *objects.look(tools))]


def _fix(tools: Tools) -> list[Outcome]:
    duty = Duty(tools.db, tools.clock, DUTY, f"trove-manage.{socket.gethostname()}.{os.getpid()}")
    if not duty.take():
        raise Conflict(f"A reconciliation is being done by {duty.holder()}; try again soon.")
    with duty.kept():
        return Reconciler(tools).run(duty.hold)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {**dataclasses.asdict(outcome.finding), "repaired": outcome.repaired,
            "problem": outcome.problem}


def _say(tools: Tools, found: list[Outcome]) -> None:
    for one in found:
        finding = one.finding
        state = "repaired" if one.repaired else one.problem or (
            f"repair: {finding.repair}" if finding.repair else "no safe repair")
        about = " ".join(text for text in (
            finding.instance_id and f"instance {finding.instance_id}",
            finding.tenant_id and f"project {finding.tenant_id}",
            f"{finding.resource} {finding.resource_id}".strip()) if text)
        tools.say(f"{finding.kind:23} {finding.what} ({about}) [{state}]")
    tools.say(f"{len(found)} findings")


COMMANDS = (
    Command("reconcile", "compare the store with the cloud; exit code 1 when they differ",
            _reconcile, (
                arg("--fix", action="store_true", help="repair what is safe to repair"),
                arg("--json", action="store_true", help="print JSON"))),
)
