// Pointing at regions and rows, and pictures from the clipboard. The listeners are the document's: every picture replaces the answer's HTML.
(() => {
  const percent = (share) => (share < 0.001 ? "<0.1 %" : `${(100 * share).toFixed(1)} %`);

  function tell(picture, path, x, y) {
    const tip = picture.querySelector(".sf-tip");
    tip.hidden = !path;
    if (!path) return;
    const { name, share, score } = path.dataset;
    tip.textContent = `${name}${score ? `, score ${score}` : ""}, ${percent(share)} of the picture`;
    const box = picture.getBoundingClientRect();
    const left = Math.min(x - box.left + 14, box.width - tip.offsetWidth - 4);
    const top = y - box.top + 18 + tip.offsetHeight > box.height ? y - box.top - 12 - tip.offsetHeight : y - box.top + 18;
    tip.style.transform = `translate(${Math.max(left, 4)}px, ${Math.max(top, 4)}px)`;
  }

  function point(event) {
    const picture = event.target.closest?.(".sf-picture");
    for (const other of document.querySelectorAll(".sf-picture")) if (other !== picture) tell(other, null);
    if (picture) tell(picture, event.target.closest("path"), event.clientX, event.clientY);
  }

  function mark(event) {
    const row = event.target.closest?.(".sf-classes tbody tr");
    const on = row && event.type !== "pointerout" && event.type !== "focusout";
    for (const path of document.querySelectorAll(".sf-picture path.sf-on")) path.classList.remove("sf-on");
    if (!on) return;
    const regions = row.closest(".sf-answer").querySelectorAll(`path[data-id="${row.dataset.id}"]`);
    for (const path of regions) path.classList.add("sf-on");
  }

  function paste({ clipboardData }) {
    const file = [...(clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    const input = document.querySelector("#sf-upload input[type=file]");
    if (!file || !input) return;
    const given = new DataTransfer();
    given.items.add(file);
    input.files = given.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener("paste", paste);
  for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, point);
  for (const kind of ["pointerover", "pointerout", "focusin", "focusout"]) document.addEventListener(kind, mark);
})();
