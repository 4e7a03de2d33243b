"""The engines, by maturity; what a family shares is beside them."""
