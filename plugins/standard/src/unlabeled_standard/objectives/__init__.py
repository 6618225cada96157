"""Objectives for any modality."""
