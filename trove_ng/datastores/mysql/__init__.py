"""What the engines of the MySQL family have in common."""
