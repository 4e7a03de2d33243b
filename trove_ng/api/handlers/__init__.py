"""What routes do: authorize, validate, load, act, render."""
