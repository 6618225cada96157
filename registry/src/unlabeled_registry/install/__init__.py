"""Installing, upgrading and removing plugins, each as one transaction; no plugin is imported by the process that does it."""
