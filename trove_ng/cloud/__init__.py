"""The only place that talks to OpenStack, by its official clients."""
