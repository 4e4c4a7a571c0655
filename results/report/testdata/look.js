// Opens a page in headless Chromium at three widths, light and dark, and runs axe on it with every table unfolded:
//   node look.js report.html
// Prints a line per view and ends with 1 where axe finds something, the console says something, anything outside
// the file is asked for, or the page is wider than the window.
const { chromium } = require("playwright-core");
const fs = require("fs");
const path = require("path");

(async () => {
  const file = "file://" + path.resolve(process.argv[2]);
  const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
  let wrong = 0;
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 768, 1280]) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      const asked = [], said = [];
      page.on("request", (r) => r.url() === file || asked.push(r.url()));
      page.on("console", (m) => said.push(m.text()));
      page.on("pageerror", (e) => said.push(String(e)));
      await page.goto(file);
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (process.argv[3]) await page.screenshot({ path: `${process.argv[3]}/${colorScheme}-${width}.png`, fullPage: true });
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
      await page.addScriptTag({ content: axe });
      const found = await page.evaluate(() => globalThis.axe.run(document));
      console.log(`${colorScheme} ${width}: axe ${found.violations.length} violations in ${found.violations.length + found.passes.length} rules; ` +
        `console ${said.length}; requests ${asked.length}; ${tooWide} px too wide`);
      for (const v of found.violations) console.log("  ", v.id, v.help, v.nodes[0].html.slice(0, 200));
      for (const text of said.concat(asked)) console.log("  ", text);
      wrong += found.violations.length + said.length + asked.length + (tooWide > 0 ? 1 : 0);
      await page.close();
    }
  }
  await browser.close();
  process.exit(wrong ? 1 : 0);
})();
