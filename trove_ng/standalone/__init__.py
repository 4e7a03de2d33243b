"""The all-in-one: a minicloud and what starts it."""
