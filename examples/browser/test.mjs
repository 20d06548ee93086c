// Opens the page in headless Chromium, gives it the picture of picture.json and compares its labels with the expected ones.
// prepare.py writes model.onnx, classes.json and picture.json; exit 1 below 99.9 % equal labels.
import http from "node:http";
import { readFile } from "node:fs/promises";
import path from "node:path";
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const here = import.meta.dirname;
const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };
const server = http.createServer(async ({ url }, answer) => {
  try {
    const file = path.join(here, path.normalize(url === "/" ? "/index.html" : new URL(url, "http://x").pathname));
    answer.writeHead(200, { "Content-Type": types[path.extname(file)] ?? "application/octet-stream" }).end(await readFile(file));
  } catch {
    answer.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const executablePath = process.env.CHROMIUM || (await chromium.executablePath());
const browser = await puppeteer.launch({ executablePath, args: [...chromium.args, "--no-sandbox"], headless: "shell" });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error.message));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction("window.segment", { timeout: 60000 });
  const found = await page.evaluate(async () => {
    const { rgba, height, width } = await (await fetch("picture.json")).json();
    const start = performance.now();
    const { labels } = await window.segment(Uint8Array.from(rgba), height, width);
    return { labels: [...labels], milliseconds: performance.now() - start };
  });
  const { expected } = JSON.parse(await readFile(path.join(here, "picture.json"), "utf-8"));
  const same = found.labels.filter((label, i) => label === expected[i]).length / expected.length;
  console.log(`${await browser.version()}: ${(100 * same).toFixed(3)} % of ${expected.length} labels equal, ${found.milliseconds.toFixed(0)} ms`);
  if (!(found.labels.length === expected.length && same >= 0.999)) process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}
