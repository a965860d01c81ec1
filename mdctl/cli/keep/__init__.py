"""Projects kept in order: their clips, names and saves, the trash, and whether all is sound."""
