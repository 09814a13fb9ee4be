// Sortable tables with DataTables (imported from within the page, so that all is drawn before the page counts as loaded and a printer that
// waits for no script has it); the theme follows the system until its button is pressed.
import DataTable from "datatables";

const root = document.documentElement;
const themeButton = document.getElementById("theme");
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;

function applyTheme() {
  const dark = chosenTheme === null ? systemDark.matches : chosenTheme;
  root.classList.toggle("dark", dark);
  themeButton.setAttribute("aria-pressed", String(dark));
}
themeButton.addEventListener("click", () => { chosenTheme = !root.classList.contains("dark"); applyTheme(); });
systemDark.addEventListener("change", applyTheme);
applyTheme();

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// the first screen shows one baseline's table, a phone one baseline's rows of a table; print shows all
for (const baseline of document.querySelectorAll("select[data-within]")) {
  const parts = document.querySelectorAll(`#${baseline.dataset.within} [data-baseline]`);
  const show = () => { for (const part of parts) part.classList.toggle("aside", part.dataset.baseline !== baseline.value); };
  baseline.addEventListener("change", show);
  show();
}

// a phone shows three lines of a long caption and the rest when asked; a screen reader reads all of it in any case
const LONG = 170;
for (const caption of document.querySelectorAll(".caption, figcaption")) {
  if (caption.textContent.length < LONG) continue;
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  more.textContent = "more";
  more.addEventListener("click", () => { more.textContent = caption.classList.toggle("long") ? "more" : "less"; });
  caption.classList.add("long");
  caption.after(more);
}

// files packed into the page; those it has no room for are links to files beside it
const files = JSON.parse(document.getElementById("files").textContent);
const TYPES = { csv: "text/csv", md: "text/markdown", tex: "text/x-tex", svg: "image/svg+xml", pdf: "application/pdf" };
async function unpacked(path) {
  const packed = Uint8Array.from(atob(files[path]), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: TYPES[path.split(".").pop()] });
}
for (const link of document.querySelectorAll("a[data-file]")) {
  if (!(link.dataset.file in files)) continue;
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    save(link.dataset.file.split("/").pop(), await unpacked(link.dataset.file));
  });
}
// a table as it is sorted now, for a spreadsheet
function tabbed(table) {
  return [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " ")).join("\t")).join("\n");
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(tabbed(document.getElementById(button.dataset.copy)));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
// what an address points at is open
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
}
window.addEventListener("hashchange", openTarget);
// paper shows what is folded on the screen
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
});
window.addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

for (const table of document.querySelectorAll("table.report:not(#example-table)")) {
  new DataTable(table, { paging: false, searching: false, info: false, order: [], autoWidth: false });
}
openTarget();
