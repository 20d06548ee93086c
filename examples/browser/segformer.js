// Pixels -> class ids, by ONNX Runtime on the graphics card (WebGPU) or in WebAssembly. The folder `model` is what
// `segformer-tf export MODEL model --format onnx --for transformers.js` writes.
const FILES = { fp32: "model.onnx", fp16: "model_fp16.onnx", q8: "model_quantized.onnx" };
const MOST = 1280; // pixels of the longer side of a label map

// -> {session, provider, classes: [{name, color}], processor, pillow, ort}
export async function load(folder = "model", providers = ["webgpu", "wasm"]) {
  const read = async (name) => (await fetch(`${folder}/${name}`)).json();
  const [config, processor] = await Promise.all([read("config.json"), read("preprocessor_config.json")]);
  const unknown = whatIsUnknown(config, processor);
  if (unknown) throw new Error(`${folder}: ${unknown}.`);
  const classes = config.palette.map((color, id) => ({ name: config.id2label[id], color }));
  const file = `${folder}/onnx/${FILES[config["transformers.js_config"].dtype]}`;
  for (const provider of providers) {
    if (provider === "webgpu" && !(await navigator.gpu?.requestAdapter())) continue;
    try {
      const ort = await import(`./ort/ort.${provider}.min.mjs`); // what is not needed is not loaded: 27 and 14 MB
      ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
      const session = await ort.InferenceSession.create(file, { executionProviders: [provider] });
      return { session, provider, classes, processor, pillow: config.pillow_version, ort };
    } catch (error) {
      if (provider === providers.at(-1)) throw error;
    }
  }
  throw new Error(`None of ${providers.join(", ")} is there in this browser.`);
}

// What cannot be computed here as Python computes it, or nothing; build.py asks the same.
function whatIsUnknown({ architectures, palette }, { size, resample, do_resize, do_exif_transpose, value_range }) {
  if (architectures?.[0] !== "SegformerForSemanticSegmentation")
    return `architectures is ${JSON.stringify(architectures)}; this page knows SegformerForSemanticSegmentation`;
  if (!(palette?.length > 1)) return `palette is ${JSON.stringify(palette)}; this page knows colours of 2 classes or more`;
  if (do_resize === false) return "do_resize is false; this page knows pictures that are resized to a height and a width";
  if (!size?.height || !size.width || resample !== 2)
    return `it resizes to ${JSON.stringify(size)} by filter ${resample}; this page knows a height, a width and filter 2`;
  if (do_exif_transpose === false) return "do_exif_transpose is false; browsers turn pictures as their EXIF tag says";
  if (value_range != null) return `value_range is ${JSON.stringify(value_range)}; browsers read 8 bits`;
}

// ImageData -> {labels, height, width} at the picture's own size, or at 1280 pixels a side where it is larger.
export async function segment(model, { data, width, height }) {
  const { size, do_rescale, rescale_factor, do_normalize, image_mean, image_std } = model.processor;
  const factor = do_rescale === false ? 1 : rescale_factor;
  const [mean, std] = [do_normalize === false ? 0 : image_mean, do_normalize === false ? 1 : image_std].map(ofChannels);
  const small = resize(data, width, height, size.width, size.height, model.pillow);
  const area = size.width * size.height, pixels = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < area; i++) pixels[c * area + i] = (small[4 * i + c] * factor - mean[c]) / std[c];
  const input = new model.ort.Tensor("float32", pixels, [1, 3, size.height, size.width]);
  const { logits } = await model.session.run({ pixel_values: input });
  const shrunk = Math.min(1, MOST / Math.max(width, height));
  return largest(logits, Math.round(height * shrunk), Math.round(width * shrunk));
}

const ofChannels = (value) => (Array.isArray(value) ? value : [value, value, value]);

// RGBA bytes -> RGBA bytes, as the bilinear filter of Pillow [major, minor] gives them: it averages where it shrinks, and
// rounds after each side, so that the order of the sides matters.
export function resize(data, width, height, newWidth, newHeight, pillow = [13, 0]) {
  const across = weights(width, newWidth), down = weights(height, newHeight);
  return takesHeightFirst(pillow, width, height, newWidth, newHeight)
    ? resizeRows(resizeColumns(data, width, down), width, newHeight, across)
    : resizeColumns(resizeRows(data, width, height, across), newWidth, down);
}

// images/resize.py has the same rule, of the Pillow that is installed there.
function takesHeightFirst([major, minor], width, height, newWidth, newHeight) {
  if (newHeight >= height || major < 12 || (major === 12 && minor < 2)) return false;
  return major < 13 ? height > 100 * width : height - newHeight > 2 * (width - newWidth);
}

function resizeRows(from, width, height, across) {
  const newWidth = across.length, to = new Uint8ClampedArray(4 * newWidth * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < newWidth; x++) blend(from, 4 * y * width, 4, across[x], to, 4 * (y * newWidth + x));
  return to;
}

function resizeColumns(from, width, down) {
  const newHeight = down.length, to = new Uint8ClampedArray(4 * width * newHeight);
  for (let y = 0; y < newHeight; y++)
    for (let x = 0; x < width; x++) blend(from, 4 * x, 4 * width, down[y], to, 4 * (y * width + x));
  return to;
}

const BITS = 22; // of a weight, as Pillow counts

function blend(from, start, step, { first, values }, to, place) {
  for (let c = 0; c < 4; c++) {
    let sum = 1 << (BITS - 1);
    for (let i = 0; i < values.length; i++) sum += from[start + (first + i) * step + c] * values[i];
    to[place + c] = sum >> BITS;
  }
}

function weights(size, newSize) {
  const scale = size / newSize, support = Math.max(scale, 1);
  return Array.from({ length: newSize }, (_, x) => {
    const centre = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0), end = Math.min(Math.trunc(centre + support + 0.5), size);
    const plain = Array.from({ length: end - first }, (_, i) => Math.max(1 - Math.abs((i + first - centre + 0.5) * (1 / support)), 0));
    const sum = plain.reduce((a, b) => a + b);
    return { first, values: plain.map((value) => Math.round((value / sum) * (1 << BITS))) };
  });
}

// Logits (1, C, h, w) -> the class of the largest one at each pixel of height x width, between which they are interpolated.
function largest({ dims: [, classes, rows, columns], data }, height, width) {
  const along = (size, cells) => Array.from({ length: size }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * cells) / size - 0.5, 0), cells - 1), first = Math.floor(at);
    return [first, Math.min(first + 1, cells - 1), at - first];
  });
  const ys = along(height, rows), xs = along(width, columns);
  const labels = new Uint16Array(height * width), best = new Float32Array(width), line = new Float32Array(columns);
  for (let y = 0; y < height; y++) {
    const [top, bottom, share] = ys[y];
    best.fill(-Infinity);
    for (let c = 0; c < classes; c++) {
      const plane = c * rows * columns;
      for (let x = 0; x < columns; x++)
        line[x] = data[plane + top * columns + x] * (1 - share) + data[plane + bottom * columns + x] * share;
      for (let x = 0; x < width; x++) {
        const [left, right, part] = xs[x], value = line[left] * (1 - part) + line[right] * part;
        if (value > best[x]) [best[x], labels[y * width + x]] = [value, c];
      }
    }
  }
  return { labels, height, width };
}
