"""What the agents of MySQL, MariaDB and Percona Server have in common."""
