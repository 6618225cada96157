"""Alignment of several modalities: CLIP and SigLIP over any two or more encoders, and zero-shot evaluation."""
