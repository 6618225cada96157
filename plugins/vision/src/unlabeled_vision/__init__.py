"""Images: decoding, augmentations on the batch's device, and encoders from transformers."""
