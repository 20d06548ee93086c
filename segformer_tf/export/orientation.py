"""How a JPEG or PNG file lies, told and mended inside a graph, which cannot ask Pillow, as Pillow does it."""

import tensorflow as tf

EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"  # how segments of a JPEG begin
PROFILE, PNG_XMP = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"  # how texts of a PNG begin
TOLD = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG in which an orientation may stand
LEAP = 32  # chunks of pixels that are passed at once
PACKED = 1 << 17  # bytes of a compressed text that are read: it may become a thousand times as long
UNITS = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0)  # bytes of a value, by its type in EXIF
IN_XMP = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'


def orientation(data: tf.Tensor) -> tf.Tensor:
    """A JPEG or PNG file, string () -> int32 (), 1 to 8, as its EXIF or else its XMP says; 1, upright, if none does.

    The number is one SHORT or LONG, as EXIF has it. Raises tf.errors.OpError where a PNG's text cannot be unpacked.
    """
    is_jpeg = tf.strings.substr(data, 0, 2) == b"\xff\xd8"
    exif, xmp = tf.cond(is_jpeg, lambda: _of_jpeg(data), lambda: _of_png(data))
    found = tf.cond(exif == b"", lambda: tf.constant(-1, tf.int64), lambda: _in_exif(exif))
    found = tf.cond((found < 0) & (xmp != b""), lambda: _in_xmp(xmp), lambda: found)
    return tf.where((found >= 2) & (found <= 8), tf.cast(found, tf.int32), 1)


def upright(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """(H, W, C) as a file has it -> as viewers show it: (W, H, C) from orientation 5 on."""

    def turn():
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(picture, (1, 0, 2)), lambda: picture)
        for axis, which in enumerate(([3, 4, 7, 8], [2, 3, 6, 7])):
            flipped = tf.reverse(turned, [axis])
            turned = tf.cond(tf.reduce_any(orientation == which), lambda now=flipped: now, lambda now=turned: now)
        return turned

    return tf.cond(orientation == 1, lambda: picture, turn)


def _of_jpeg(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """EXIF and XMP, by the segments before the pixels."""
    length = tf.strings.length(data)

    def more(place, *_):
        return place + 4 + len(XMP) <= length  # where less is left there are no pixels

    def step(place, exif, xmp):
        head = _octets(data, place, 4)
        begins, kind, size = head[0] == 0xFF, head[1], tf.cast(_number(head[2:]), tf.int32)

        def part(start):
            is_it = begins & (kind == 0xE1) & (tf.strings.substr(data, place + 4, len(start)) == start)
            count = tf.where(is_it, tf.maximum(size - 2 - len(start), 0), 0)
            return is_it, tf.strings.substr(data, place + 4 + len(start), count)

        _, more_exif = part(EXIF)
        is_xmp, new_xmp = part(XMP)
        alone = (kind == 0) | ((kind >= 0xD0) & (kind <= 0xD9))  # a marker without a length
        after = tf.where(alone, place + 2, tf.where(kind == 0xDA, length, place + 2 + tf.maximum(size, 2)))
        after = tf.where(begins & (kind != 0xFF), after, place + 1)  # what fills the space between segments
        return after, tf.strings.join([exif, more_exif]), tf.where(is_xmp, new_xmp, xmp)

    _, exif, xmp = tf.while_loop(more, step, (2, tf.constant(b""), tf.constant(b"")))
    return exif, xmp


def _of_png(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """EXIF and XMP, by the chunks, which may stand behind the pixels."""
    length, none = tf.strings.length(data), tf.constant(b"")

    def more(place, *_):
        return place + 8 <= length

    def step(place, exif, profile, xmp):
        head, left = tf.strings.substr(data, place, 8), length - place - 8
        size = tf.cast(tf.minimum(_number(_octets(head, 0, 4)), tf.cast(left, tf.int64)), tf.int32)
        kind, chunk = tf.strings.substr(head, 4, 4), 12 + size

        def take():
            body = tf.strings.substr(data, place + 8, size)
            is_profile, is_xmp = (tf.strings.substr(body, 0, len(key)) == key for key in (PROFILE, PNG_XMP))
            return (
                tf.where(kind == b"eXIf", body, exif),
                tf.cond(is_profile, lambda: _text(body, kind), lambda: profile),
                tf.cond(is_xmp, lambda: _text(body, kind), lambda: xmp),
            )

        found = tf.cond(tf.reduce_any(kind == TOLD), take, lambda: (exif, profile, xmp))
        far = place + LEAP * tf.minimum(chunk, (length - place) // LEAP)
        same = (kind == b"IDAT") & (tf.strings.substr(data, far, 8) == head)  # pixels are chunks of one size in a row
        return (tf.where(same, far, place + chunk), *found)

    _, exif, profile, xmp = tf.while_loop(more, step, (8, none, none, none))
    return tf.cond((exif == b"") & (profile != b""), lambda: _from_hex(profile), lambda: exif), xmp


def _text(body: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """What a chunk of text says after its keyword."""
    value = _without(body, r"[^\x00]*\x00")
    packed = (kind == b"zTXt") | ((kind == b"iTXt") & (tf.strings.substr(value, 0, 1) == b"\x01"))
    value = tf.where(kind == b"iTXt", _without(value, r"\C\C[^\x00]*\x00[^\x00]*\x00"), value)
    value = tf.where(kind == b"zTXt", _without(value, r"\C"), value)
    unpacked = packed & (tf.strings.length(value) <= PACKED)
    return tf.cond(
        unpacked, lambda: tf.io.decode_compressed(value, "ZLIB"), lambda: tf.where(packed, tf.constant(b""), value)
    )


def _from_hex(profile: tf.Tensor) -> tf.Tensor:
    """The bytes that stand in a text as hexadecimal digits, below three lines."""
    digits = tf.strings.regex_replace(_without(profile, r"[^\n]*\n[^\n]*\n[^\n]*\n"), r"[^0-9a-fA-F]", "")
    values = tf.cast(tf.io.decode_raw(tf.strings.lower(digits), tf.uint8), tf.int32)
    values -= tf.where(values < ord("a"), ord("0"), ord("a") - 10)
    pairs = tf.reshape(values[: tf.size(values) // 2 * 2], (-1, 2))
    octets = tf.gather(tf.constant([bytes([value]) for value in range(256)]), pairs[:, 0] * 16 + pairs[:, 1])
    return tf.strings.reduce_join(octets)


def _in_exif(exif: tf.Tensor) -> tf.Tensor:
    """The number of the first directory's first orientation, int64 (); -1 where it has none."""
    exif = _without(exif, r"(?:Exif\x00\x00){1,2}")
    order = tf.strings.substr(exif, 0, 4)
    little = (order == b"II*\0") | (order == b"II\0*")
    known = little | (order == b"MM\0*") | (order == b"MM*\0")
    size = tf.cast(tf.strings.length(exif), tf.int64)
    data = tf.concat([tf.io.decode_raw(exif, tf.uint8), tf.zeros(8, tf.uint8)], 0)
    start = _number(tf.ensure_shape(data[4:8], (4,)), little)
    start = tf.where(known & (start + 2 <= size), start, size)
    count = _number(tf.ensure_shape(data[start : start + 2], (2,)), little)
    count = tf.maximum(tf.minimum(count, (size - start - 2) // 12), 0)
    entries = tf.reshape(data[start + 2 : start + 2 + 12 * count], (-1, 12))
    tag, kind, amount = (_number(entries[:, begin:end], little) for begin, end in ((0, 2), (2, 4), (4, 8)))
    short, long = (_number(entries[:, 8:end], little) for end in (10, 12))
    # Pillow stops at an entry whose values, which are elsewhere if they are over 4 bytes, lie behind the end.
    length = amount * tf.gather(tf.constant(UNITS, tf.int64), tf.minimum(kind, len(UNITS) - 1))
    elsewhere = tf.where(length > 4, length, 0)
    stops = (length > 4) & (tf.cumsum(elsewhere) <= size) & (long + length > size)
    right = (tag == 0x0112) & (amount == 1) & ((kind == 3) | (kind == 4)) & (tf.cumsum(tf.cast(stops, tf.int32)) == 0)
    found = tf.boolean_mask(tf.where(kind == 3, short, long), right)
    return tf.concat([found, tf.constant([-1], tf.int64)], 0)[0]


def _in_xmp(xmp: tf.Tensor) -> tf.Tensor:
    """As `_in_exif`."""
    digit = tf.strings.regex_replace(xmp, IN_XMP, r"\1", replace_global=False)
    return tf.cond(
        tf.strings.regex_full_match(xmp, IN_XMP),
        lambda: tf.strings.to_number(digit, tf.int64),
        lambda: tf.constant(-1, tf.int64),
    )


def _without(text: tf.Tensor, start: str) -> tf.Tensor:
    return tf.strings.regex_replace(text, "^" + start, "", replace_global=False)


def _octets(data: tf.Tensor, start: tf.Tensor | int, count: int) -> tf.Tensor:
    return tf.ensure_shape(tf.io.decode_raw(tf.strings.substr(data, start, count), tf.uint8), (count,))


def _number(octets: tf.Tensor, little: tf.Tensor | bool = False) -> tf.Tensor:
    """uint8 (..., n) -> int64 (...)."""
    places = [256**place for place in range(octets.shape[-1])]
    weights = tf.where(little, tf.constant(places, tf.int64), tf.constant(places[::-1], tf.int64))
    return tf.reduce_sum(tf.cast(octets, tf.int64) * weights, -1)
