"""What one call of a TensorFlow function costs, read off its graph.

Tracing a function on specs of its arguments allocates nothing and computes nothing, so this is known of any model in a
fraction of a second, however large it is.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

# Operations whose output is their input under another shape or name, or that are computed once, if at all.
_ALIASES = {"Identity", "IdentityN", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "PreventGradient"}
_FREE = _ALIASES | {"Placeholder", "Const", "Shape", "ShapeN", "NoOp", "BroadcastGradientArgs"}


class Cost(NamedTuple):
    """The cost of one call.

    Attributes:
        memory: Bytes that are in use at once, at most, arguments and results among them.
        multiply_adds: Of convolutions and matrix products.
        traffic: Bytes that operations read and write.
        operations: How many operations run.
    """

    memory: int
    multiply_adds: int
    traffic: int
    operations: int


def cost_of(function: Callable, *specs: Any) -> Cost:
    """Return the cost of a call of `function`, without control flow, on tensors of the given specs, of known shapes."""
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    needed = _needed(graph)
    memory = _peak(graph, [*graph.inputs], needed)
    working = [op for op in needed if op.type not in _FREE]
    traffic = sum(_bytes(tensor) for op in working for tensor in (*op.inputs, *op.outputs))
    return Cost(memory, sum(map(_multiply_adds, working)), traffic, len(working))


def _needed(graph):
    """Return the operations that the results depend on, in an order in which they can run; the others are pruned."""
    found, pending = set(), [tensor.op for tensor in graph.outputs]
    while pending:
        op = pending.pop()
        if op not in found:
            found.add(op)
            pending += [tensor.op for tensor in op.inputs]
    return [op for op in graph.get_operations() if op in found]


def _peak(graph, inputs, order):
    """Return the most bytes in use at once where each tensor is freed after its last use."""
    root = {}  # a tensor's name -> that of the memory it lives in
    for op in order:
        for output in op.outputs:
            alias = op.type in _ALIASES and len(op.inputs)
            root[output.name] = root[op.inputs[0].name] if alias else output.name
    last = {root[tensor.name]: number for number, op in enumerate(order) for tensor in op.inputs}
    last |= {root[tensor.name]: len(order) for tensor in graph.outputs}
    live = {tensor.name: _bytes(tensor) for tensor in inputs}
    now = most = sum(live.values())
    for number, op in enumerate(order):
        for output in op.outputs:
            if root[output.name] == output.name and output.name not in live:
                live[output.name] = _bytes(output)
                now += live[output.name]
        most = max(most, now)
        for name in {root[tensor.name] for tensor in (*op.inputs, *op.outputs)}:
            if last.get(name, number) == number:
                now -= live.pop(name, 0)
    return most


def _bytes(tensor):
    return _size(tensor) * tensor.dtype.size


def _size(tensor):
    """Return the number of values of a tensor; 0 where it is not known, as of an operation's private memory."""
    return tensor.shape.num_elements() or 0


def _multiply_adds(op):
    kind = op.type
    if kind == "Conv2D":
        return _size(op.outputs[0]) * math.prod(op.inputs[1].shape[:3])
    if kind in ("Conv2DBackpropInput", "Conv2DBackpropFilter"):
        kernel = op.inputs[1] if kind == "Conv2DBackpropInput" else op.outputs[0]
        return _size(op.inputs[2]) * math.prod(kernel.shape[:3])
    if kind.startswith("DepthwiseConv2dNative"):
        kernel = op.outputs[0] if kind.endswith("Filter") else op.inputs[1]
        values = op.inputs[2] if "Backprop" in kind else op.outputs[0]
        return _size(values) * math.prod(kernel.shape[:2])
    if kind == "MatMul":
        return _size(op.outputs[0]) * op.inputs[0].shape[0 if op.get_attr("transpose_a") else 1]
    if kind.startswith("BatchMatMul"):
        return _size(op.outputs[0]) * op.inputs[0].shape[-2 if op.get_attr("adj_x") else -1]
    return 0
