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
    const place = source.previousElementSibling;
    try {
      const figure = JSON.parse(source.textContent);
      for (const trace of figure.data) {  // texts of several traces stand in the first one
        if (typeof trace.customdata === "number") trace.customdata = figure.data[trace.customdata].customdata;
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

  dark.addEventListener("change", drawAll);
  drawAll();
})();
