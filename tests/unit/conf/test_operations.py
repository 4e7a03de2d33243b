"""How long operations may take fits to what they are made of."""

from __future__ import annotations

from oslo_config import cfg

from trove_ng.conf import object_store, operations


def test_a_verification_may_take_as_long_as_a_restore_and_the_look_at_the_data() -> None:
    conf = cfg.ConfigOpts()
    operations.register(conf)
    object_store.register(conf)
    conf([])
    timeouts = conf.operations.timeouts
    assert float(timeouts.get("backup.verify", conf.operations.default_timeout)) >= (
        float(timeouts["instance.create_replica"]) + conf.backup_verification_check_time)
