"""What is saved of a run, when, and how a run goes on from it."""
