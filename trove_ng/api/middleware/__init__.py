"""WSGI layers around the controllers; see ``trove_ng.api.app`` for their order."""
