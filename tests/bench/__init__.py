"""Benchmarks: `make bench` prints their rows, and `docs/performance.md` keeps them."""
