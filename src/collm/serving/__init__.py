"""Trained agents away from home: exported to folders, served over HTTP, and played with wherever they are."""
