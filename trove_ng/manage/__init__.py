"""``trove-manage``: what operators do on the controller."""
