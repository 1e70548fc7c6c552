"""Measurements: ratios of this service to raw PyTorch, a bare echo server and others, taken in the same run."""
