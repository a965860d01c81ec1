"""What was learned passed on, and taken in from others."""
