"""The prepared folder: written, checked, opened."""
