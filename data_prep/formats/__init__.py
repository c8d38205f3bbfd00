"""Readers of data sets' raw formats."""
