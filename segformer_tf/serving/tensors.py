"""Requests' values -> arrays, each looked at before it is built: TensorProtos over gRPC, JSON over REST; and back."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from segformer_tf.serving.limits import Limits
from segformer_tf.serving.servable import Claim, InvalidRequest, Servable

DEEPEST = 8  # nested lists in JSON; numpy takes 32


def read_protos(signature: str, protos: Mapping, servable: Servable, limits: Limits) -> dict[str, np.ndarray]:
    """TensorProtos by name -> arrays, built only where names, types, shapes and sizes are those of the signature.

    Raises:
        InvalidRequest: They are not, or the values do not fill their shape.
    """
    claims = {key: _claim(key, proto) for key, proto in protos.items()}
    servable.check(signature, claims)
    limits.check(servable.signature(signature).inputs, claims)
    arrays = {}
    for key, proto in protos.items():
        count = int(np.prod(claims[key].shape, dtype=object))
        if claims[key].dtype == tf.string and len(proto.string_val) != count:
            raise InvalidRequest(f"{key} has {len(proto.string_val)} values, expected {count}, as its shape says.")
        try:
            arrays[key] = tf.make_ndarray(proto)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidRequest(f"{key} is not a tensor that can be read: {error}.") from None
    return arrays


def _claim(key: str, proto) -> Claim:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise InvalidRequest(f"{key} has no shape, expected one whose sizes are known.")
    try:
        return Claim(tf.dtypes.as_dtype(proto.dtype), shape)
    except TypeError:
        raise InvalidRequest(f"{key} has type {proto.dtype}, which is none of TensorFlow's.") from None


def read_json(body: bytes, servable: Servable) -> tuple[str, dict[str, np.ndarray], bool]:
    """A request's body -> (signature name, inputs by name, whether it came in rows).

    Raises:
        InvalidRequest: Not such a body, or values that the signature's types do not hold.
    """
    try:
        values = json.loads(body)
    except ValueError as error:  # also UnicodeDecodeError
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidRequest("The body is JSON nested too deeply: expected lists as deep as the tensor.") from None
    if not isinstance(values, dict) or ("instances" in values) == ("inputs" in values):
        raise InvalidRequest('The body is expected to be an object with one of "instances" and "inputs".')
    name = values.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidRequest(f"signature_name is a {type(name).__name__}, expected a text.")
    infos = servable.signature(name).inputs
    rows = "instances" in values
    columns = _columns_of_rows(values["instances"], infos) if rows else _columns(values["inputs"], infos)
    return name, {key: _array(key, value, infos) for key, value in columns.items()}, rows


def write_json(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Outputs by name -> `{"predictions": [...]}` for rows, `{"outputs": ...}` for columns.

    JSON has no word for a NaN or an infinity: they are written as null.
    """
    if rows:
        count = len(next(iter(outputs.values())))
        single = len(outputs) == 1
        texts = []  # one row at a time: a large answer as Python objects takes thirty times its size
        for i in range(count):
            row = {key: _plain(key, value[i : i + 1])[0] for key, value in outputs.items()}
            texts.append(json.dumps(next(iter(row.values())) if single else row))
        return f'{{"predictions": [{", ".join(texts)}]}}'.encode()
    columns = {key: _plain(key, value) for key, value in outputs.items()}
    return json.dumps({"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}).encode()


def _columns_of_rows(instances: Any, infos) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest('"instances" is expected to be a list of at least one row.')
    if not all(isinstance(row, dict) and set(row) == set(infos) for row in instances):
        named = [row for row in instances if isinstance(row, dict) and not _is_b64(row)]
        if len(infos) == 1 and named:
            found = ", ".join(map(repr, named[0]))[:80] or "nothing"
            raise InvalidRequest(f'A row of "instances" has {found}, expected {next(iter(infos))!r} alone: rename it.')
        if len(infos) == 1:  # the one input's values themselves, without its name
            return {next(iter(infos)): instances}
        raise InvalidRequest(f'Every row of "instances" is expected to be an object with {", ".join(infos)}.')
    return {key: [row[key] for row in instances] for key in infos}


def _columns(inputs: Any, infos) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_b64(inputs):
        return inputs
    if len(infos) != 1:
        raise InvalidRequest(f'"inputs" is expected to be an object with {", ".join(infos)}.')
    return {next(iter(infos)): inputs}


def _array(key: str, value: Any, infos) -> np.ndarray:
    if key not in infos:
        raise InvalidRequest(f"There is no input {key[:40]!r}, expected {', '.join(infos)}.")
    dtype = tf.dtypes.as_dtype(infos[key].dtype)
    if dtype == tf.string:
        return _texts(key, value)
    try:
        found = np.array(value)
    except (ValueError, OverflowError, RecursionError) as error:
        if "inhomogeneous" in str(error):
            words = "has lists of different lengths, expected equal ones: resize or pad the pictures"
            raise InvalidRequest(f"{key} is not a tensor of {dtype.name}: it {words}.") from None
        raise InvalidRequest(f"{key} is not a tensor of {dtype.name}: {error}.") from None
    if found.size and found.dtype.kind not in ("iu" if dtype.is_integer else "iuf"):
        raise InvalidRequest(f"{key} holds {found.dtype.name} values, expected {dtype.name}.")
    with np.errstate(over="ignore", invalid="ignore"):
        array = found.astype(dtype.as_numpy_dtype)
    if dtype.is_integer and not np.array_equal(array, found):
        raise InvalidRequest(f"{key} has values from {found.min()} to {found.max()}, which {dtype.name} does not hold.")
    return array


def _texts(key: str, value: Any) -> np.ndarray:
    """Nested lists of texts and {"b64": text} -> an object array of bytes; all of one depth and of equal lengths."""
    shape, level = [], [value]
    while len(shape) < DEEPEST and level and all(isinstance(each, list) for each in level):
        if len({len(each) for each in level}) > 1:
            break
        shape.append(len(level[0]))
        level = [inner for each in level for inner in each]
    array = np.empty(len(level), object)
    array[:] = [_bytes(key, each) for each in level]
    return array.reshape(shape)


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _bytes(key: str, value: Any) -> bytes:
    if _is_b64(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError as error:  # also binascii.Error
            raise InvalidRequest(f'A "b64" value is not base64: {error}.') from None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    said = repr(value) if isinstance(value, (int, float, type(None))) else f"a {type(value).__name__}"
    raise InvalidRequest(f'A value of {key} is {said}, expected a text or {{"b64": text}}.')


def _plain(key: str, value: np.ndarray) -> list:
    if value.dtype != object:
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return np.where(np.isfinite(value), value, np.array(None)).tolist()
        return value.tolist()
    if key.endswith("_bytes"):
        return [{"b64": base64.b64encode(each).decode()} for each in value]
    texts = np.frompyfunc(lambda each: each.decode("utf-8", "replace"), 1, 1)(value)
    return texts.tolist()
