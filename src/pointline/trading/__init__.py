"""Trading: what a position in two legs pays and earns."""
