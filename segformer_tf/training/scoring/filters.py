"""What corruptions are made of, in numpy: SciPy's and OpenCV's filters, rounded as they round.

Neither is a package that training needs, and scores on corrupted pictures should not change with their versions.
"""

import math

import numpy as np


def gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W) or (H, W, C) blurred over rows and columns; beside the picture its edge goes on. As `scipy.ndimage`."""
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = values.shape[axis]
        around = [(radius, radius) if i == axis else (0, 0) for i in range(values.ndim)]
        wide = np.moveaxis(np.pad(values.astype(np.float64, copy=False), around, "edge"), axis, 0)
        blurred = wide[radius : radius + length] * weights[radius]
        for i in range(radius):  # SciPy adds from the outside in, two by two
            blurred += (wide[i : i + length] + wide[2 * radius - i : 2 * radius - i + length]) * weights[i]
        values = np.moveaxis(blurred, 0, axis).astype(values.dtype)
    return values


def mirrored(values: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) with `reach` more rows and columns around, mirrored at the outermost ones: OpenCV's usual border."""
    return np.pad(values, reach, "reflect")


def around(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(H, W) correlated with a kernel of 3 x 3."""
    wide = mirrored(values, 1)
    height, width = values.shape
    parts = [kernel[r, c] * wide[r : r + height, c : c + width] for r in range(3) for c in range(3) if kernel[r, c]]
    return np.add.reduce(parts)


def with_disk(values: np.ndarray, radius: int, blur: float) -> np.ndarray:
    """(H, W) correlated with a disk whose rim is softened, by Fourier transform, as OpenCV does for large kernels."""
    reach = max(radius, 8)
    side = np.arange(-reach, reach + 1)
    disk = (side**2 + side[:, np.newaxis] ** 2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    half = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * blur**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (1, 0):  # in single precision, two by two from the middle out, as OpenCV adds
        wide = np.moveaxis(np.pad(disk, half, "reflect"), axis, 0)
        wide = wide[:, half:-half]
        soft = wide[half : half + len(disk)] * weights[half]
        for i in range(1, half + 1):
            pair = wide[half + i : half + i + len(disk)] + wide[half - i : half - i + len(disk)]
            soft = soft + pair * weights[half + i]
        disk = np.moveaxis(soft, 0, axis)
    size = len(disk)
    wide = mirrored(values, reach)
    shape = [side + size - 1 for side in wide.shape]  # the disk is its own mirror image: to convolve is to correlate
    product = np.fft.rfft2(wide, shape) * np.fft.rfft2(disk.astype(np.float64), shape)
    height, width = values.shape
    return np.fft.irfft2(product, shape)[2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]


def moved(values: np.ndarray, length: int, sigma: float, angle: float) -> np.ndarray:
    """(H, W) or (H, W, C) as if the camera had moved: copies shifted along `angle` (degrees), ever fainter."""
    weights = np.exp(-(np.arange(length) ** 2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
    weights = weights / weights.sum()
    down, across = length * np.sin(np.deg2rad(angle)), length * np.cos(np.deg2rad(angle))
    far = math.hypot(down, across)
    total = np.zeros(values.shape, np.float64)
    for i, weight in enumerate(weights):
        dy, dx = (-math.ceil(i * side / far - 0.5) for side in (down, across))
        if abs(dy) >= values.shape[0] or abs(dx) >= values.shape[1]:
            break
        total = total + weight * _shifted(_shifted(values, dx, 1), dy, 0)
    return total


def _shifted(values: np.ndarray, step: int, axis: int) -> np.ndarray:
    """Moved along an axis; what is laid open is filled with the edge."""
    length = values.shape[axis]
    return np.take(values, np.clip(np.arange(length) - step, 0, length - 1), axis) if step else values


def zoomed(values: np.ndarray, factor: float) -> np.ndarray:
    """The middle of (H, W), enlarged linearly to its size or a little more. As `scipy.ndimage.zoom` of order 1."""
    for axis, side in enumerate(values.shape):
        count = math.ceil(side / factor)
        middle = np.take(values, range((side - count) // 2, (side - count) // 2 + count), axis)
        out = round(count * factor)
        place = np.arange(out) * ((count - 1) / (out - 1))
        before = np.minimum(np.floor(place).astype(int), count - 1)
        weight = (place - before)[(slice(None), np.newaxis)[:: 1 - 2 * axis]]
        after = np.minimum(before + 1, count - 1)
        values = np.take(middle, before, axis) * (1 - weight) + np.take(middle, after, axis) * weight
        outside = place > count - 1  # by rounding alone; SciPy has zeros there
        values[(slice(None),) * axis + (outside,)] = 0
    return values


def edges(values: np.ndarray, low: int, high: int) -> np.ndarray:
    """Canny's edges of uint8 (H, W): True on them. As OpenCV's `Canny` with its defaults, in whole numbers."""
    wide = np.pad(values.astype(np.int64), 1, "edge")
    height, width = values.shape

    def at(row: int, column: int) -> np.ndarray:
        return wide[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    across = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1)
    down = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1)
    strength = np.pad(np.abs(across) + np.abs(down), 1)

    def near(row: int, column: int) -> np.ndarray:
        return strength[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    here = near(0, 0)
    flat = np.abs(across) * 13573  # the tangent of 22.5 degrees, times 2**15
    steep = flat + (np.abs(across) << 16)  # of 67.5 degrees
    rise = np.abs(down) << 15
    falling = (across ^ down) < 0
    along = np.where(falling, near(-1, 1), near(-1, -1)), np.where(falling, near(1, -1), near(1, 1))
    ridge = np.where(
        rise < flat,
        (here > near(0, -1)) & (here >= near(0, 1)),
        np.where(rise > steep, (here > near(-1, 0)) & (here >= near(1, 0)), (here > along[0]) & (here > along[1])),
    )
    ridge &= here > low
    return _grown(ridge & (here > high), ridge)


def _grown(seeds: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Everything that is allowed and hangs together with a seed, corners included."""
    found = np.pad(seeds, 1).ravel()
    free = np.pad(allowed & ~seeds, 1).ravel()
    width = seeds.shape[1] + 2
    steps = np.array([row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column])
    front = np.flatnonzero(found)
    while len(front):
        front = np.unique(front[:, np.newaxis] + steps)
        front = front[free[front]]
        free[front], found[front] = False, True
    return found.reshape(-1, width)[1:-1, 1:-1]


def distances(targets: np.ndarray) -> np.ndarray:
    """How far each pixel of (H, W) is from the nearest target, float32, by steps of 1, 1.4 and 2.1969.

    As OpenCV's `distanceTransform` with a mask of 5, in whole numbers of 1 / 65536, in two passes over the rows.
    """
    one, corner, knight = (round(step * 65536) for step in (1.0, 1.4, 2.1969))
    height, width = targets.shape
    far = np.int64(2**40)
    found = np.full((height + 4, width + 4), far)
    inner = found[2:-2, 2:-2]
    inner[targets] = 0
    ramp = np.arange(width, dtype=np.int64) * one
    for rows, above, direction in ((range(height), -1, 1), (range(height - 1, -1, -1), 1, -1)):
        for row in rows:
            near, next_one = found[2 + row + above], found[2 + row + 2 * above]
            best = inner[row].copy()
            for line, shift, step in (
                (next_one, -1, knight), (next_one, 1, knight), (near, -2, knight), (near, 2, knight),
                (near, -1, corner), (near, 1, corner), (near, 0, one),
            ):  # fmt: skip
                np.minimum(best, line[2 + shift : 2 + shift + width] + step, out=best)
            best = best[::direction]
            inner[row] = (np.minimum.accumulate(best - ramp) + ramp)[::direction]
    return (np.minimum(inner, 2**31 - 1) / 65536).astype(np.float32)


def equalized(values: np.ndarray) -> np.ndarray:
    """uint8 (H, W) with its histogram spread over 0 to 255. As OpenCV's `equalizeHist`."""
    counts = np.bincount(values.ravel(), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] == values.size:
        return values
    sums = np.cumsum(counts) - counts[: first + 1].sum()
    scale = np.float32(255) / np.float32(values.size - counts[first])
    table = np.clip(np.rint(np.maximum(sums, 0).astype(np.float32) * scale), 0, 255).astype(np.uint8)
    return table[values]


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, C) -> `size` by cubic interpolation, as OpenCV's `resize` does where it has Intel's library."""
    total = values.astype(np.float64)
    for axis in (1, 0):
        length, out = total.shape[axis], size[axis]
        place = (np.arange(out) + 0.5) * (length / out) - 0.5
        before = np.floor(place).astype(int)
        shape = [-1 if i == axis else 1 for i in range(3)]
        parts = [
            np.take(total, np.clip(before + i - 1, 0, length - 1), axis) * weight.reshape(shape)
            for i, weight in enumerate(_cubic(place - before))
        ]
        total = np.add.reduce(parts)
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def _cubic(x: np.ndarray) -> list[np.ndarray]:
    """The weights of the four values around a place that is `x` behind the second."""
    a = -0.75
    first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    second = ((a + 2) * x - (a + 3)) * x * x + 1
    third = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1
    return [first, second, third, 1 - first - second - third]
