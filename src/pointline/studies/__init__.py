"""Studies: perp against spot, and spreads of contracts against spot; facades over the rooms below."""
