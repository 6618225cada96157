"""`unlabeled plugins`: one file a command."""
