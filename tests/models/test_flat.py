"""A list of weights as one vector, and back."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import Flat, layout_of

shapes = st.lists(st.lists(st.integers(1, 4), max_size=4).map(tuple), min_size=1, max_size=6).map(tuple)


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_unpacking_undoes_packing(some):
    layout = Flat(some)
    tensors = [np.random.default_rng(i).normal(size=shape).astype(np.float32) for i, shape in enumerate(some)]
    vector = layout.pack(tensors)
    assert vector.shape == (layout.size,) and layout.size == sum(part.size for part in tensors) == sum(layout.sizes)
    assert (vector.numpy() == np.concatenate([part.ravel() for part in tensors])).all()
    back = layout.unpack(vector)
    assert [part.shape for part in back] == list(some)
    assert all((part.numpy() == tensor).all() for part, tensor in zip(back, tensors, strict=True))


def test_a_vector_of_another_length_is_refused():
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        Flat(((2, 2), (3,))).unpack(tf.zeros([8]))


def test_gradients_pass_through_unpacking():
    layout, vector = Flat(((2,), (1, 2))), tf.constant([1.0, 2.0, 3.0, 4.0])
    with tf.GradientTape() as tape:
        tape.watch(vector)
        first, second = layout.unpack(vector)
        loss = 2 * tf.reduce_sum(first) + tf.reduce_sum(second * [[5.0, 7.0]])
    assert tape.gradient(loss, vector).numpy().tolist() == [2, 2, 5, 7]


def test_a_models_layout_has_the_size_of_its_weights():
    model = Conv4((28, 28, 1), 5, 8)
    assert layout_of(model).size == model.keras_model().count_params() - 2 * 4 * 8  # Keras counts moving statistics too
