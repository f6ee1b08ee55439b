"use strict";
// Draws every figure in the reader's colour scheme, and again when that changes.
(() => {
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };

  async function draw(source) {
    const place = source.previousElementSibling.firstElementChild;
    try {
      if (typeof Plotly === "undefined") throw new Error("plotly.js was not found where this page has it from.");
      const figure = JSON.parse(source.textContent);
      for (const trace of figure.data) {  // what several traces share stands in the first one
        for (const name of ["customdata", "x", "y"]) {
          if (typeof trace[name] === "number") trace[name] = figure.data[trace[name]][name];
        }
      }
      figure.layout.template = themes[dark.matches ? "dark" : "light"];
      await Plotly.react(place, figure.data, figure.layout, config);
    } catch (error) {
      place.textContent = "This figure could not be drawn: " + error.message;
      place.classList.add("broken");
    }
  }

  async function drawAll() {
    for (const source of document.querySelectorAll("script.figure")) await draw(source);
    document.documentElement.dataset.drawn = "yes";
  }

  // Tables: a click on a name sorts, words and comparisons such as lr<0.01 filter.
  function keyOf(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.order ?? cell.textContent.trim();
    if (text === "" || text === "–") return null;
    const number = Number(text.split(" ")[0].replaceAll(",", ""));
    return Number.isNaN(number) ? text : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent || "#";
      head.replaceChildren(button);
      head.addEventListener("click", () => {
        const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
        const keyed = rows.map((row) => [keyOf(row, column), row]);
        keyed.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return turn * compare(a, b);
        });
        body.append(...keyed.map(([, row]) => row));
      });
    });
    const line = table.parentElement.previousElementSibling;
    const [field, words] = [line.querySelector("input"), line.querySelector("span")];
    const names = heads.map((head) => head.textContent.toLowerCase());
    const tests = {
      "<": (a, b) => a < b, ">": (a, b) => a > b, "=": (a, b) => a === b,
      "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
    };
    function accepts(row, part) {
      const found = part.match(/^(.+?)(<=|>=|<|>|=)(.+)$/);
      const column = found ? names.indexOf(found[1]) : -1;
      if (column < 0) return row.textContent.toLowerCase().includes(part);
      const key = keyOf(row, column);
      const wanted = Number(found[3]);
      if (key === null) return false;
      if (typeof key === "number" && !Number.isNaN(wanted)) return tests[found[2]](key, wanted);
      return found[2] === "=" && String(key).toLowerCase() === found[3];
    }
    field.addEventListener("input", () => {
      const parts = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        row.hidden = !parts.every((part) => accepts(row, part));
        left += !row.hidden;
      }
      words.textContent = parts.length ? left + " of " + rows.length : "";
    });
    line.hidden = false;
  }

  document.querySelectorAll("table.sorts").forEach(sortable);
  dark.addEventListener("change", drawAll);
  drawAll();
})();
