"""The lake for other tools: a small DuckDB file of views over the live files, see `pointline.export.duckdb`."""
