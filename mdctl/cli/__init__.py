"""The face: every command, for terminals, pipes and scripts."""
