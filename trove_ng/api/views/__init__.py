"""What resources look like to clients; each view is an explicit list of fields."""
