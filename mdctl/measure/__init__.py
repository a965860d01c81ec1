"""What quality means, as numbers."""
