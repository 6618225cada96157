"""Networks that read series."""
