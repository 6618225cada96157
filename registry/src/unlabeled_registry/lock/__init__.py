"""What an environment holds, pinned: its own record, lock files that pip and uv install, and the check of both."""
