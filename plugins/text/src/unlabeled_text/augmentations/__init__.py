"""Transforms and maskings of words."""
