"""Conformance of a whole installed plugin: every promise of its components proved, and none left out unseen.

`promises` is the closed list; what a plugin must prove follows from it and the manifest. `checks` has the function for
each promise, `bench` builds what they work on, `run` runs them, and `report` says what was required, ran and passed.
"""
