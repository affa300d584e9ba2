"""One module per archive family; each parses files and does nothing else."""
