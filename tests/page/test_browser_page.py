"""`examples/browser/page.js` in Node with a stand-in of the browser: what is seen belongs together, whoever is slow."""

import json
import shutil
import subprocess

import pytest
from reference import ROOT

# `segment` takes as long as a picture says, or fails; as ONNX Runtime's sessions do, where it is called once more.
BROWSER = """
const elements = {};
const element = (id) => elements[id] ??= {
  id, style: { setProperty() {} }, replaceChildren() {}, append() {},
  getContext: () => ({
    drawImage: (picture) => (elements[id].picture = picture), getImageData: () => elements[id].picture,
    putImageData() {},
  }),
};
globalThis.document = { getElementById: element, createElement: () => element(Math.random()) };
globalThis.ImageData = class { constructor(width, height) { this.data = new Uint8ClampedArray(4 * width * height); } };
globalThis.OffscreenCanvas = class { getContext = element(Math.random()).getContext };
globalThis.createImageBitmap = async (file) => { if (file.broken) throw new Error(); return file; };
globalThis.fetch = async () => ({ blob: () => ({ name: "example", width: 7, height: 2, ms: 1 }) });
"""
SEGMENT = """
let running = 0;
export const load = async () => ({ provider: "none", classes: [{ name: "a", color: [1, 2, 3] }] });
export async function segment(model, { name, width, height, ms, fails }) {
  if (running++) throw new Error("Session already started");
  await new Promise((done) => setTimeout(done, ms));
  running--;
  if (fails) throw new Error("no memory");
  return { labels: new Uint16Array(width * height), width, height };
}
"""
RUN = """
import "./browser.js";
await import("./page.js");
const seen = [], $ = document.getElementById;
const look = () => seen.push([$("said").value, $("below").width ?? 0, $("colours").width ?? 0]);
const clock = setInterval(look, 5);
for (const file of FILES) {
  file === "example" ? $("example").onclick() : $("file").onchange({ target: { files: [file] } });
  await new Promise((done) => setTimeout(done, 60));
}
await new Promise((done) => setTimeout(done, 700));
clearInterval(clock);
look();
console.log(JSON.stringify(seen));
"""
A = {"name": "A", "width": 3, "height": 2, "ms": 300}
B = {"name": "B", "width": 5, "height": 2, "ms": 20}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize(
    ("files", "said", "width"),
    [
        ([A, B], "B: 5 x 2", 5),
        ([B, A], "A: 3 x 2", 3),
        ([A, B, "example"], "The example: 7 x 2", 7),
        ([A, B | {"fails": True}], "B cannot be labelled: no memory", 3),
        ([A, B | {"broken": True}], "B is not a picture that this browser reads.", 3),
    ],
    ids=["slow, quick", "quick, slow", "of three", "fails", "broken"],
)
def test_a_picture_is_never_seen_under_another_one_s_colours(files, said, width, tmp_path):
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "browser.js").write_text(BROWSER)
    (tmp_path / "segformer.js").write_text(SEGMENT)
    (tmp_path / "run.js").write_text(RUN.replace("FILES", json.dumps(files)))
    shutil.copy(ROOT / "examples" / "browser" / "page.js", tmp_path)
    done = subprocess.run(["node", tmp_path / "run.js"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for message, below, colours in seen:
        assert below == colours, message
    assert seen[-1][0].startswith(said) and seen[-1][1] == width
    if "example" in files:
        assert not any(message.startswith("Labelling B") for message, *_ in seen)  # a newer one was there
