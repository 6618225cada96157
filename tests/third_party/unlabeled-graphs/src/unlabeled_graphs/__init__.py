"""Molecules as graphs: atoms are nodes, bonds are edges."""
