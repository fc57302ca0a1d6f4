"""raravis."""
