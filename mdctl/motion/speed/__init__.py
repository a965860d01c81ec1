"""How fast and how small a training step is, beside others that compute the same: `mdctl bench speed`."""
