"""Video for `unlabeled`: clips, their augmentations and maskings, and the encoders that read them."""
