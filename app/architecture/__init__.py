"""Architectures: JSON to `nn.Module`, and back to words. Pure: knows no database, no HTTP and no device pool."""
