"""What keeps a run from going wrong unseen: guards, signs of collapse, memory, signals."""
