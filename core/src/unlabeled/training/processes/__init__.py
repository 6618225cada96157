"""Several processes: what they say to each other, share out and must agree on."""
