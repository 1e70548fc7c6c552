"""Training over HTTP: to the same end as plain PyTorch, whatever is killed on the way."""
