"""Evaluators for any modality."""
