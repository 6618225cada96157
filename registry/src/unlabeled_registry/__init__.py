"""The plugins of unlabeled: what is installed, what each provides, and what runs with what. Imports no torch.

`registry.discover()` finds the installed plugins, `negotiation` says what runs with what, and `hooks` tells plugins
about the life of a run. The package itself stays empty, so that each command imports only what it needs.
"""

__version__ = "0.1.0"
