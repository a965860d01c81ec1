"""mdctl: teach a text-to-video model a motion from your clips."""

__version__ = "0.1.0"
