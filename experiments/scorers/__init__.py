"""Scores of drives: each a named, versioned, pure function of a drive's event log."""
