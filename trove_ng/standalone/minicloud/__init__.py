"""A small cloud with OpenStack's REST APIs, for one machine."""
