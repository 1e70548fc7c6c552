"""Formats that tensors travel in: one module each, and `registry` to find them by name. Loads PyTorch."""
