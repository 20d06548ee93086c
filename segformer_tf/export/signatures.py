"""What an exported model answers: named TensorFlow functions, with all steps from file to label map in the graph."""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from segformer_tf.bounds import SMALLEST_SIDE, smallest_side
from segformer_tf.export.arguments import MAX_PIXELS, check_resized
from segformer_tf.export.picture_bytes import MIN_SIDE, read_picture
from segformer_tf.images.postprocess import label_map
from segformer_tf.models.base import SegformerBase
from segformer_tf.models.kernels import final_weights
from segformer_tf.models.network import from_boundary, to_boundary
from segformer_tf.models.outputs import ALONE
from segformer_tf.models.tasks import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
from segformer_tf.pipelines.runtimes.description import Description

TOP = 5  # classes in a classifier's answer
MAX_PICTURES = 64  # a run; what a server merges counts as one
MAX_TENSOR_PIXELS = 4_194_304  # a picture that comes as numbers, and so may run at its own size: 2048 x 2048


def build(
    model: SegformerBase,
    processor: Any,
    names: Iterable[str] | None = None,
    labels_at: str = "map",
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Any]:
    """The concrete functions of a segmentation or classification model, by signature name; all when `names` is None.

    Segmentation: `serving_default`, `segment_tensor`, `logits`, `transformers`; classification the same without the
    second. Models of other than 3 channels cannot take files, and have no `serving_default`.

    Args:
        labels_at: The size of `serving_default`'s `labels`: "map" (the model's output, a quarter of its input a side)
            or "input" (the model's input).

    Raises:
        ValueError: No signature, one that the model does not have, another `labels_at`, or a processor that makes
            pictures too small for the model.
    """
    if labels_at not in ("map", "input"):
        raise ValueError(f'labels_at is {labels_at!r}, expected "map" or "input": choose one of these.')
    check_resized(processor, smallest_side(model.config))
    run = _shared(model)
    if isinstance(model, TFSegformerForSemanticSegmentation):
        makers = _segmentation(model, run, processor, labels_at, max_pixels)
    elif isinstance(model, TFSegformerForImageClassification):
        makers = _classification(model, run, processor, max_pixels)
    else:
        raise ValueError(f"The model is a {type(model).__name__}, expected one with a segmentation or classifier head.")
    if model.config.num_channels != 3:
        makers = {name: maker for name, maker in makers.items() if name != "serving_default"}
    chosen = list(makers if names is None else names)
    if processor.value_range and "serving_default" in chosen:
        raise ValueError(
            f"The processor has value_range={processor.value_range}, which a graph cannot do: leave serving_default "
            "out, or stretch pictures to 8 bits before they are sent."
        )
    if unknown := sorted(set(chosen) - set(makers)):
        raise ValueError(f"There is no signature {', '.join(unknown)}, expected some of {', '.join(makers)}.")
    if not chosen:
        raise ValueError(f"names is empty, expected some of {', '.join(makers)}: leave it out for all of them.")
    with final_weights():
        return {name: makers[name]() for name in chosen}


def _segmentation(model, run: Callable, processor, labels_at: str, max_pixels: int) -> dict[str, Callable]:
    read = _reader(model, processor, max_pixels)
    kind = tf.uint8 if model.config.num_labels <= 256 else tf.uint16
    channels = model.config.num_channels

    def labels_of(logits, size):  # (B, h, w, num_labels) -> (B, *size)
        return tf.cast(label_map(logits, size), kind)

    def mask(logits, size, error):  # (h, w, num_labels) -> PNG
        png = lambda: tf.io.encode_png(tf.expand_dims(labels_of(logits[tf.newaxis], size)[0], -1))  # noqa: E731
        return tf.cond(error == "", png, lambda: tf.constant(b""))

    def segment_batch(image_bytes):
        pixel_values, sizes, errors = _read_batch(image_bytes, processor, read)
        logits = run(pixel_values)
        masks = tf.map_fn(lambda each: mask(*each), (logits, sizes, errors), fn_output_signature=tf.string)
        size = tf.shape(pixel_values if labels_at == "input" else logits)[1:3]
        return {"labels": labels_of(logits, size), "mask_bytes": masks, "error": errors}

    def segment_one_by_one(image_bytes):
        def one(data):
            picture, error = read(data)
            logits = run(processor.preprocess_tensor(picture)[tf.newaxis])
            return mask(logits[0], tf.shape(picture)[:2], error), error

        masks, errors = tf.map_fn(one, image_bytes, fn_output_signature=(tf.string, tf.string))
        return {"mask_bytes": masks, "error": errors}

    def segment_tensor(images):
        with tf.control_dependencies(_check_sides(images, "images", 1)):
            pixel_values = processor.preprocess_tensor(tf.identity(images))
        return {"labels": labels_of(run(pixel_values), tf.shape(images)[1:3])}

    from_bytes = segment_batch if processor.fixed_size else segment_one_by_one
    return {
        "serving_default": lambda: _from_bytes(from_bytes),
        "segment_tensor": lambda: _from_tensor(segment_tensor, "images", (None, None, None, channels), tf.uint8),
        **_plain(model, run),
    }


def _classification(model, run: Callable, processor, max_pixels: int) -> dict[str, Callable]:
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    read = _reader(model, processor, max_pixels)
    several = model.config.problem_type == "multi_label_classification" or len(names) == 1

    temperature = Description.of_model(model).temperature

    def top(logits):
        logits = logits if temperature == 1 else logits / temperature
        scores, ids = tf.math.top_k(tf.sigmoid(logits) if several else tf.nn.softmax(logits), min(TOP, len(names)))
        return {"classes": tf.gather(tf.constant(names), ids), "scores": scores}

    def classify_batch(image_bytes):
        pixel_values, _, errors = _read_batch(image_bytes, processor, read)
        return {**top(run(pixel_values)), "error": errors}

    def classify_one_by_one(image_bytes):
        def one(data):
            picture, error = read(data)
            return run(processor.preprocess_tensor(picture)[tf.newaxis])[0], error

        specs = (tf.TensorSpec((len(names),), tf.float32), tf.TensorSpec((), tf.string))
        logits, errors = tf.map_fn(one, image_bytes, fn_output_signature=specs)
        return {**top(logits), "error": errors}

    from_bytes = classify_batch if processor.fixed_size else classify_one_by_one
    return {"serving_default": lambda: _from_bytes(from_bytes), **_plain(model, run)}


def _plain(model, run: Callable) -> dict[str, Callable]:
    """The signatures that take normalised pixels: `logits` channels-last, `transformers` channels-first."""
    channels = model.config.num_channels

    def logits(pixel_values):
        with tf.control_dependencies(_check_sides(pixel_values, "pixel_values", 1)):
            return {"logits": run(tf.identity(pixel_values))}

    def transformers(pixel_values):
        with tf.control_dependencies(_check_sides(pixel_values, "pixel_values", 2)):
            logits = run(from_boundary(tf.identity(pixel_values), "channels_first"))
        return {"logits": to_boundary(logits, "channels_first") if logits.shape.rank == 4 else logits}

    last, first = (None, None, None, channels), (None, channels, None, None)
    return {
        "logits": lambda: _from_tensor(logits, "pixel_values", last, tf.float32),
        "transformers": lambda: _from_tensor(transformers, "pixel_values", first, tf.float32),
    }


def _shared(model) -> Callable:
    """Channels-last pixels -> channels-last logits, whatever the model's layout; one copy serves all signatures."""

    def logits(pixel_values):
        logits = model(to_boundary(pixel_values, model.data_format), training=False, **ALONE)["logits"]
        return from_boundary(logits, model.data_format) if logits.shape.rank == 4 else logits

    spec = tf.TensorSpec((None, None, None, model.config.num_channels), tf.float32)
    return tf.function(logits, input_signature=[spec], autograph=False)


def _reader(model, processor, max_pixels: int) -> Callable:
    """A file -> its pixels and error text; refused where the model does not take it as the processor makes it."""
    if processor.fixed_size:
        least, edge = MIN_SIDE, None
    elif processor.do_resize:
        least, edge = SMALLEST_SIDE, processor.size["shortest_edge"]
    else:
        least, edge = smallest_side(model.config), None

    def read(data):
        return read_picture(data, max_pixels, least, processor.do_exif_transpose is not False, edge)

    return read


def _read_batch(image_bytes, processor, read: Callable) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(B,) files of any sizes -> pixel_values (B, h, w, 3), sizes (B, 2), error texts (B,)."""

    def one(data):
        picture, error = read(data)
        return processor.preprocess_tensor(picture), tf.shape(picture)[:2], error

    specs = (
        tf.TensorSpec((*processor.fixed_size, 3), tf.float32),
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((), tf.string),
    )
    return tf.map_fn(one, image_bytes, fn_output_signature=specs)


def _check_sides(pixels: tf.Tensor, name: str, first_side: int) -> list[tf.Operation]:
    """What stops a run whose pictures, which all have one size, are empty or too large; the model stops small ones."""
    sides = tf.shape(pixels, tf.int64)[first_side : first_side + 2]
    empty = f"{name} have a side of no pixels: send a picture."
    large = (
        f"{name} have over {MAX_TENSOR_PIXELS} pixels a picture, or over {8 * MAX_TENSOR_PIXELS} in all, which are the "
        "limits: send smaller or fewer pictures."
    )
    # A side is compared before sides are multiplied: two of 2^32 make 0. Eight pictures that are merged always fit.
    area, count = tf.reduce_prod(sides), tf.shape(pixels, tf.int64)[0]
    fits = tf.reduce_all(sides <= MAX_TENSOR_PIXELS) & (area <= MAX_TENSOR_PIXELS)
    fits &= count * tf.minimum(area, MAX_TENSOR_PIXELS) <= 8 * MAX_TENSOR_PIXELS
    return [
        tf.debugging.assert_positive(sides, empty),
        tf.debugging.Assert(fits, [large]),
    ]


def _from_bytes(answer: Callable):
    return _from_tensor(answer, "image_bytes", (None,), tf.string)


def _from_tensor(answer: Callable, name: str, shape: tuple, dtype: tf.DType):
    def checked(batch):
        count = tf.shape(batch)[0]
        empty = f"{name} is an empty batch, expected at least one: leave the request out."
        many = f"{name} has over {MAX_PICTURES} pictures, which is the limit: send them in several requests."
        checks = [
            tf.debugging.assert_positive(count, empty),
            tf.debugging.assert_less_equal(count, MAX_PICTURES, many),
        ]
        with tf.control_dependencies(checks):
            return answer(tf.identity(batch))

    spec = tf.TensorSpec(shape, dtype, name)
    return tf.function(checked, input_signature=[spec], autograph=False).get_concrete_function()
