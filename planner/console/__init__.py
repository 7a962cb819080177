"""What commands share: options, output, the context that they open, and how each is imported."""
