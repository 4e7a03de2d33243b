"""All queries of the store, one module a resource; each takes a session first."""
