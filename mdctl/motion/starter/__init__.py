"""The small base model inside the package: its weights, its clips, and the recipe that makes it."""
