"""Storage: a Delta lake of market tables, the manifest of the files it was made from, and what was set aside."""

from pointline.lake.store import Lake, PartitionFile, open_lake

__all__ = ["Lake", "PartitionFile", "open_lake"]
