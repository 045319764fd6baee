"""Federated training: clients, their data and jobs, the rounds, and two federations that run them.

`tff` uses TensorFlow Federated (TFF), whose import takes 6 to 9 s; `in_process` runs the same rounds without it.
"""
