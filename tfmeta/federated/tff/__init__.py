"""The federation through TensorFlow Federated (TFF): the learning process, its aggregation, and TFF's worker."""
