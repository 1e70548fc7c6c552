"""Each row of the textbook's chapter on deep learning computation, over HTTP, against PyTorch run beside it."""
