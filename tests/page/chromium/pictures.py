"""Makes the pictures of docs/demo.md: the demo page in Chromium, in light, in dark and on a phone."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from page_server import chromium, served, visit  # noqa: E402

LARGEST = 150_000  # bytes of a file
PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
DESKTOP = {"viewport": {"width": 1280, "height": 1000}}
SHOTS = {"light": DESKTOP, "dark": DESKTOP, "phone": PHONE}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        with served(temporary) as server, chromium() as browser:
            for name, size in SHOTS.items():
                with visit(browser, server.url, color_scheme="dark" if name == "dark" else "light", **size) as page:
                    page.get_by_role("button", name="Show the example").click()
                    page.locator(".sf-said", has_text="china").wait_for(timeout=120_000)
                    box = page.locator(".sf-picture").bounding_box()
                    page.wait_for_timeout(1000)
                    if name != "phone":
                        page.mouse.move(box["x"] + 0.85 * box["width"], box["y"] + 0.75 * box["height"])
                    save(page.screenshot(full_page=True), ROOT / "docs" / f"demo-{name}.jpg")


def save(png: bytes, path: Path) -> None:
    """As a JPEG of at most 960 pixels across, as good as fits."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((960, 4000) if picture.width > picture.height else (480, 4000))
    for quality in range(90, 40, -5):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() <= LARGEST:
            break
    path.write_bytes(data.getvalue())
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {data.tell()} bytes")


if __name__ == "__main__":
    main()
