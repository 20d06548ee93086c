"""The page as people use it: with a mouse, a keyboard, a phone, and files that are no pictures."""

import base64
import io
import json

import numpy as np
import pytest
from page_server import BUNDLED, TINY, served, visit
from PIL import Image
from reference import ROOT

EXAMPLE = ROOT / "examples" / "china.jpg"
WAIT = 120_000  # milliseconds, for a machine that does other things too


def give(page, file):
    page.set_input_files("#sf-upload input[type=file]", file)


def answered(page, said):
    """Waits until the answer says so."""
    page.locator(".sf-said", has_text=said).wait_for(timeout=2 * WAIT)


def shown(page):
    give(page, EXAMPLE)
    answered(page, "china: 640 x 427")


@pytest.fixture(scope="module")
def result():
    from segformer_tf import SegmentationPipeline

    return SegmentationPipeline.from_pretrained(BUNDLED)(EXAMPLE, scores=True)


def download(page, text):
    with page.expect_download() as found:
        page.get_by_role("link", name=text).click()
    return found.value.suggested_filename, found.value.path().read_bytes()


def test_an_upload_is_labelled_as_by_the_pipeline_and_deleted(page, server, result):
    shown(page)
    rows = page.locator(".sf-classes tbody tr").all_inner_texts()
    assert [row.split("\t")[0].strip() for row in rows] == [row["name"] for row in result.classes]
    assert rows[0].split("\t")[1:] == [
        f"{result.classes[0][key]:{form}}" for key, form in (("share", ".1%"), ("score", ".3f"))
    ]
    name, data = download(page, "mask (PNG)")
    assert name == "china_labels.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), result.labels)
    assert server.uploads == []


def test_json_and_polygons_are_handed_out(page, result):
    shown(page)
    name, data = download(page, "classes (JSON)")
    classes = json.loads(data)["classes"]
    assert name == "china_classes.json" and [row["pixels"] for row in classes] == [r["pixels"] for r in result.classes]
    name, data = download(page, "polygons (COCO JSON)")
    areas = [annotation["area"] for annotation in json.loads(data)["annotations"]]
    assert name == "china_polygons.json" and sum(areas) == result.labels.size
    assert json.loads(data)["images"][0]["file_name"] == "china.jpg"


def test_the_opacity_changes_at_once_without_the_server_and_stays(page):
    shown(page)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    slider = page.locator("#sf-opacity input[type=range]")
    opacity = "getComputedStyle(document.querySelector('.sf-colours')).opacity"
    assert page.evaluate(opacity) == "0.5"
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_function(f"{opacity} === '0.51'", timeout=WAIT)
    slider.fill("80")
    page.wait_for_function(f"{opacity} === '0.8'", timeout=WAIT)
    assert not [url for url in requests if "queue/join" in url]
    page.get_by_role("button", name="Show the example").click()
    page.wait_for_timeout(500)
    answered(page, "china: 640 x 427")
    page.wait_for_function(f"{opacity} === '0.8'", timeout=WAIT)  # the new picture takes the slider's value


def test_pointing_at_a_region_names_its_class_and_score(page, result):
    shown(page)
    box = page.locator(".sf-picture").bounding_box()
    tip = page.locator(".sf-tip")
    assert tip.is_hidden()
    for y, x in [(40, 320), (400, 500), (400, 20)]:
        page.mouse.move(box["x"] + (x + 0.5) / 640 * box["width"], box["y"] + (y + 0.5) / 427 * box["height"])
        name, score, share = tip.inner_text().split(", ")
        assert name == result.id2label[int(result.labels[y, x])]
        assert 0 < float(score.removeprefix("score ")) <= 1 and share.endswith("% of the picture")
    page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_a_row_of_the_table_marks_its_regions(page):
    shown(page)
    row = page.locator(".sf-classes tbody tr", has_text="tree")
    number = row.get_attribute("data-id")
    row.focus()
    marked = page.locator(".sf-picture path.sf-on")
    assert marked.count() == page.locator(f".sf-picture path[data-id='{number}']").count() > 0
    page.locator("#sf-example").focus()
    assert marked.count() == 0


def test_another_model_and_runtime_label_the_same_picture_again(page, server):
    shown(page)
    for part, choice, said in [("model", TINY, f"{TINY}, tensorflow"), ("runtime", "onnx", f"{TINY}, onnx")]:
        page.locator(f"#sf-{part} input").click()
        page.get_by_role("option", name=choice).click()
        answered(page, said)
        assert "640 x 427" in page.locator(".sf-said").inner_text() and server.uploads == []


def choose(page, part, choice):
    page.locator(f"#sf-{part} input").click()
    page.get_by_role("option", name=choice).click()


def alert(page, said):
    page.get_by_role("alert").filter(has_text=said).wait_for(timeout=WAIT)


@pytest.fixture
def slow(tmp_path):
    """A picture that takes seconds."""
    file = tmp_path / "slow.jpg"
    Image.open(EXAMPLE).resize((3000, 2000)).save(file)
    return file


def test_of_pictures_given_while_one_is_labelled_the_last_is_and_no_file_stays(page, server, slow, tmp_path):
    give(page, slow)
    page.wait_for_timeout(2000)
    for name in ("second.jpg", "third.jpg"):
        Image.open(EXAMPLE).resize((200, 100)).save(tmp_path / name)
        give(page, tmp_path / name)
        page.wait_for_timeout(2000)
        assert server.uploads == []
    answered(page, "third: 200 x 100")
    give(page, slow)
    page.wait_for_timeout(2000)
    page.get_by_role("button", name="Show the example").click()
    answered(page, "china: 640 x 427")


def test_a_model_chosen_while_a_picture_is_labelled_labels_it_after(page, slow):
    give(page, slow)
    page.wait_for_timeout(2000)
    choose(page, "model", TINY)
    answered(page, f"slow: 3000 x 2000, {TINY}")


def test_a_name_that_begins_with_a_dot_is_a_name(page, server, tmp_path):
    file = tmp_path / ".dot.png"
    Image.open(EXAMPLE).resize((200, 100)).save(file)
    give(page, file)
    answered(page, ".dot: 200 x 100")
    assert server.uploads == []


def test_how_a_picture_was_read_is_told(page, tmp_path):
    pages = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "moving.gif", save_all=True, append_images=pages[1:])
    give(page, tmp_path / "moving.gif")
    page.locator(".sf-note", has_text="moving.gif has several frames, of which the first is taken.").wait_for(
        timeout=WAIT
    )
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    give(page, tmp_path / "scan.tif")
    alert(page, "scan.tif has 2 pages, expected one picture: save the page that you mean")


def test_a_picture_that_is_no_longer_kept_is_asked_for_again(browser, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = "from segformer_tf.page import app; app.KEPT = 30"
    with served(temporary, "--model", TINY, before=before) as server, visit(browser, server.url) as page:
        page.wait_for_selector("#sf-upload button")
        choose(page, "runtime", "numpy")  # the quickest to open
        page.wait_for_timeout(2000)
        assert page.get_by_role("alert").count() == 0  # no picture was given yet
        shown(page)
        page.wait_for_timeout(33_000)
        choose(page, "runtime", "onnx")
        alert(page, "The picture is no longer kept; give it again.")
    assert not list(temporary.glob("segformer-tf-page-*"))  # it ended by SIGTERM


def test_a_broken_file_is_told_and_the_page_goes_on(page, server, tmp_path):
    for name, data, told in [
        ("text.png", b"no picture", "text.png is not an image in a format that Pillow reads."),
        ("cut.jpg", EXAMPLE.read_bytes()[:30_000], "cut.jpg is damaged or cut off"),
    ]:
        (tmp_path / name).write_bytes(data)
        give(page, tmp_path / name)
        page.get_by_role("alert").filter(has_text=told).wait_for(timeout=WAIT)
        assert server.uploads == []
    shown(page)


def test_fifty_megapixels_are_labelled_in_bounded_memory(page, server, tmp_path):
    file = tmp_path / "large.jpg"
    Image.open(EXAMPLE).resize((8664, 5780), Image.Resampling.NEAREST).save(file, quality=80)
    give(page, file)
    answered(page, "large: 8664 x 5780")
    name, data = download(page, "mask (PNG)")
    assert name == "large_labels.png" and Image.open(io.BytesIO(data)).size == (8664, 5780)
    assert server.uploads == [] and server.peak < 4, f"{server.peak} GB"


def test_more_pixels_than_pillow_takes_are_told(page, tmp_path):
    file = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(file)
    give(page, file)
    page.get_by_role("alert").filter(has_text="huge.png").wait_for(timeout=WAIT)


DROP = """([data, type, target]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "dropped.jpg", { type }));
  const at = document.querySelector(target);
  for (const kind of ["dragenter", "dragover", "drop"])
    at.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
PASTE = """(data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""


def test_a_picture_can_be_dropped(page):
    data = base64.b64encode(EXAMPLE.read_bytes()).decode()
    page.evaluate(DROP, [data, "image/jpeg", "#sf-upload button"])
    answered(page, "dropped: 640 x 427")


def test_a_picture_can_be_pasted(page):
    small = io.BytesIO()
    Image.open(EXAMPLE).resize((200, 100)).save(small, "PNG")
    page.evaluate(PASTE, base64.b64encode(small.getvalue()).decode())
    answered(page, "200 x 100")


def test_a_picture_can_be_photographed(page, server):
    page.get_by_label("Capture from camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.get_by_label("capture photo").click(timeout=WAIT)
    answered(page, " x ")
    assert server.uploads == []


def test_a_keyboard_is_enough(browser, server):
    with visit(browser, server.url, fresh=True) as page:
        page.wait_for_selector("#sf-upload button")
        reached = []
        for _ in range(25):
            page.keyboard.press("Tab")
            where = page.evaluate("document.activeElement.closest('[id^=sf-]')?.id")
            if where and where not in reached:
                reached.append(where)
            if (
                where == "sf-upload"
                and "chooser" not in reached
                and page.evaluate("document.activeElement.tagName") == "BUTTON"
            ):
                with page.expect_file_chooser() as chooser:
                    page.keyboard.press("Enter")
                reached.append("chooser")
                assert chooser.value.element
            if where == "sf-example":
                page.keyboard.press("Enter")
                answered(page, "china: 640 x 427")
                break
        page.locator("#sf-opacity input[type=range]").focus()
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "TR":
                break
        assert "chooser" in reached and page.evaluate("document.activeElement.dataset.id") == "0"
        assert page.locator(".sf-picture path.sf-on").count() > 0


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, server):
    size = {"width": 375, "height": 667}
    with visit(browser, server.url, viewport=size, has_touch=True, is_mobile=True) as page:
        page.wait_for_selector("#sf-upload button")
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        for part in (".sf-picture", ".sf-classes", "#sf-upload", "#sf-opacity", ".sf-files"):
            box = page.locator(part).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 375, part
        assert page.locator(".sf-picture").bounding_box()["width"] > 300
        page.locator(".sf-picture").scroll_into_view_if_needed()
        box = page.locator(".sf-picture").bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 10)
        assert page.locator(".sf-tip").inner_text().startswith("sky, score")


def brightness(page, part):
    """Of the text and of what is behind it, 0 to 255."""
    return page.evaluate(
        """(part) => {
          const mean = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3;
          let at = document.querySelector(part);
          const text = mean(getComputedStyle(at).color);
          while (at && getComputedStyle(at).backgroundColor === "rgba(0, 0, 0, 0)") at = at.parentElement;
          return [text, at ? mean(getComputedStyle(at).backgroundColor) : 255];
        }""",
        part,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, server, scheme):
    with visit(browser, server.url, color_scheme=scheme) as page:
        page.wait_for_selector("#sf-upload button")
        shown(page)
        for part in (".sf-said", ".sf-classes td", "h1"):
            text, behind = brightness(page, part)
            assert abs(text - behind) > 120 and (behind < 100) == (scheme == "dark"), (part, text, behind)


def test_the_browser_is_told_to_ask_no_other_host(browser, server):
    page = browser.new_page()
    page.goto(server.url)
    answer = page.request.get(server.url)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert '<script src="https://' not in answer.text() and "fonts.g" not in answer.text()
    blocked = page.evaluate("fetch('https://example.com/').then(() => 'sent', () => 'blocked')")
    page.close()
    assert blocked == "blocked"
