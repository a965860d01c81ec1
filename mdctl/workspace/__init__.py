"""What mdctl keeps on disk: projects, their runs, and where all of it lies."""
