"""Drafts a pipeline file from what a warehouse holds."""
