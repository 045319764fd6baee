"""Server-side aggregation rules: one file a rule."""
