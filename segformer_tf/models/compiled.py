"""An eager call of a model as one TensorFlow graph, which takes a quarter of the time and gives the same numbers.

The graph is traced at the first such call, for all sizes, and traced anew where anything about the layers is other than
it was: LoRA, `quantize`, dtype policies, other layers, frozen ones. It reads the variables, so assigned weights count.
Layers run op by op, as before, wherever a person may want to see them do so: in training, under a gradient tape, with
`run_eagerly`, in layers of other makers and in layers whose `call` was replaced. So do small pictures, which cost less
than a tracing, and what is called inside `op_by_op()` or where graphs are traced for something of their own, such as
`final_weights()`. Inside `as_graph()`, as pipelines call, size, tape and `run_eagerly` do not count.
"""

import contextlib
import contextvars
import functools
import math
import operator
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import keras

from segformer_tf.models import kernels, private

WORTH_TRACING = 2**14  # pixels of all pictures together: one of 128 x 128
OWN = ("keras.", "segformer_tf.")  # packages whose layers do nothing but compute

_wish: contextvars.ContextVar[str] = contextvars.ContextVar("wish", default="")  # "op by op", "graph"
_graphs: Any = weakref.WeakKeyDictionary()  # model -> (its state then, graphs by the fields that they give)
_making = threading.Lock()  # two halves of a batch ask for the same graph


def op_by_op() -> contextlib.AbstractContextManager[None]:
    """Calls inside trace no graph: one picture alone takes a third of the time so."""
    return _wished("op by op")


def as_graph() -> contextlib.AbstractContextManager[None]:
    """Calls inside are a graph whatever their size: others with the same graph follow."""
    return _wished("graph")


@contextlib.contextmanager
def _wished(how: str) -> Iterator[None]:
    before = _wish.set(how)
    try:
        yield
    finally:
        _wish.reset(before)


def fields_of(model: Any, pixel_values, training: bool | None, **wanted: bool) -> dict[str, Any]:
    """`model.network(pixel_values, training=training, **wanted)`, by a graph where that changes the time alone."""
    state = None if training or not _worthwhile(model, pixel_values) else _state(model)
    if state is None:
        return model.network(pixel_values, training=training, **wanted)
    key = tuple(wanted.items())
    with _making:
        known = _graphs.get(model)
        if known is None or len(known[0]) != len(state) or not all(map(operator.is_, known[0], state)):
            known = _graphs[model] = state, {}
        if key not in known[1]:
            known[1][key] = _traced(model, wanted)
        graph = known[1][key]
    return graph(pixel_values)


def _worthwhile(model: Any, pixel_values) -> bool:
    if keras.backend.backend() != "tensorflow" or _wish.get() == "op by op" or kernels.special():
        return False
    import tensorflow as tf

    if not tf.executing_eagerly() or private.in_stateless_scope():
        return False
    return _wish.get() == "graph" or (
        math.prod(pixel_values.shape) >= WORTH_TRACING * model.config.num_channels
        and not model.run_eagerly
        and not private.is_recorded()
        and not tf.distribute.has_strategy()
    )


def _state(model: Any) -> list[Any] | None:
    """All that the graph depends on, to be compared by identity; None where the layers must run one by one."""
    network = model.network
    # These lists are no layers' own, so that a layer put into one is known to nobody else.
    held = [part for stage in network.stages for part in (stage.patch_embeddings, *stage.blocks, stage.layer_norm)]
    layers = [layer for layer in private.parts_of(model) if layer is not model]
    state = [model.dtype_policy, bool(network.config.reshape_last_stage), *vars(network).values(), *held]
    kinds = {type(layer) for layer in [*layers, *held]}
    if not all(kind.__module__.startswith(OWN) for kind in kinds):
        return None
    state += sorted((kind.call for kind in kinds), key=id)
    for layer in layers:
        own = private.state_of(layer)
        if "call" in own or "__call__" in own or own.get("activity_regularizer") is not None:
            return None
        state += own.values()
    return state


def _traced(model: Any, wanted: dict[str, bool]) -> Any:
    import tensorflow as tf

    network: Any = weakref.ref(model.network)  # through its layers a graph would keep what it is kept by
    channels = model.config.num_channels
    shape = (channels, None, None) if model.data_format == "channels_first" else (None, None, channels)

    def run(pixel_values):
        return network()(pixel_values, training=False, **wanted)  # whatever the call around says

    signature = [tf.TensorSpec((None, *shape), tf.float32)]
    # TensorFlow counts tracings by code, and warns of five: a `partial` counts by itself, each model's its own.
    return tf.function(functools.partial(run), input_signature=signature, autograph=False)
