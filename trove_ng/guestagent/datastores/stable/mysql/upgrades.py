"""Which release of MySQL can take over the data of which."""

from __future__ import annotations

from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.datastores.mysql.versions import SERIES, series
from trove_ng.guestagent.datastores.mysql_family import sql


def check_jump(before: str, after: str) -> None:
    """Refuse a release that leaves one out: no server reads files of the one before the last.

    :raises UnprocessableEntity: it does, or a version is not known
    """
    try:
        first, last = SERIES.index(series(before)), SERIES.index(series(after))
    except BadRequest as err:
        raise UnprocessableEntity(err.message) from err
    if last - first > 1:
        raise UnprocessableEntity(
            f"The database is of version {before}; it has to go to {SERIES[first + 1]} before "
            f"it can go to {after}.")


def check_ready(session: sql.Session) -> None:
    """Refuse data that the next release would not take.

    :raises UnprocessableEntity: transactions are prepared and neither committed nor rolled
        back
    """
    if session.run("XA RECOVER"):
        raise UnprocessableEntity(
            "There are prepared XA transactions; they have to be committed or rolled back "
            "before an upgrade.")
