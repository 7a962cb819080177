"""Orchestrators beside the product, each in an environment of its own: `make bench-peers`."""
