"use strict";
// Tables sort by a click on a column's title; without scripts they stay as they were written.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    if (title.textContent.trim() === "") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const down = title.getAttribute("aria-sort") === "ascending";
      for (const other of titles) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent.trim();
      const figure = (text) => parseFloat(text.replace(/[,$>\s]/g, ""));
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b), m = figure(x), n = figure(y);
        if (Number.isNaN(m) !== Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1; // what is not known stands last
        const order = Number.isNaN(m) ? x.localeCompare(y, undefined, { numeric: true }) : m - n;
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
