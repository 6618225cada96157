"""Random changes of images: batched, each row by its own draws, on the batch's device."""
