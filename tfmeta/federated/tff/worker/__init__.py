"""Starts, isolates and ends TFF's worker process; imports neither TensorFlow nor TFF."""
