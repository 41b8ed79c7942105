"""The historian: what the journal has, for longer and for others. A process of its own; it only reads the journal.

`outbox` hands rows on in their order to sinks: `archive` keeps them as Parquet files of an hour, `postgres` in a
database. `query` asks the archive, `metrics` tells Prometheus how line and sinks are. docs/historian.md.
"""
