"""Progress, threads, seeds, and work in parallel: what every other package may use."""
