"""The HTTP server: ClickHouse's protocol over the lake, for programs that are not trusted.

`serve` starts it, `config` says what it is told, `app` answers requests (`protocol` reads them), `pool` keeps the processes that run
queries. Inside such a process (`worker`) the `sandbox` goes up first, then the engine starts, and `pointline.sql.guard` looks at every
statement.
"""
