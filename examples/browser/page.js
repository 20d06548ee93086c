// What people see: a picture under its colours, their opacity, the name of what is pointed at, the legend.
import { load, segment } from "./segformer.js";

const $ = (id) => document.getElementById(id);
const said = $("said"), colours = $("colours"), below = $("below"), tip = $("tip");
let shown; // {labels, height, width} of the picture that is seen

const model = load();
model.then(({ provider }) => (said.value = `Ready (${provider}).`), tellNotLoaded);

function tellNotLoaded({ message }) {
  said.value = `The model cannot be loaded: ${message}`;
}

// One picture is labelled at a time, since a session computes one; of those given in the meantime the last one is.
let turn = 0, busy = Promise.resolve();

function show(read, name) {
  const mine = ++turn;
  busy = busy.then(() => mine === turn && label(read, name));
}

async function label(read, name) {
  let picture;
  try {
    picture = await createImageBitmap(await read(), { colorSpaceConversion: "none" });
  } catch {
    said.value = `${name} is not a picture that this browser reads.`;
    return;
  }
  const loaded = await model.catch(tellNotLoaded);
  if (!loaded) return;
  said.value = `Labelling ${name}.`;
  await new Promise((painted) => setTimeout(painted, 30));
  try {
    const { width, height } = picture, context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const start = performance.now();
    const found = await segment(loaded, context.getImageData(0, 0, width, height));
    said.value = `${name}: ${width} x ${height}, ${loaded.provider}, ${((performance.now() - start) / 1000).toFixed(1)} s`;
    paint(picture, found, loaded.classes);
  } catch (error) {
    said.value = `${name} cannot be labelled: ${error.message}`;
  }
}

// The picture and its labels in one go: what is seen belongs together.
function paint(picture, found, classes) {
  const { labels, height, width } = (shown = found);
  [below.width, below.height] = [picture.width, picture.height];
  below.getContext("2d").drawImage(picture, 0, 0);
  const map = new ImageData(width, height), counts = new Map();
  const packed = new Uint32Array(map.data.buffer);
  const word = classes.map(({ name, color: [r, g, b] }) => (name === "background" ? 0 : ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0));
  for (let i = 0; i < labels.length; i++) {
    packed[i] = word[labels[i]];
    counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  }
  [colours.width, colours.height] = [width, height];
  colours.getContext("2d").putImageData(map, 0, 0);
  $("picture").style.setProperty("--ratio", width / height);
  $("picture").hidden = false;
  $("legend").replaceChildren(...[...counts].sort((a, b) => b[1] - a[1]).map(([id, count]) => {
    const row = document.createElement("li"), swatch = document.createElement("span");
    swatch.style.background = `rgb(${classes[id].color})`;
    row.append(swatch, `${classes[id].name} ${((100 * count) / labels.length).toFixed(1)} %`);
    return row;
  }));
}

const showFile = (file) => file && show(() => file, file.name);
$("file").onchange = ({ target }) => showFile(target.files[0]);
$("example").onclick = () => show(async () => (await fetch("example.jpg")).blob(), "The example");
$("opacity").oninput = ({ target }) => $("picture").style.setProperty("--opacity", target.value / 100);
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  showFile(event.dataTransfer.files[0]);
};
document.onpaste = ({ clipboardData }) => {
  showFile([...clipboardData.files].find(({ type }) => type.startsWith("image/")));
};
$("picture").onpointermove = async ({ clientX, clientY }) => {
  const box = colours.getBoundingClientRect(), { classes } = await model;
  const x = Math.floor(((clientX - box.left) / box.width) * shown.width), y = Math.floor(((clientY - box.top) / box.height) * shown.height);
  const found = classes[shown.labels[y * shown.width + x]];
  tip.hidden = !found;
  if (!found) return;
  tip.textContent = found.name;
  const left = Math.min(clientX - box.left + 14, box.width - tip.offsetWidth - 4);
  tip.style.transform = `translate(${left}px, ${Math.max(clientY - box.top - 34, 4)}px)`;
};
$("picture").onpointerleave = () => (tip.hidden = true);
