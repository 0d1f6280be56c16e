// The report of a finished job.

const data = JSON.parse(document.getElementById("data").textContent);
const counts = data.counts;
const used = (counts.train || 0) + (counts.validation || 0) + (counts.test || 0);
const names = shortNames(data.sources.map((source) => source.name));
const place = (row) => `${shortPlace(row.file)}, row ${count(row.row)}`;

function shortPlace(file) {
  const at = data.sources.findIndex((source) => source.name === file);
  return at < 0 ? file : names[at];
}

function section(title, lead, ...content) {
  return el("section", null, el("h2", null, title), lead && el("p", { class: "lead" }, lead), content);
}

function cutText(entry) {
  return el("pre", null, entry.text, entry.more ? el("span", { class: "soft" }, `\n… ${count(entry.more)} more characters`) : null);
}

function head() {
  const started = data.run.started.replace("T", " ").replace("Z", " UTC");
  return el("header", null, el("h1", null, data.goal || "Prepared data"),
    el("p", null, [data.model.name, started, `Forge ${data.forge}`].filter(Boolean).join(" · ")));
}

function overview() {
  const held = (counts.validation || 0) + (counts.test || 0);
  return [
    el("div", { class: "tiles" },
      tile(count(data.rows), data.sources.length === 1 ? `rows came in, ${size(data.bytes)}` : `rows in ${size(data.bytes)} came in`),
      tile(count(counts.train), "rows to train on"),
      tile(count(held), "rows held out"),
      tile(count(data.rows - used), `rows left out, ${share(data.rows - used, data.rows)}`),
      tile(size(data.written), "written"),
      tile(seconds(data.run.seconds), "on this machine")),
    strip(counts, data.rows),
  ];
}

// Sources, what became of their rows, and why rows were rejected.
function sankey(width) {
  const nodes = [], links = [], at = new Map();
  const node = (id, label, fill, rows) => {
    if (!at.has(id)) { at.set(id, nodes.length); nodes.push({ id, label, fill, rows }); }
    return at.get(id);
  };
  data.sources.forEach((source, number) => {
    for (const fate of FATES) {
      const rows = source.fates[fate];
      if (!rows) continue;
      links.push({ source: node(`source ${number}`, names[number], "var(--soft)", source.rows),
        target: node(fate, words(fate), colour(fate), counts[fate]), value: rows, fill: colour(fate) });
    }
  });
  for (const { reason, rows } of data.reasons)
    links.push({ source: node("rejected", "rejected", colour("rejected"), counts.rejected),
      target: node(`reason ${reason}`, words(reason), colour("rejected"), rows), value: rows, fill: colour("rejected") });
  const narrow = width < 620;
  const most = Math.max(data.sources.length, FATES.filter((fate) => counts[fate]).length, data.reasons.length + 2);
  const height = Math.max(narrow ? 300 : 260, most * 34);
  const left = 0, gap = narrow ? 96 : 170;
  d3.sankey().nodeWidth(10).nodePadding(22).nodeAlign(d3.sankeyLeft).nodeSort(null)
    .extent([[left, 10], [width - gap, height - 10]])({ nodes, links });
  const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("width", width).attr("height", height)
    .attr("class", "flow").attr("role", "img").attr("aria-label", "Rows from each source to what became of them").style("font-size", narrow ? "11px" : "13px");
  svg.append("g").attr("fill", "none").selectAll("path").data(links).join("path")
    .attr("d", d3.sankeyLinkHorizontal()).style("stroke", (link) => link.fill).attr("stroke-opacity", 0.32)
    .attr("stroke-width", (link) => Math.max(link.width, 1.5))
    .append("title").text((link) => `${link.source.label} → ${link.target.label}: ${count(link.value)} rows`);
  const group = svg.append("g").selectAll("g").data(nodes).join("g");
  group.append("rect").attr("x", (d) => d.x0).attr("y", (d) => d.y0).attr("width", 10).attr("rx", 2)
    .attr("height", (d) => Math.max(d.y1 - d.y0, 2)).style("fill", (d) => d.fill);
  const label = group.append("text").attr("x", (d) => d.x1 + 7).attr("y", (d) => (d.y0 + d.y1) / 2).attr("dy", "0.35em");
  label.append("tspan").text((d) => clip(d.label, narrow ? 15 : 24));
  label.append("tspan").attr("dx", 6).style("fill", "var(--soft)").text((d) => count(d.rows));
  return svg.node();
}

function flow() {
  return section("What came in, and what became of it", null, drawn(sankey));
}

function reasons() {
  if (!data.reasons.length) return null;
  const most = Math.max(...data.reasons.map((entry) => entry.rows));
  return section("Rejected, and why", "Every rejected row is in rejected.jsonl with its place and its source.",
    data.reasons.map((entry, number) => el("details", { open: number === 0 ? "" : null },
      el("summary", null, el("span", { class: "name" }, words(entry.reason)),
        el("span", { class: "bar" }, el("i", { style: { width: `${(100 * entry.rows) / most}%` } })),
        el("span", { class: "number" }, ofRows(entry.rows)),
        el("span", { class: "sub" }, data.meanings.reasons[entry.reason] || "")),
      entry.examples.map((example) => el("div", { class: "pair" },
        el("div", { class: "where" }, el("b", null, place(example)), example.detail && el("div", { class: "bad" }, example.detail)),
        cutText(example))))));
}

function warned() {
  const flags = Object.entries(data.warned);
  if (!flags.length) return null;
  return section("Quality flags", "These rows were used; a check only warned of them.",
    table(["check", "rows", "what it looks for"], flags.sort((a, b) => b[1] - a[1])
      .map(([reason, rows]) => [words(reason), right(count(rows)), data.meanings.reasons[reason] || ""])));
}

function histogram(width, { unit, edges, splits, limit }) {
  const bars = [];
  for (const [split, of] of Object.entries(splits))
    of.histogram.forEach((rows, number) => {
      if (rows) bars.push({ split, x1: Math.max(edges[number], 1), x2: edges[number + 1], part: rows / of.rows, rows });
    });
  const marks = Object.entries(splits).flatMap(([split, of]) =>
    [{ split, x: Math.max(of.median, 1), name: "median" }, { split, x: Math.max(of.p95, 1), name: "95%" }]);
  const high = Math.max(...edges);
  const order = Object.keys(splits);
  return Plot.plot({
    width, height: 70 + 96 * order.length, marginLeft: width < 620 ? 14 : 90, marginRight: 14, marginTop: 22,
    style: { background: "transparent", fontSize: "12px", color: "var(--ink)" },
    x: { type: "log", label: unit, nice: true, tickFormat: (value) => (String(value)[0] === "1" || String(value)[0] === "5" || String(value)[0] === "2" ? count(value) : "") },
    y: { axis: null }, fy: { domain: order, label: null, axis: width < 620 ? null : "left", padding: 0.18 },
    marks: [
      Plot.rectY(bars, { x1: "x1", x2: "x2", y: "part", fy: "split", fill: (bar) => colour(bar.split), inset: 0.5,
        title: (bar) => `${count(bar.x1)} to ${count(bar.x2)} ${unit}: ${count(bar.rows)} rows` }),
      Plot.ruleY([0], { stroke: "var(--line)" }),
      Plot.ruleX(marks, { x: "x", fy: "split", stroke: "var(--ink)", strokeDasharray: "2 3" }),
      ["median", "95%"].map((name) => Plot.text(marks.filter((mark) => mark.name === name), { x: "x", fy: "split", text: "name",
        frameAnchor: "top", dy: -8, textAnchor: name === "median" ? "end" : "start", fill: "var(--soft)", fontSize: 11 })),
      width < 620 ? Plot.text(order, { fy: (split) => split, text: (split) => split, frameAnchor: "top-left", fill: "currentColor" }) : null,
      limit && limit <= high ? Plot.ruleX([limit], { stroke: "var(--rejected)", strokeWidth: 1.5 }) : null,
    ],
  });
}

function lengths() {
  if (!data.lengths.length) return null;
  const shown = el("div");
  const show = (of, chips) => {
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip.textContent === of.unit));
    shown.replaceChildren(...lengthsIn(of).filter(Boolean));
  };
  const chips = el("div", { class: "chips" }, data.lengths.map((of) => el("button", { onclick: () => show(of, chips) }, of.unit)));
  show(data.lengths[0], chips);
  return section("How long rows are", null, data.lengths.length > 1 ? chips : null, shown);
}

function lengthsIn(of) {
  const { unit, splits, limit, a_token } = of;
  const over = Object.values(splits).reduce((sum, split) => sum + (split.over || 0), 0);
  const many = over ? `${ofRows(over)} ${over === 1 ? "is" : "are"}` : "no row is";
  const lead = unit === "tokens" ? (limit === null ? "In tokens of the model." : `In tokens of the model, which takes ${count(limit)}: ${many} longer.`)
    : limit === null ? "In characters of the contents."
    : `In characters of the contents. The model's ${count(data.model.max_length)} tokens are about ${count(limit)} characters (${a_token} a token): ${many} likely longer.`;
  return [el("p", { class: "lead" }, lead), drawn((width) => histogram(width, of)),
    table(["split", "rows", "median", "95% are below", "longest", ...(limit === null ? [] : [unit === "tokens" ? "over max_length" : "likely over max_length"])],
      Object.entries(splits).map(([split, its]) => [
        el("span", null, el("i", { class: "dot", style: { background: colour(split) } }), split), right(count(its.rows)), right(count(its.median)),
        right(count(its.p95)), right(count(its.longest)), ...(limit === null ? [] : [right(`${count(its.over)} (${share(its.over, its.rows)})`)])]))];
}

// Shares of the fates of several things, under each other.
function sideBySide(items, labels, what) {
  const bars = items.flatMap((item, number) => FATES.filter((fate) => item.fates[fate]).map((fate) =>
    ({ item: labels[number], fate, part: item.fates[fate] / item.rows, rows: item.fates[fate] })));
  return drawn((width) => Plot.plot({
    width, height: 46 + 30 * items.length, marginLeft: Math.min(width / 3, 200), marginRight: 10,
    style: { background: "transparent", fontSize: "12px", color: "var(--ink)" },
    x: { label: `share of the ${what}'s rows`, percent: true }, y: { label: null, domain: labels, tickFormat: (name) => clip(name, 26) },
    marks: [Plot.barX(bars, { x: "part", y: "item", fill: (bar) => colour(bar.fate), order: FATES, z: "fate", inset: 1,
      title: (bar) => `${bar.item}: ${count(bar.rows)} ${words(bar.fate)}` })],
  }));
}

function strata() {
  if (!data.strata) return null;
  const { columns, items, more } = data.strata;
  const taken = new Set();
  const labels = items.map(({ name }, number) => { const own = taken.has(name) ? `${name} (${number + 1})` : name; taken.add(own); return own; });
  const splits = ["train", "validation", "test"].filter((split) => items.some((item) => item.fates[split]));
  return section("Splits and strata", `Rows of each split by ${columns.join(", ")}, whose shares the split holds.` + (more ? ` The largest; ${count(more)} more are not shown.` : ""),
    sideBySide(items, labels, "stratum"),
    table([columns.join(", "), "rows", ...splits.map((split) => `${split}, share of it`)], items.map((item, number) => [labels[number], right(count(item.rows)),
      ...splits.map((split) => right(`${count(item.fates[split] || 0)} (${share(item.fates[split] || 0, counts[split])})`))])));
}

function sources() {
  if (data.sources.length < 2) return null;
  return section("Sources side by side", null, sideBySide(data.sources, names, "source"),
    table(["source", "rows", "size", "to train", "left out"], data.sources.map((source, number) => {
      const out = FATES.slice(3).reduce((sum, fate) => sum + (source.fates[fate] || 0), 0);
      return [el("span", { title: source.name }, names[number]), right(count(source.rows)), right(size(source.bytes || 0)),
        right(`${count(source.fates.train || 0)} (${share(source.fates.train || 0, counts.train)} of train)`), right(`${count(out)} (${share(out, source.rows)})`)];
    })));
}

function clusters() {
  if (!data.clusters.length) return null;
  const rows = (counts.duplicate || 0) + (counts.near_duplicate || 0);
  return section("Duplicates", `${ofRows(rows)} left out for ones that are equal or alike. The largest clusters:`,
    el("div", { class: "plain" }, data.clusters.map((cluster, number) => el("details", { open: number === 0 ? "" : null },
      el("summary", null, el("span", { class: "name" }, clip2(cluster.stayed.text)), el("span", { class: "number" }, ofRows(cluster.rows))),
      el("div", { class: "pair" }, el("div", { class: "where" }, el("b", null, place(cluster.stayed)), el("div", { class: "good" }, "stayed")),
        el("pre", null, cluster.stayed.text)),
      cluster.others.map((other) => el("div", { class: "pair" },
        el("div", { class: "where" }, el("b", null, place(other)), el("div", { class: "soft" },
          other.similarity ? `left out, ${(100 * other.similarity).toFixed(0)}% alike` : "left out")),
        el("pre", null, other.difference.map(([what, text]) => (what === 0 ? text : el(what === 1 ? "del" : "ins", null, text))))))))));
}

const clip2 = (text) => (text.length > 70 ? text.slice(0, 69).replaceAll("\n", " ") + "…" : text.replaceAll("\n", " "));

function contamination() {
  const found = data.contamination;
  if (!found) return null;
  return section("Contamination", found.rows ? `${ofRows(found.rows)} left out for what they share with the evaluation data.`
    : "No row occurs in the evaluation data.",
    found.by.length ? table(["evaluation file", "rule", "rows"], found.by.map((entry) => [entry.file, entry.by, right(count(entry.rows))])) : null,
    found.examples.map((example) => el("div", { class: "pair" },
      el("div", { class: "where" }, el("b", null, place(example)), el("div", { class: "soft" }, `matches ${example.matched_file}, row ${count(example.matched_row)} (${example.matched_by})`)),
      cutText(example))));
}

function samples() {
  if (!data.samples.length) return null;
  const present = ["train", "validation", "test"].filter((split) => data.samples.some((sample) => sample.split === split));
  const shown = el("div");
  const show = (split, chips) => {
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip.textContent === split));
    shown.replaceChildren(...data.samples.filter((sample) => sample.split === split).map((sample) =>
      el("div", { class: "sample" }, el("p", null, el("b", null, place(sample)),
        el("span", { class: "soft" }, Object.entries(sample.lengths).map(([unit, length]) => `${count(length)} ${unit}`).join(", "),
          sample.pack ? `, ${sample.pack}` : null)),
        el("div", { class: "text" }, sample.segments.map(([text, flags]) => flags & 4 ? el("span", { class: "h" }, text)
          : flags ? el("span", { class: (flags & 2 ? "c " : "") + (flags & 1 ? "t" : "") }, text) : text),
          sample.more ? el("span", { class: "soft" }, `\n… ${count(sample.more)} more characters`) : null))));
  };
  const chips = el("div", { class: "chips" }, present.map((split) => el("button", { onclick: () => show(split, chips) }, split)));
  show(present[0], chips);
  const masked = data.samples.some((sample) => sample.segments.some(([, flags]) => flags & 1));
  return section("Rows as the model sees them", null,
    el("p", { class: "key" }, el("span", { class: "c" }, "control token"), " ", masked ? [el("span", { class: "t" }, "written by the assistant: trained"), " read, not trained"] : "the plan does not tell which part is trained"),
    chips, shown);
}

function template() {
  return section("Template", null, facts(data.template.facts),
    data.template.probes.length ? [el("h3", null, "What it does"), el("ul", null, data.template.probes.map((line) => el("li", null, line)))] : null,
    data.template.text && el("div", { class: "plain" }, el("details", null, el("summary", null, el("span", { class: "name" }, "its text")), el("pre", null, data.template.text))));
}

function stages() {
  const all = Object.entries(data.run.stages).map(([stage, of]) => ({ stage, seconds: of.seconds, rows: of.rows, memory: data.memory[stage] }));
  const draw = (width) => Plot.plot({
    width, height: 30 + 30 * all.length, marginLeft: 64, marginRight: width < 620 ? 110 : 210, x: { axis: null }, y: { label: null, domain: all.map((of) => of.stage) },
    style: { background: "transparent", fontSize: "12px", color: "var(--ink)" },
    marks: [Plot.barX(all, { x: "seconds", y: "stage", fill: "var(--accent)", inset: 3, rx: 3 }),
      Plot.text(all, { x: "seconds", y: "stage", dx: 6, textAnchor: "start", fill: "currentColor",
        text: (of) => seconds(of.seconds) + (of.memory && width >= 620 ? `, up to ${size(of.memory)}` : "") })],
  });
  const run = data.run;
  return section("How it ran", null, el("div", { class: "two" }, drawn(draw), facts([
    ["engine", run.engine_reason || run.engine], ["threads", count(run.threads)], ["memory", `${size(run.peak_memory)} at most, budget ${size(run.memory_budget)}`],
    ["machine", run.machine.system], ["versions", [`Forge ${data.forge}`, `Python ${run.machine.python}`, ...Object.entries(run.libraries).map(([name, version]) => `${name} ${version}`)].join(", ")],
    ["resumed", run.resumed ? "yes: an earlier run had left work" : null], ["retries", run.retries || null], ["halvings", run.halvings || null], ["fell back", run.fell_back],
    ["read back", data.leaks === null || data.leaks === undefined ? "not checked" : data.leaks ? `${count(data.leaks)} keys are in several splits` : "every row; no key is in several splits"],
  ])), data.command && data.command.length ? [el("h3", null, "Command"), el("pre", null, data.command.join(" "))] : null,
  run.warnings.length ? [el("h3", null, "Warnings"), el("ul", null, run.warnings.map((line) => el("li", null, line)))] : null,
  el("h3", null, "Files"), table(["file", "rows", "size", "SHA-256"], data.outputs.map((file) => [file.file, right(count(file.rows)), right(size(file.bytes)),
    el("code", { class: "soft", style: { fontSize: "12px" } }, file.sha256 ? file.sha256.slice(0, 16) : "not read back")])));
}

document.getElementById("page").replaceChildren(...[head(), overview(), flow(), reasons(), lengths(), samples(), strata(), clusters(), sources(), contamination(),
  warned(), template(), stages(), el("footer", null, "Made by forge prepare. This page loads nothing and sends nothing.")].flat(9).filter(Boolean));
