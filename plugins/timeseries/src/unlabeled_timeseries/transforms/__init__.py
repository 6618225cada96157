"""Random changes of series, each row by its own length and its own draws."""
