"""Recordings as amplifiers write them."""
