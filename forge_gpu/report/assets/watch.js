// What jobs are at, as long as the server tells. Memory is that of one message: nothing is gathered here.

const meanings = JSON.parse(document.getElementById("data").textContent).meanings;
const page = document.getElementById("page");
const SILENCE = 12000; // milliseconds without a word, of a server that says something every five seconds
let source = null, last = null, heard = Date.now(), shownId = location.hash.slice(1) || null, drawing = false;

if (location.search) history.replaceState(null, "", location.pathname + location.hash); // the cookie does from here

function section(title, lead, ...content) {
  return el("section", null, el("h2", null, title), lead && el("p", { class: "lead" }, lead), content);
}

function connect() {
  if (source) source.close();
  source = new EventSource(shownId ? `/events?job=${encodeURIComponent(shownId)}` : "/events");
  source.onmessage = (message) => { heard = Date.now(); last = message.data; schedule(); };
  source.addEventListener("beat", () => { heard = Date.now(); });
  // Where the server answers with something else, a browser does not try again.
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) refused(); };
}

function refused() {
  fetch("/events", { method: "GET" }).then((answer) => {
    if (answer.status === 403) say("This page belongs to a forge watch that has ended. Open the address that the new one has printed.");
    else setTimeout(connect, 2000);
    if (answer.body) answer.body.cancel();
  }, () => setTimeout(connect, 2000));
}

// The last line of the page's head: whether we hear of the jobs.
const line = el("p", { class: "link", role: "status" });
function say(words) { line.textContent = words; line.hidden = !words; }
say("Waiting for the first word…");

setInterval(() => {
  if (Date.now() - heard > SILENCE) say("No word from forge watch: what is shown may be old. It is asked again and again.");
  else if (last) say("");
}, 1000);

function schedule() {
  if (drawing || document.hidden) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const open = new Set([...page.querySelectorAll("details[open]")].map((of) => of.dataset.key));
    page.replaceChildren(line, ...view(JSON.parse(last)).flat(9).filter(Boolean));
    for (const of of page.querySelectorAll("details")) if (open.has(of.dataset.key)) of.open = true;
    say("");
  });
}
document.addEventListener("visibilitychange", () => { if (last) schedule(); });

function view({ jobs, job }) {
  if (!job) return [el("header", null, el("h1", null, "No jobs yet")), el("p", { class: "lead" }, "The page shows them when forge prepare writes into the folder that is watched.")];
  document.title = `${job.status}: ${job.folder}`;
  try {
    return [head(job), choice(jobs, job), tiles(job), problem(job), stages(job), fates(job), curves(job), rejected(job), notices(job), runs(job)];
  } catch (fault) {
    return [head(job), choice(jobs, job), section("This job cannot be shown", `Its notes hold something that this page does not know: ${fault.message}`)];
  }
}

const TONE = { running: "on", done: "", failed: "bad", killed: "bad", stopped: "", silent: "bad" };

function head({ state, folder, status }) {
  const resumed = state.resumed ? "goes on from an earlier run" : null;
  return el("header", null, el("h1", null, state.goal || folder), el("p", { class: `live ${TONE[status] ?? ""}` }, status),
    el("p", null, [folder, state.model, state.engine && `${state.engine} engine, ${count(state.threads)} ${state.threads === 1 ? "thread" : "threads"}`, resumed].filter(Boolean).join(" · ")));
}

function choice(jobs, job) {
  if (jobs.length < 2) return null;
  return el("div", { class: "chips" }, jobs.map((of) => el("button", {
    "aria-pressed": String(of.id === job.id), title: of.goal || "",
    onclick: () => { shownId = of.id; history.replaceState(null, "", `#${of.id}`); connect(); },
  }, `${of.folder}: ${of.status}`)));
}

const current = (state) => state.stages[state.stages.length - 1];
const shareOf = (stage) => {
  if (stage.seconds !== null && stage.seconds !== undefined) return 1;
  if (stage.total_bytes) return Math.min((stage.before_bytes + stage.bytes) / stage.total_bytes, 1);
  return stage.at && stage.at.total ? stage.at.done / stage.at.total : 0;
};

const rowsOf = (state) => Math.max(0, ...state.stages.map((stage) => stage.rows));

function tiles({ state, status }) {
  const stage = current(state), went = Math.max((stage.last ?? state.told - state.began) - stage.began, 0.001);
  const rate = stage.bytes / went, left = stage.total_bytes ? (stage.total_bytes - stage.before_bytes - stage.bytes) / rate : null;
  const over = state.outcome && state.outcome.seconds;
  const running = status === "running";
  return el("div", { class: "tiles" },
    running ? tile(words(stage.stage), stage.at ? `${stage.at.what}, ${share(stage.at.done, stage.at.total)}` : stage.total_bytes ? `${share(shareOf(stage), 1)} done` : "is going on")
      : tile(count(rowsOf(state)), status === "done" ? "rows" : `rows until then, in ${words(stage.stage)}`),
    running && stage.bytes ? tile(`${size(rate)}/s`, `${count(Math.round(stage.rows / went))} rows a second`) : null,
    running && left !== null && isFinite(left) ? tile(seconds(left), `left of ${words(stage.stage)}`) : null,
    tile(seconds(over || Math.max(state.told - state.began, 0)), running ? "so far" : "in all"),
    state.memory ? tile(size(state.memory), `memory held; the budget is ${size(state.memory_budget)} beyond imports`) : null,
    state.vram ? tile(size(state.vram), "memory of the GPUs") : null,
    state.gpu_use !== null && state.gpu_use !== undefined ? tile(share(state.gpu_use, 1), "of the time the GPUs work") : null);
}

function problem({ state, status, id, has_page }) {
  const silent = Date.now() / 1000 - state.told;
  if (status === "done") return has_page ? el("p", { class: "open" }, el("a", { href: `/report?job=${id}`, target: "_blank", rel: "noopener" }, "Open the report")) : null;
  if (status === "failed" || status === "stopped") return section(status === "failed" ? "It failed" : "It was stopped", state.outcome.error,
    status === "stopped" ? "The same command goes on from there." : null);
  if (status === "killed") return section("It was killed", "Its process is gone, without a word. The same command goes on from the checkpoint.");
  if (status === "silent") return section("Not heard of", "It runs on another machine, and nothing was heard of it for a while.");
  return silent > 15 ? el("p", { class: "lead" }, `It runs, and was last heard of ${seconds(silent)} ago.`) : null;
}

function stages({ state, status }) {
  const rows = state.stages.map((stage, number) => {
    const done = shareOf(stage) === 1 && stage.seconds !== null, last = number === state.stages.length - 1;
    const before = stage.total_bytes ? stage.before_bytes / stage.total_bytes : 0;
    const now = done ? seconds(stage.seconds) : stage.total_bytes ? `${size(stage.before_bytes + stage.bytes)} of ${size(stage.total_bytes)}` : stage.at ? stage.at.what : "";
    return el("div", { class: `stage${done ? " done" : last && status === "running" ? " now" : ""}`, "data-stage": stage.stage },
      el("span", { class: "name" }, words(stage.stage)),
      el("span", { class: "bar", role: "progressbar", "aria-valuenow": Math.round(100 * shareOf(stage)), "aria-label": stage.stage },
        before && !done ? el("i", { class: "before", style: { width: `${100 * before}%` } }) : null,
        el("i", { style: { width: `${100 * Math.max(shareOf(stage) - (done ? 0 : before), 0)}%` } })),
      el("span", { class: "number" }, now), el("span", { class: "number" }, stage.rows ? ofRows(stage.rows) : ""));
  });
  const resumed = state.stages.some((stage) => stage.before_bytes);
  return section("Stages", resumed ? "Pale: what an earlier run had done." : null, rows);
}

function fates({ state }) {
  const total = Object.values(state.fates).reduce((sum, rows) => sum + rows, 0);
  if (!total) return null;
  const grown = state.curves.filter((point) => point.fates && Object.keys(point.fates).length);
  const points = grown.flatMap((point) => FATES.filter((fate) => state.fates[fate]).map((fate) => ({ x: point.seconds, y: point.fates[fate] || 0, fate })));
  return section("What becomes of the rows", state.resumed && !state.outcome ? "Of this run." : null, strip(state.fates, total),
    grown.length > 2 ? plot((width) => ({ width, height: 170, y: { label: "rows", grid: true, tickFormat: "s" },
      marks: [Plot.areaY(points, { x: "x", y: "y", fill: (of) => colour(of.fate), z: "fate", order: FATES }), Plot.ruleY([0])] })) : null);
}

function curves({ state }) {
  const points = state.curves;
  if (points.length < 3) return null;
  const memory = (width) => ({ width, height: 150, y: { label: "memory, GiB", grid: true, zero: true },
    marks: [Plot.lineY(points, { x: "seconds", y: (of) => of.memory / 2 ** 30, stroke: "var(--accent)" }),
      points.some((of) => of.vram) ? Plot.lineY(points, { x: "seconds", y: (of) => of.vram / 2 ** 30, stroke: "var(--test)" }) : null, Plot.ruleY([0])] });
  const use = (width) => ({ width, height: 120, y: { label: "GPU use, %", domain: [0, 100], grid: true },
    marks: [Plot.areaY(points, { x: "seconds", y: (of) => 100 * of.gpu_use, fill: "var(--test)", fillOpacity: 0.5 })] });
  return section("Memory", points.some((of) => of.vram) ? "Of the process, and violet of its GPUs." : null, plot(memory), points.some((of) => of.gpu_use !== null && of.gpu_use !== undefined) ? plot(use) : null);
}

// A chart as wide as the page is now: the next message draws it anew, so that nothing has to watch it.
function plot(options) {
  const width = Math.min(document.documentElement.clientWidth - 60, 1040);
  return el("figure", { class: "plot" }, Plot.plot({
    marginLeft: 52, x: { label: null, tickFormat: (value) => (value >= 3600 ? `${(value / 3600).toFixed(1)} h` : value >= 60 ? `${Math.round(value / 60)} min` : `${value} s`) },
    style: { background: "transparent", fontSize: "12px", color: "var(--ink)" }, ...options(Math.max(width, 240)),
  }));
}

function rejected({ state, rejected }) {
  const reasons = Object.entries(state.reasons).sort((a, b) => b[1] - a[1]);
  if (!reasons.length && !rejected.length) return null;
  const most = Math.max(1, ...reasons.map(([, rows]) => rows));
  const places = [...rejected].reverse();
  const names = new Map(places.map((row) => row.file).map((file, at, all) => [file, shortNames([...new Set(all)])[[...new Set(all)].indexOf(file)]]));
  return section("Rejected", null,
    reasons.map(([reason, rows]) => el("div", { class: "stage" }, el("span", { class: "name", title: meanings.reasons[reason] || "" }, words(reason)),
      el("span", { class: "bar" }, el("i", { style: { width: `${(100 * rows) / most}%`, background: "var(--rejected)" } })), el("span", { class: "number" }, ofRows(rows)))),
    places.length ? el("details", { "data-key": "places" }, el("summary", null, el("span", { class: "name" }, "where the last ones are")),
      table(["file", "place", "why"], places.map((row) => [el("span", { title: row.file }, names.get(row.file)),
        row.line ? `line ${count(row.line)}` : `row ${count(row.row ?? 0)}`, words(String(row.reason))]))) : null);
}

function notices({ state }) {
  if (!state.notices.length) return null;
  const hidden = Object.values(state.counts).reduce((sum, number) => sum + number, 0) - state.notices.length;
  return section("Warnings", hidden > 0 ? `The last ${state.notices.length}; ${count(hidden)} came before.` : null,
    table(["after", "stage", ""], [...state.notices].reverse().map((of) => [seconds(of.seconds), of.stage, of.text])));
}

function runs({ state }) {
  if (!state.before.length) return null;
  return section("Earlier runs of this job", null, table(["began", "ended", "where", ""], [...state.before].reverse().map((run) =>
    [new Date(1000 * run.began).toLocaleString(), run.outcome, run.stage || "", run.error || ""])));
}

page.replaceChildren(line);
connect();
