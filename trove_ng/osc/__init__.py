"""Commands of ``openstack`` for what released clients do not know."""
