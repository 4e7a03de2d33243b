"""Without a driver nobody is told, and nothing is kept for them."""

from __future__ import annotations

from tests.functional.api.conftest import OWN, Api
from tests.functional.api.test_notifications import USERS


def test_nothing_waits(app: Api) -> None:
    assert app("POST", f"/instances/{OWN}1/users", USERS).status_int == 202
    assert app("POST", f"/instances/{OWN}1/action", {"restart": {}}).status_int == 202
    assert app("POST", f"/instances/{OWN}1/action", {"reset_status": {}},
               token="admin").status_int == 202
    assert app.rows()["notifications"] == 0
