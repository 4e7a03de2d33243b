"""The duties of a taskmanager's process that nobody asks for."""

from __future__ import annotations

import datetime

from sqlalchemy import select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_events import timeline, wait_for
from tests.functional.control_plane.test_reconcile import wait_until
from trove_ng.common.clock import utcnow
from trove_ng.common.states import EventKind
from trove_ng.db.models import Duty, Instance, ServiceStatusRow
from trove_ng.db.repositories import events
from trove_ng.taskmanager.service import Service


def test_a_taskmanager_does_them_from_its_start(plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    with plane.db.writer() as session:
        events.add(session, EventKind.FAULT, "of old", utcnow() - datetime.timedelta(days=91),
                   tenant_id=plane.project_id, resource_id=ident)
        session.execute(update(Instance).values(server_status="SHUTOFF"))
        session.execute(update(ServiceStatusRow).values(
            updated_at=utcnow() - datetime.timedelta(hours=1)))
    assert timeline(plane, ident)[0]["message"] == "of old"
    service = Service(plane.conf)
    service.start()
    try:
        wait_for(plane, ident, "heartbeat.lost")
        assert wait_for(plane, ident, "status.server")["details"]["after"] == "ACTIVE"
        wait_until(lambda: timeline(plane, ident)[0]["message"] != "of old")
    finally:
        service.stop()
    with plane.db.reader() as session:
        ended = {duty.name: duty.ended_at is not None for duty in session.scalars(select(Duty))}
    assert ended == {"archive_base_retention": True, "certificate_renewal": True,
                     "log_retention": True, "reconciliation": True, "schedule_retention": True}
