"""Federated training: the clients, their data and jobs, the rounds, and two federations that run them.

`tff` runs rounds through TensorFlow Federated (TFF), `in_process` runs the same rounds without it. Importing TFF takes
6 to 9 s, so this package imports nothing by itself.
"""
