"""Server-side aggregation rules, one file each."""
