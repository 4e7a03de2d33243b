"""Which requests of an operation came too late."""

from __future__ import annotations

from trove_ng.rpc import messages as m

Place = tuple[int, int]


class Order:
    """The place of the newest request of each operation.

    A worker that was stopped for longer than its lease may send what another one has done, and
    taken back, meanwhile; a broker may deliver a request after those that were sent later.
    What comes after a newer request of its operation is not done any more.
    """

    def __init__(self) -> None:
        self._newest: dict[str, Place] = {}

    def note(self, operation_id: str, place: Place) -> None:
        """Know a place again."""
        self._newest[operation_id] = max(place, self.newest(operation_id))

    def newest(self, operation_id: str) -> Place:
        """Return the place of an operation's newest request, zeros if none has one."""
        return self._newest.get(operation_id, (0, 0))

    def admit(self, request: m.OrderedRequest) -> bool:
        """Return whether no newer request was admitted before; one without a place always is."""
        place = (request.fence, request.word)
        if not request.fence:
            return True
        if place < self.newest(request.operation_id):
            return False
        self.note(request.operation_id, place)
        return True
