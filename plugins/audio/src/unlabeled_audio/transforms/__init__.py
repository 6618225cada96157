"""Random changes of sound: batched, each row by its own draws, on the batch's device."""
