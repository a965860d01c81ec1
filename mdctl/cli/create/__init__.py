"""From clips to videos: `new`, `train`, `gen`, `mix` and their kin."""
