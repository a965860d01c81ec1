"""The method: adapters, losses, training, sampling; the only wing that knows torch."""
