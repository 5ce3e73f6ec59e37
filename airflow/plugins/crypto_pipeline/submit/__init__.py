"""The submit DAG: one task that owns one driver on a standalone Spark cluster, and the three ways that end it."""
