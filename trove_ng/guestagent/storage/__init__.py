"""Object storage, as a guest sees it: signed URLs, no token."""
