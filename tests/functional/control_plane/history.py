"""Forgetting what earlier cases left in the store, once it was checked.

Each check looks at all rows.  With those of all cases before, hundreds of cases would take
ever longer.
"""

from __future__ import annotations

import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import Backup, Base, Instance, Notification
from trove_ng.db.repositories import events, operations
from trove_ng.db.session import Database, retry_on_db_error

_MOST = 100000


@retry_on_db_error
def forget(db: Database, now: datetime.datetime) -> None:
    """Remove what is deleted, what has ended and what was told; nothing may be under way.

    What still names a row that is not deleted stays.
    """
    with db.writer() as session:
        session.execute(delete(Notification).where(Notification.event_type.like("dbaas.%")))
        _forget_instances(session)
        later = now + datetime.timedelta(seconds=1)
        operations.purge(session, later, _MOST)
        events.purge(session, later, _MOST)


def _forget_instances(session: Session) -> None:
    gone = set(session.scalars(select(Backup.id).where(Backup.deleted.is_(True))))
    gone -= set(session.scalars(select(Backup.parent_id).where(Backup.deleted.is_(False))))
    # MariaDB looks at each row, also where those that go name each other
    session.execute(update(Backup).where(Backup.id.in_(gone)).values(parent_id=None))
    session.execute(delete(Backup).where(Backup.id.in_(gone)))
    gone = set(session.scalars(select(Instance.id).where(Instance.deleted.is_(True))))
    gone -= set(session.scalars(select(Instance.slave_of_id).where(
        Instance.deleted.is_(False))))
    gone -= set(session.scalars(select(Backup.instance_id)))
    # children before those that they name
    for table in reversed(Base.metadata.sorted_tables):
        for column in table.columns:
            if table is not Instance.__table__ and column.references(Instance.__table__.c.id):
                session.execute(delete(table).where(column.in_(gone)))
    session.execute(update(Instance).where(Instance.id.in_(gone)).values(slave_of_id=None))
    session.execute(delete(Instance).where(Instance.id.in_(gone)))
    told = session.execute(select(Notification.id, Notification.payload)).all()
    session.execute(delete(Notification).where(Notification.id.in_(
        [ident for ident, payload in told if payload["instance_id"] in gone])))
