"""Venue facts: one dated TOML file per venue, and the rules that are read from them."""
