"""What mdctl stands on: base models, presets, settings, caches, the computer, help and completion."""
