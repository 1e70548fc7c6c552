"""Networks as they are really built, in JSON and as plain PyTorch written by hand, compared bit for bit."""
