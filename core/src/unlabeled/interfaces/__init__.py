"""What a plugin implements; reached through `unlabeled` itself, lazily, so that listing never imports torch."""
