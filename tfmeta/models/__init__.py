"""The networks, as Keras models and as pure functions of explicit weights."""
