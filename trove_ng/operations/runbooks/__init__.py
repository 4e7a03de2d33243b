"""The run-books, one module per action."""
