"""Objectives that need a vocabulary."""
