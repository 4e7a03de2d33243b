"""Options of the encrypted bus."""

from __future__ import annotations

from oslo_config import cfg

#: names of the spec "secure-oslo-messaging-messages"
KEY_OPTS: list[cfg.Opt] = [
    cfg.ListOpt("taskmanager_rpc_encr_key", secret=True, default=[],
                deprecated_name="tm_rpc_encr_key",
                help="Secrets that protect messages between the services of the control "
                     "plane, newest first. There is no default: make one with "
                     "'trove-manage generate_keys'."),
    cfg.ListOpt("inst_rpc_key_encr_key", secret=True, default=[],
                help="Secrets that the guests' keys, and the secrets of running "
                     "operations, are sealed with in the store, newest first."),
    cfg.ListOpt("instance_rpc_encr_key", secret=True, default=[],
                help="In a guest agent's configuration only: the guest's own secrets, "
                     "newest first."),
]

BUS_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("rpc_message_max_age", default=300, min=5,
               help="Seconds after which a message is stale and dropped. It must cover "
                    "the difference between two machines' clocks."),
    cfg.IntOpt("rpc_threads", default=16, min=1,
               help="Messages that one process handles at the same time."),
    cfg.IntOpt("guest_call_timeout", default=60, min=1,
               help="Seconds to wait for a guest agent's answer to one message."),
    cfg.IntOpt("guest_long_call_timeout", default=600, min=1,
               help="Seconds in which an agent that does not answer is asked again to "
                    "stop, start or resize; what it did already it does not do twice."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of the bus."""
    conf.register_opts(KEY_OPTS + BUS_OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, KEY_OPTS + BUS_OPTS)]
