"""Video in and out, and the world that `starter` draws."""
