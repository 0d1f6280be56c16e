// What data is, before there is a plan.

const { report, meanings, command } = JSON.parse(document.getElementById("data").textContent);
const names = shortNames(report.files.map((file) => file.path));
const place = ({ file, row, line }) => {
  const at = report.files.findIndex((of) => of.path === file);
  return `${at < 0 ? file : names[at]}, ${line ? `line ${count(line)}` : `row ${count(row)}`}`;
};

function section(title, lead, ...content) {
  return el("section", null, el("h2", null, title), lead && el("p", { class: "lead" }, lead), content);
}

const amount = (findings) => Object.values(findings).reduce((sum, of) => sum + of.rows, 0);

function overview() {
  const size_ = report.files.reduce((sum, file) => sum + (file.bytes || 0), 0);
  return el("div", { class: "tiles" },
    tile(count(report.rows), `rows in ${size(size_)}`),
    tile(count(report.files.length), report.files.length === 1 ? "file" : "files"),
    tile(count(amount(report.unreadable)), "rows cannot be read"),
    tile(count(report.exact_duplicates.rows), "are equal to an earlier one"),
    tile(count(report.near_duplicates.rows), "are similar to an earlier one"));
}

function findings(title, lead, found) {
  const present = Object.entries(found).filter(([, of]) => of.rows).sort((a, b) => b[1].rows - a[1].rows);
  if (!present.length) return null;
  const most = Math.max(...present.map(([, of]) => of.rows));
  return section(title, lead, present.map(([name, of], number) => el("details", { open: number === 0 ? "" : null },
    el("summary", null, el("span", { class: "name" }, words(name)),
      el("span", { class: "bar" }, el("i", { style: { width: `${(100 * of.rows) / most}%` } })),
      el("span", { class: "number" }, `${ofRows(of.rows)}, ${share(of.rows, report.rows)}`),
      el("span", { class: "sub" }, meanings.reasons[name] || "")),
    of.examples.length ? table(["place", ""], of.examples.map((example) => [place(example), example.what])) : null)));
}

function columns() {
  return section("Columns", null, table(["column", "what it holds", "mean length", "longest", "missing or null"], report.columns.map((column) => [
    el("b", null, column.name), Object.entries(column.kinds).map(([kind, rows]) => `${count(rows)} ${kind}`).join(", ") || "nothing",
    right(column.longest ? `${count(Math.round(column.mean))} bytes` : ""), right(column.longest ? count(column.longest) : ""),
    right(count(report.rows - column.present + column.null))])));
}

function records() {
  const mapped = Object.entries(report.mapping);
  return section("How records are read", `As ${report.shape}.`, mapped.length ? facts(mapped) : null);
}

function files() {
  return section("Files", null, table(["file", "format", "encoding", "size", "rows", "lost"], report.files.map((file, number) => [
    el("span", { title: file.path }, names[number]), file.format, file.encoding, right(file.bytes === null ? "" : size(file.bytes)), right(count(file.rows)),
    file.losses.join("; ")])));
}

const repeated = { "equal to an earlier row": report.exact_duplicates, "similar to an earlier row, by an estimate": report.near_duplicates };
document.getElementById("page").replaceChildren(...[
  el("header", null, el("h1", null, "What the data is"), el("p", null, names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${count(names.length - 3)} more` : ""))),
  overview(), findings("Cannot be read", "A job would reject these as they are.", report.unreadable), findings("Amiss", "Checks that rows fail.", report.findings), findings("Rules by kind", "Filters of web pages fail most answers of a chat.", report.rules),
  findings("Repeated", null, repeated), records(), columns(), files(),
  report.notes.length ? section("Notes", null, el("ul", null, report.notes.map((note) => el("li", null, note)))) : null,
  el("footer", null, `Made by ${command.join(" ")}. This page loads nothing and sends nothing.`)].flat(9).filter(Boolean));
