"""Sound models of transformers, cut into embed and encode."""
