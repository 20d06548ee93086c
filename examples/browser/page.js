// A picture -> class ids, by ONNX Runtime in WebAssembly. The file comes from `segformer-tf export MODEL DIR --format onnx`.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const MEAN = [0.485, 0.456, 0.406], STD = [0.229, 0.224, 0.225];
ort.env.wasm.numThreads = 1; // more need cross-origin isolation
const session = ort.InferenceSession.create("model.onnx");

// RGBA bytes of height x width pixels -> {labels, height, width} at the model's quarter size.
export async function segment(rgba, height, width) {
  const pixels = new Float32Array(3 * height * width);
  for (let i = 0; i < height * width; i++)
    for (let c = 0; c < 3; c++) pixels[3 * i + c] = (rgba[4 * i + c] / 255 - MEAN[c]) / STD[c];
  const input = new ort.Tensor("float32", pixels, [1, height, width, 3]);
  const { logits } = await (await session).run({ pixel_values: input });
  const [, rows, columns, classes] = logits.dims;
  const labels = new Uint8Array(rows * columns);
  for (let i = 0; i < labels.length; i++) {
    const scores = logits.data.subarray(i * classes, (i + 1) * classes);
    labels[i] = scores.indexOf(Math.max(...scores));
  }
  return { labels, height: rows, width: columns };
}
window.segment = segment;

document.getElementById("file").onchange = async ({ target }) => {
  const picture = await createImageBitmap(target.files[0]);
  const canvas = document.getElementById("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [480, 360];
  context.drawImage(picture, 0, 0, 480, 360);
  const start = performance.now();
  const { labels, height, width } = await segment(context.getImageData(0, 0, 480, 360).data, 360, 480);
  document.getElementById("said").value = `${(performance.now() - start).toFixed(0)} ms`;
  const colours = await (await fetch("classes.json")).json();
  const map = new ImageData(width, height);
  labels.forEach((label, i) => map.data.set([...colours[label].color, 140], 4 * i));
  context.drawImage(await createImageBitmap(map), 0, 0, 480, 360);
};
