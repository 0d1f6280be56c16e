"use strict";
// What the pages share. Whatever comes from data is put on them as text, never as markup.

const FATES = ["train", "validation", "test", "duplicate", "near_duplicate", "contaminated", "dropped_by_transform", "unsampled", "rejected"];

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (name === "style") Object.assign(made.style, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const count = (number) => number.toLocaleString("en-US");
const ofRows = (number) => (number === 1 ? "1 row" : `${count(number)} rows`);
const words = (name) => name.replaceAll("_", " ");
const colour = (fate) => `var(--${fate})`;
const share = (part, whole) => {
  if (!whole) return "0%";
  const percent = (100 * part) / whole;
  return part && percent < 0.1 ? "<0.1%" : `${percent.toFixed(percent >= 10 ? 0 : 1)}%`;
};

function size(bytes) {
  for (const unit of ["bytes", "KiB", "MiB", "GiB", "TiB"]) {
    if (Math.abs(bytes) < 1024 || unit === "TiB") return `${unit === "bytes" ? bytes : bytes.toFixed(1)} ${unit}`;
    bytes /= 1024;
  }
}

function seconds(value) {
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
  if (value < 100) return `${Math.round(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

// The shortest end of a path that tells it from the others.
function shortNames(paths) {
  return paths.map((path) => {
    const parts = path.split("/").filter(Boolean);
    for (let length = 1; length <= parts.length; length++) {
      const end = parts.slice(-length).join("/");
      if (paths.filter((other) => ("/" + other).endsWith("/" + end)).length < 2) return end;
    }
    return path;
  });
}

const clip = (text, most) => (text.length > most ? "…" + text.slice(1 - most) : text);

// Calls `draw(width)` now and whenever the place has another width.
function drawn(draw) {
  const place = el("figure", { class: "plot" });
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(place.clientWidth);
    if (width && width !== last) {
      last = width;
      requestAnimationFrame(() => place.replaceChildren(draw(width)));
    }
  }).observe(place);
  return place;
}

function strip(counts, total) {
  const present = FATES.filter((fate) => counts[fate]);
  return [
    el("div", { class: "strip", role: "img", "aria-label": present.map((f) => `${words(f)} ${share(counts[f], total)}`).join(", ") },
      present.map((fate) => el("i", { style: { background: colour(fate), flex: `${counts[fate]} 1 0` }, title: words(fate) }))),
    el("ul", { class: "legend" }, present.map((fate) =>
      el("li", null, el("i", { class: "dot", style: { background: colour(fate) } }), words(fate), " ",
        el("b", null, count(counts[fate])), " ", el("span", { class: "soft" }, share(counts[fate], total))))),
  ];
}

function tile(value, label) {
  return el("div", { class: "tile" }, el("b", null, value), el("span", null, label));
}

function table(headings, rows) {
  const right = (value, place) => (place && typeof value === "object" && value.right ? { class: "number" } : null);
  return el("div", { class: "scroll" }, el("table", null,
    el("thead", null, el("tr", null, headings.map((heading, place) =>
      el("th", rows.length && rows[0][place] && rows[0][place].right ? { class: "number" } : null, heading)))),
    el("tbody", null, rows.map((row) => el("tr", null, row.map((value, place) =>
      el("td", right(value, place), value && value.right ? value.right : value)))))));
}

const right = (text) => ({ right: text });

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}
