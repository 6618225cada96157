"""Audio: waveforms and spectrograms, wav2vec 2.0, and augmentations of sound."""
