"""What there is, looked at: lists, logs, folders and the gallery."""
