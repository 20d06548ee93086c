"""What values a configuration may have.

The largest are far beyond any SegFormer: they keep a stranger's file from asking for all the memory there is.
"""

import json
from typing import Any

SMALLEST_SIDE = 32  # pixels of the smallest picture that a model of the paper's strides and reductions takes

# transformers' names of activations that a SegFormer config may carry; what each is stands in models/kernels/plain.py.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh", "sigmoid")
PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")
CLASSES = ("num_labels", "id2label", "label2id")  # None there: as they are; of any other key it is a value

MOST = {"num_encoder_blocks": 16, "num_channels": 4096, "decoder_hidden_size": 16384, "num_labels": 100_000}
_PER_STAGE = {
    "depths": 256,
    "sr_ratios": 64,
    "hidden_sizes": 8192,
    "patch_sizes": 64,
    "strides": 64,
    "num_attention_heads": 1024,
    "mlp_ratios": 64,
}
_MOST_SMALLEST = 4096  # pictures are filled up to what a model takes
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob", "drop_path_rate")
_SMALL = ("initializer_range", "layer_norm_eps", "encoder_norm_eps")
_SWITCHES = {"reshape_last_stage": True, "output_attentions": False, "output_hidden_states": False, "return_dict": True}


def check(config: Any) -> None:
    """ValueError for a value that no SegFormer can have, which names the key, the value and what was expected."""

    def expect(ok: bool, key: str, expected: str) -> None:
        if not ok:
            raise ValueError(f"{key} is {getattr(config, key)!r:.300}, expected {expected}: correct this key.")

    for key, most in MOST.items():
        expect(is_whole(getattr(config, key), most), key, f"a whole number of at least 1 and at most {most}")
    stages = config.num_encoder_blocks
    for key, most in _PER_STAGE.items():
        values = getattr(config, key)
        one_each = isinstance(values, list) and len(values) == stages
        expect(one_each, key, f"a list of num_encoder_blocks = {stages} numbers")
        if key == "mlp_ratios":
            expect(all(_number(v) and 0 < v <= most for v in values), key, f"numbers above 0 and at most {most}")
        else:
            within = all(is_whole(value, most) for value in values)
            expect(within, key, f"whole numbers of at least 1 and at most {most}")
    smallest = smallest_side(config)
    wanted = (
        f"ones that a picture of {_MOST_SMALLEST} pixels a side is large enough for (with these strides {smallest})"
    )
    expect(smallest <= _MOST_SMALLEST, "sr_ratios", wanted)
    for size, heads in zip(config.hidden_sizes, config.num_attention_heads, strict=True):
        wanted = f"numbers that divide hidden_sizes = {config.hidden_sizes} ({heads} does not divide {size})"
        expect(size % heads == 0, "num_attention_heads", wanted)
    wide = all(int(size * ratio) for size, ratio in zip(config.hidden_sizes, config.mlp_ratios, strict=True))
    expect(wide, "mlp_ratios", f"numbers that leave a unit or more of hidden_sizes = {config.hidden_sizes}")
    for key in ("merge_queries", "merge_keys"):
        merged = getattr(config, key)
        numbered = not merged or (isinstance(merged, list) and all(is_whole(number, stages) for number in merged))
        expect(numbered, key, f"a list of stages' numbers, 1 to {stages}")
    expect(config.hidden_act in ACTIVATIONS, "hidden_act", f"one of {', '.join(ACTIVATIONS)}")
    expect(config.problem_type in PROBLEM_TYPES, "problem_type", f"one of {PROBLEM_TYPES}")
    for key in _RATES:
        rate = getattr(config, key)
        expect(_number(rate) and 0 <= rate < 1, key, "a rate from 0 up to, not including, 1")
    for key in _SMALL:
        expect(_number(getattr(config, key)) and 0 <= getattr(config, key) <= 1, key, "a number from 0 to 1")
    for key in _SWITCHES:
        expect(isinstance(getattr(config, key), bool), key, "true or false")
    ignored = "semantic_loss_ignore_index"
    expect(type(getattr(config, ignored)) is int, ignored, "a whole number")


def stored(key: str, value: Any) -> Any:
    """A value of a key as a file has it, in the types that transformers 5 insists on; a switch of None is as usual."""
    value = plain(value)
    if key in _SWITCHES:
        value = _SWITCHES[key] if value is None else value
        return bool(value) if value in (0, 1) else value
    if key in _SMALL:
        return float(value) if type(value) is int and value in (0, 1) else value
    if key in ("merge_queries", "merge_keys"):
        return value or None  # []: no stage
    if key == "mlp_ratios" and isinstance(value, list):
        return [int(each) if isinstance(each, float) and each.is_integer() else each for each in value]
    return _names(value) if key == "id2label" else value


def smallest_side(config: Any) -> int:
    """Pixels of the smallest side of a picture whose map in every stage has room for the stage's `sr_ratio`.

    At least 32, which is what the paper's strides and ratios need. TensorFlow does not refuse a kernel that is larger
    than its map where it sees the sizes only as it runs: it answers with memory that nobody has written to.
    """
    side = 1
    for ratio, stride, patch in list(zip(config.sr_ratios, config.strides, config.patch_sizes, strict=True))[::-1]:
        side = max((max(side, ratio) - 1) * stride + patch % 2, 1)  # padded by patch // 2 at both ends
    return max(side, SMALLEST_SIDE)


def plain(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, NumPy's numbers and arrays as Python's own."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def from_text(key: str, text: str, old: Any, may_be_none: bool) -> Any:
    """What a text says of a key whose value is `old`, as transformers' configurations read it.

    ValueError where it is of another type.
    """
    try:
        value = _switch(text) if isinstance(old, bool) else json.loads(text)
    except ValueError:
        value = text
    value = float(value) if type(old) is float and type(value) is int else value
    if old is None or type(value) is type(old) or (value is None and may_be_none):
        return value
    raise ValueError(f"{key} is {text!r}, expected a {type(old).__name__} such as {old!r}: correct it.")


def _switch(text: str) -> bool | str:
    yes, no = ("true", "1", "y", "yes"), ("false", "0", "n", "no")
    return text.lower() in yes if text.lower() in yes + no else text


def is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def names_by_id(id2label: Any, label2id: Any) -> dict[int, str]:
    """The names of the classes by id, of one of the two (the other is None) or of both; ValueError if they differ."""
    ids = {} if label2id is None else _pairs("label2id", label2id, str, int)
    if id2label is None:
        names = {i: name for name, i in ids.items()}
        if names.keys() != set(range(max(len(ids), 1))):
            wanted = f"every id from 0 to {max(len(ids), 1) - 1} once"
            raise ValueError(f"label2id is {label2id!r:.300}, expected {wanted}: correct this key.")
        return names
    names = _names(id2label)
    same = ids.keys() == {*names.values()} and all(names.get(i) == name for name, i in ids.items())
    if label2id is not None and not same:
        wanted = f"the ids of id2label = {names!r:.300}"
        raise ValueError(f"label2id is {label2id!r:.300}, expected {wanted}: leave label2id out.")
    return names


def overridden(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The keys of a parsed `config.json`, in which `overrides` replace others, and new classes all that it has.

    Its own classes are those of `id2label`; of `num_labels` without that; of `label2id` where nothing else says them.
    """
    named, ids = values.get("id2label"), values.get("label2id")
    left_out = {"model_type", "label2id", *(("num_labels",) if named is not None else ())}
    given = {key for key in CLASSES if overrides.get(key) is not None}
    same_number = not isinstance(named or {}, dict) or len(named or ()) == overrides.get("num_labels")
    if given and not (given == {"num_labels"} and same_number):
        left_out |= {*CLASSES}
    merged = {k: v for k, v in values.items() if k not in left_out}
    merged |= {k: v for k, v in overrides.items() if v is not None or k not in CLASSES}
    alone = named is None and not given and isinstance(ids, dict) and values.get("num_labels") in (None, len(ids))
    if alone and ids:
        merged["label2id"] = ids
    return merged


def contradictions(names: dict[int, str], num_labels: Any, label2id: Any) -> list[str]:
    """What else a file says of its classes that is not what `id2label` says: transformers writes such files."""
    found = []
    if num_labels not in (None, len(names)):
        found.append(f"num_labels is {num_labels!r:.100}, expected {len(names)} as id2label names")
    try:
        names_by_id(names, label2id or None)
    except ValueError as error:
        found.append(str(error).rpartition(": ")[0])
    return found


def _names(id2label: Any) -> dict[int, str]:
    names = _pairs("id2label", id2label, int, str)
    last = max(len(names) - 1, 0)
    if names.keys() != set(range(last + 1)):
        wanted = f"one name for every id from 0 to {last}"
        raise ValueError(f"id2label is {id2label!r:.300}, expected {wanted}: correct this key.")
    return names


def _pairs(key: str, given: Any, first: Any, second: Any) -> dict[Any, Any]:
    try:
        return {first(one): second(other) for one, other in given.items()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{key} is {given!r:.300}, expected class ids and names as an object: correct this key."
        ) from None
