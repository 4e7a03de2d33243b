"""What the control plane knows of database engines, one package per engine."""
