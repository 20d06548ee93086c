"""Many pictures on many machines: `segment_many` on Ray Data, `BeamHandler` for Apache Beam's RunInference."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Late: both engines are extras, and take seconds to load.
    if name == "BeamHandler":
        from segformer_tf.batch.on_beam import BeamHandler

        return BeamHandler
    if name == "segment_many":
        from segformer_tf.batch.on_ray import segment_many

        return segment_many
    raise AttributeError(
        f"segformer_tf.batch has no attribute {name!r}; its public names are BeamHandler, segment_many."
    )
