"""Taking messages from RabbitMQ when anybody may have written them.

oslo.messaging (18.3) trusts what is in a queue: a message that it cannot read costs a
traceback in the log, and some that it reads only half raise after they were acknowledged,
which ends the connection of the whole service.  Here they are looked at first.
"""

from __future__ import annotations

import functools
from typing import Any

from trove_ng.rpc.refusals import Reason, Refusals

#: of the outer message, what is needed; the rest (duplicates, call monitoring, context) is
#: ours to do, inside the envelope
_KEPT = {"method": str, "args": dict, "_msg_id": str, "_reply_q": str}


def guard(listener: Any, refused: Refusals) -> None:
    """Look at each message before the driver does.

    :param listener: what the transport listens with; one of another driver is left as
        it is
    """
    from oslo_messaging._drivers import amqpdriver

    inner = getattr(listener, "_poll_style_listener", None)
    if not isinstance(inner, amqpdriver.AMQPListener):
        return
    for consumer in inner.conn.connection._consumers:
        consumer._callback = functools.partial(_take, consumer, refused)


def _take(consumer: Any, refused: Refusals, raw: Any) -> None:
    """Give a message to the driver, or refuse it; takes the place of its own callback."""
    from oslo_messaging._drivers.impl_rabbit import RabbitMessage

    channel = consumer.queue.channel
    try:
        message = RabbitMessage(channel.message_to_python(raw))
        clean = readable(message)
    except Exception:  # noqa: BLE001  it may be anything, and its text may be, too
        clean = None
    if clean is None:
        refused.count(Reason.UNDECODABLE, None)
        channel.basic_reject(raw.delivery_info["delivery_tag"], requeue=False)
        return
    message.clear()
    message.update(clean)
    consumer.callback(message)


def readable(message: Any) -> dict[str, Any] | None:
    """Return what is needed of an outer message, None if it is not one."""
    clean = {name: message[name] for name in _KEPT if message.get(name) is not None}
    if not {"method", "args"} <= clean.keys() or not all(
            isinstance(value, _KEPT[name]) for name, value in clean.items()):
        return None
    return clean
