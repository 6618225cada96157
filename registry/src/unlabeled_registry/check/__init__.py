"""Checking a plugin as others will install it: build its wheel, install that into a fresh environment, run the kit there."""
