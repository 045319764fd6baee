"""The federated shell: everything of tfmeta that runs through TensorFlow Federated.

``worker`` starts and ends TFF's worker process (it does not import TFF), ``runtime`` runs computations in it. Importing
TFF takes 6 to 9 s, so this package imports nothing by itself.
"""
