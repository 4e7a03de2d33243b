"""What there is and what it uses, page by page, for those who bill it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.states import VERIFICATION_PROJECT
from trove_ng.db.models import DatastoreVersion, Instance, QuotaUsage, ServiceStatusRow


def instances(session: Session, before: datetime.datetime, after: str, limit: int,
              ) -> Sequence[tuple[Instance, DatastoreVersion, ServiceStatusRow | None]]:
    """Return existing instances of projects with version and heartbeat, ordered by id.

    :param before: only those that were made before
    :param after: an id; only later ones
    """
    rows = session.execute(select(Instance, DatastoreVersion, ServiceStatusRow).join(
        DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id).outerjoin(
            ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(
                Instance.deleted.is_(False), Instance.created < before, Instance.id > after,
                Instance.verifies_id.is_(None)).order_by(Instance.id).limit(limit))
    return [(row[0], row[1], row[2]) for row in rows]


def quotas(session: Session, after: str, limit: int) -> Sequence[QuotaUsage]:
    """Return what projects use, ordered by the id of the row.

    :param after: an id; only later ones
    """
    return session.scalars(select(QuotaUsage).where(
        QuotaUsage.id > after, QuotaUsage.tenant_id != VERIFICATION_PROJECT,
    ).order_by(QuotaUsage.id).limit(limit)).all()
