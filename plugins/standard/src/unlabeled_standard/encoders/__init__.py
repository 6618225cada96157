"""Encoders for any modality."""
