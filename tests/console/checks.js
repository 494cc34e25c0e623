// What axe-core would look for, as far as these pages have it. Returns what is wrong, in words.
const wrong = [];
const name = (element) => element.outerHTML.slice(0, 120);
const visible = (element) => element.checkVisibility() && element.getClientRects().length > 0;
const labelled = (element) =>
  element.getAttribute("aria-label") || element.labels?.length || (element.tagName !== "INPUT" && element.textContent.trim());

// WCAG 4.1.2, 1.3.1: names, headings, tables, language, unique ids
if (!document.documentElement.lang) wrong.push("no language");
if (!document.title) wrong.push("no title");
if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), select, [role=region], [role=img], [tabindex='0']"))
  if (!labelled(element)) wrong.push(`no name: ${name(element)}`);
for (const table of document.querySelectorAll("table"))
  for (const cell of table.querySelectorAll("th")) if (!cell.scope) wrong.push(`no scope: ${name(cell)}`);
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => wrong.push(`id twice: ${id}`));
for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
  for (const id of (element.getAttribute("aria-labelledby") || element.getAttribute("aria-describedby")).split(" "))
    if (!document.getElementById(id)) wrong.push(`refers to nothing: ${name(element)}`);
if (document.querySelectorAll("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").length) wrong.push("a tabindex above 0");

// WCAG 1.4.3: 4.5 to 1, for large text 3 to 1
const colour = (text) => text.match(/[\d.]+/g).map(Number);
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const back = colour(getComputedStyle(at).backgroundColor);
    if (back.length < 4 || back[3] === 1) return back;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !visible(element) || element.closest("script, style, title")) continue;
  const style = getComputedStyle(element);
  const front = colour(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
  const [light, dark] = [luminance(front), luminance(behind(element))].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${name(element)}`);
}

// Nothing but this server was asked for anything
for (const entry of performance.getEntriesByType("resource"))
  if (!entry.name.startsWith(location.origin + "/")) wrong.push(`from elsewhere: ${entry.name}`);

// WCAG 1.4.10: nothing is cut off sideways
if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
  wrong.push(`scrolls sideways: ${document.documentElement.scrollWidth} of ${document.documentElement.clientWidth}`);
return wrong;
