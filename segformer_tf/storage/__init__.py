"""Where files are and how they are written: directories, the Hub, bundled models."""
