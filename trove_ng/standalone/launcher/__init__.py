"""What starts, watches and removes an all-in-one."""
