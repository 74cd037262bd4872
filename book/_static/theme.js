// Plots are drawn transparent with grey text. This keeps them as wide as their column, and makes their
// text lighter on a dark page and darker on a light one.
(function () {
  "use strict";
  function colour() {
    return document.documentElement.dataset.theme === "dark" ? "#c8c8c8" : "#404040";
  }
  function restyle() {
    if (!window.Plotly) return;
    document.querySelectorAll(".plotly-graph-div").forEach(function (plot) {
      if (!plot.layout) return;
      var ink = colour();
      var change = { "font.color": ink };
      (plot.layout.annotations || []).forEach(function (_, at) {
        change["annotations[" + at + "].font.color"] = ink;
      });
      window.Plotly.relayout(plot, change);
    });
  }
  window.addEventListener("load", function () {
    restyle();
    new MutationObserver(restyle).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["data-theme"],
    });
  });
  // The front page's picture moves once. Who asked for less motion sees how it ends; the button plays it again.
  window.addEventListener("load", function () {
    document.querySelectorAll("[data-cu-again]").forEach(function (button) {
      var drawing = document.getElementById(button.dataset.cuAgain);
      if (!drawing) return;
      if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) drawing.setCurrentTime(3600);
      button.addEventListener("click", function () { drawing.setCurrentTime(0); });
    });
  });
  // A wide table scrolls in its own box; the keyboard must reach it.
  window.addEventListener("load", function () {
    document.querySelectorAll(".bd-article table").forEach(function (table) { table.tabIndex = 0; });
  });
  document.addEventListener("toggle", function (event) {
    // A plot inside a folded solution has no width until it opens.
    event.target.querySelectorAll(".plotly-graph-div").forEach(function (plot) {
      if (window.Plotly && plot.layout) window.Plotly.Plots.resize(plot);
    });
  }, true);
})();
