"""The page without a server in Chromium: the labels that Python gives, and what people see; and transformers.js."""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from page_server import BUNDLED, WEBGPU, launched, visit
from PIL import Image, PngImagePlugin
from reference import ROOT

from segformer_tf import SegformerImageProcessor, SegmentationPipeline
from segformer_tf.images.resize import PILLOW_VERSION

BROWSER = ROOT / "examples" / "browser"
EXAMPLE = ROOT / "examples" / "china.jpg"
WAIT = 120_000


class Files(http.server.SimpleHTTPRequestHandler):
    """A host of files that lets WebAssembly use threads; `/npm/` is what npm installed."""

    def translate_path(self, path):
        if path.startswith("/npm/"):
            return str(BROWSER / "node_modules" / path.removeprefix("/npm/").partition("?")[0])
        return super().translate_path(path)

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *arguments):
        pass


def built(out, weights: str = "float32"):
    subprocess.run([sys.executable, BROWSER / "build.py", out, "--weights", weights], check=True)
    (out / "empty.html").write_text("<!doctype html><link rel=icon href='data:,'>")
    return out


@contextlib.contextmanager
def hosted(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return built(tmp_path_factory.mktemp("browser") / "site")


@pytest.fixture(scope="module")
def site(folder):
    with hosted(folder) as site:
        yield site


@pytest.fixture(scope="module")
def labels():
    return SegmentationPipeline.from_pretrained(BUNDLED)(EXAMPLE).labels


LABELS = """async ([provider, turns, folder]) => {
  const { load, segment } = await import("./segformer.js");
  const picture = await createImageBitmap(await (await fetch("example.jpg")).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height), context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const model = await load(folder, [provider]), times = [];
  let found;
  for (let turn = 0; turn < turns; turn++) {
    const start = performance.now();
    found = await segment(model, context.getImageData(0, 0, picture.width, picture.height));
    times.push(performance.now() - start);
  }
  const ms = Math.round(Math.min(...times));
  return { labels: [...found.labels], provider: model.provider, isolated: crossOriginIsolated, ms };
}"""


def labels_in(browser, site, provider: str, labels, what: str, turns: int = 4) -> float:
    """The share of labels that are Python's, which is printed with the time of the fastest turn."""
    with visit(browser, f"{site}empty.html") as page:  # the page itself would load the model at the same time
        found = page.evaluate(LABELS, [provider, turns, "model"])
    assert found["isolated"] and found["provider"] == provider
    same = float(np.mean(np.array(found["labels"]).reshape(labels.shape) == labels))
    print(f"{what}, {provider}: {same:.4%} of {labels.size} labels are Python's, {found['ms']} ms a picture")
    return same


def test_webassembly_gives_the_labels_that_python_gives(browser, site, labels):
    assert labels_in(browser, site, "wasm", labels, "float32") >= 0.999


@pytest.mark.parametrize(("weights", "least"), [("float16", 0.999), ("int8", 0.98)])
def test_smaller_weights_give_nearly_these_labels(browser, tmp_path, labels, weights, least):
    with hosted(built(tmp_path / "site", weights)) as site:
        assert labels_in(browser, site, "wasm", labels, weights) >= least


def changed_model(folder, name, config, settings):
    """The exported model under another name, with other values in its two files of settings."""
    shutil.copytree(folder / "model", folder / name, dirs_exist_ok=True)
    for file, changes in (("config.json", config), ("preprocessor_config.json", settings)):
        values = json.loads((folder / name / file).read_text())
        (folder / name / file).write_text(json.dumps(values | changes))


@pytest.mark.parametrize(
    "settings", [{"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 0.01, "image_mean": 0.5}]
)
def test_pictures_are_rescaled_and_normalised_as_the_model_says(browser, site, folder, labels, settings):
    size = {"size": {"height": 128, "width": 192}}
    changed_model(folder, "scaled", {}, settings | size | ({"image_std": 0.2} if "image_mean" in settings else {}))
    usual = SegmentationPipeline.from_pretrained(BUNDLED)
    processor = SegformerImageProcessor.from_pretrained(folder / "scaled")
    expected = SegmentationPipeline(usual.model, processor)(EXAMPLE).labels
    with visit(browser, f"{site}empty.html") as page:
        found = page.evaluate(LABELS, ["wasm", 1, "scaled"])["labels"]
    assert np.mean(expected == labels) < 0.99  # these settings matter
    assert np.mean(np.array(found).reshape(expected.shape) == expected) >= 0.999


@pytest.mark.parametrize(
    ("config", "settings", "told"),
    [
        ({"architectures": ["SegformerForImageClassification"]}, {}, "architectures"),
        ({"palette": [[0, 0, 0]]}, {}, "2 classes or more"),
        ({}, {"do_resize": False}, "do_resize is false"),
        ({}, {"size": {"shortest_edge": 64}}, "shortest_edge"),
        ({}, {"resample": 3}, "filter 3"),
        ({}, {"do_exif_transpose": False}, "EXIF"),
        ({}, {"value_range": [0, 4095]}, "value_range"),
    ],
)
def test_what_the_page_does_not_compute_is_told(browser, site, folder, config, settings, told):
    changed_model(folder, "unknown", config, settings)
    with visit(browser, f"{site}empty.html") as page:
        said = page.evaluate("import('./segformer.js').then((m) => m.load('unknown')).catch((e) => String(e))")
    assert said.startswith("Error: unknown: ") and told in said


def test_a_picture_given_to_a_page_without_its_model_is_told_why(browser, folder, tmp_path):
    for file in ("index.html", "page.css", "page.js", "segformer.js"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "text.png").write_text("no picture")
    with hosted(tmp_path) as site, visit(browser, site) as page:  # which sees errors that nobody caught
        said = page.locator("#said")
        for file, told in ((tmp_path / "text.png", "text.png is not a picture"), (EXAMPLE, "cannot be loaded")):
            page.set_input_files("#file", file)
            said.filter(has_text=told).wait_for(timeout=WAIT)


def test_webgpu_gives_the_labels_that_python_gives(browser, site, labels):
    """By the adapter that Chromium brings along, which computes on the processor and takes most of a minute."""
    with launched(browser.browser_type, *WEBGPU) as with_webgpu:
        assert labels_in(with_webgpu, site, "webgpu", labels, "float32", turns=1) >= 0.999


RESIZE = """async ([pixels, width, height, newWidth, newHeight, pillow]) => {
  const { resize } = await import("./segformer.js");
  return [...resize(Uint8ClampedArray.from(pixels), width, height, newWidth, newHeight, pillow)];
}"""


@pytest.mark.parametrize("shape", [(53, 71), (71, 53), (160, 40)])
@pytest.mark.parametrize("size", [(31, 17), (120, 90)])
def test_pictures_are_resized_as_pillow_does(browser, site, shape, size):
    """`tests/page/test_browser_resize.py` has other versions of Pillow."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 4), np.uint8)
    pixels[..., 3] = 255
    expected = Image.fromarray(pixels[..., :3]).resize(size, Image.Resampling.BILINEAR)
    with visit(browser, f"{site}empty.html") as page:
        arguments = [pixels.ravel().tolist(), *shape[::-1], *size, PILLOW_VERSION]
        found = np.array(page.evaluate(RESIZE, arguments)).reshape(*size[::-1], 4)
    np.testing.assert_array_equal(found[..., :3], expected)


def test_people_see_colours_their_names_and_what_is_wrong(browser, site, labels, tmp_path):
    with visit(browser, site, viewport={"width": 1000, "height": 900}) as page:
        said = page.locator("#said")
        page.get_by_text("Ready").wait_for(timeout=WAIT)
        page.get_by_role("button", name="Show the example").click()
        said.filter(has_text="The example: 640 x 427").wait_for(timeout=WAIT)
        legend = page.locator("#legend li").all_inner_texts()
        assert legend[0] == f"sky {100 * np.mean(labels == 0):.1f} %" and len(legend) == len(np.unique(labels))
        opacity = "getComputedStyle(document.querySelector('#colours')).opacity"
        assert page.evaluate(opacity) == "0.5"
        page.get_by_label("Opacity").fill("20")
        assert page.evaluate(opacity) == "0.2"
        box = page.locator("#colours").bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.05 * box["height"])
        assert page.locator("#tip").inner_text() == "sky"
        (tmp_path / "text.png").write_text("no picture")
        page.set_input_files("#file", tmp_path / "text.png")
        said.filter(has_text="text.png is not a picture that this browser reads.").wait_for(timeout=WAIT)
        page.set_input_files("#file", EXAMPLE)
        said.filter(has_text="china.jpg: 640 x 427").wait_for(timeout=WAIT)
        page.set_viewport_size({"width": 375, "height": 667})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


SEEN = """() => {
  const canvas = document.querySelector("#below");
  return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
}"""


def test_colours_are_taken_as_the_file_holds_them(browser, site, tmp_path):
    """Python does not apply a file's gamma or profile either."""
    pixels, gamma = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(pixels).save(tmp_path / "gamma.png", pnginfo=gamma)
    with visit(browser, site) as page:
        page.set_input_files("#file", tmp_path / "gamma.png")
        page.locator("#said").filter(has_text="gamma.png: 60 x 40").wait_for(timeout=WAIT)
        found = np.array(page.evaluate(SEEN)).reshape(40, 60, 4)
    np.testing.assert_array_equal(found[..., :3], pixels)


def test_a_folder_without_a_model_is_told(browser, site):
    with visit(browser, f"{site}empty.html") as page:
        told = page.evaluate("import('./segformer.js').then((m) => m.load('nothing')).catch((e) => String(e))")
    assert "SyntaxError" in told or "JSON" in told


TRANSFORMERS = """async (runtime) => {
  const { env, pipeline } = await import("/npm/@huggingface/transformers/dist/transformers.min.js");
  [env.allowLocalModels, env.allowRemoteModels] = [true, false];
  env.localModelPath = "/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = `${location.origin}/npm/${runtime}/dist/`;
  const segment = await pipeline("image-segmentation", "model", { device: "wasm" });
  const found = await segment("/example.jpg");
  const made = new Uint8Array(found[0].mask.data.length).fill(255);
  found.forEach(({ mask }, number) => mask.data.forEach((inside, place) => inside && (made[place] = number)));
  return { names: found.map(({ label }) => label), size: [found[0].mask.height, found[0].mask.width], made: [...made] };
}"""


def test_transformers_js_loads_the_folder_and_finds_the_same_classes(browser, site, folder, labels):
    """It resizes pictures in its own way, not as Pillow does, so labels at the edges differ."""
    with visit(browser, f"{site}empty.html") as page:
        own = "@huggingface/transformers/node_modules/onnxruntime-web"
        found = page.evaluate(TRANSFORMERS, own if (BROWSER / "node_modules" / own).is_dir() else "onnxruntime-web")
    config = json.loads((folder / "model" / "config.json").read_text())
    ids = np.array([config["label2id"][name] for name in found["names"]])
    assert tuple(found["size"]) == labels.shape and max(found["made"]) < len(ids)
    made = ids[np.array(found["made"])].reshape(labels.shape)
    same = np.mean(made == labels)
    print(f"transformers.js: {same:.4%} of {labels.size} labels are Python's")
    assert same > 0.95
