"""What the agent does with the operating system, free of any datastore."""
