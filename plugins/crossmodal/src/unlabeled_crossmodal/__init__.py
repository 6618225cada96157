"""Alignment of several modalities: CLIP over any two or more encoders, and zero-shot evaluation."""
