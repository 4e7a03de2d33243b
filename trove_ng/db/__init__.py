"""The SQL store: models, repositories (every query), migrations."""
