"""Bars of a driving instrument, and what any number of venues traded in them."""
