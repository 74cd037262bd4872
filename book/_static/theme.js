// Plots are drawn transparent with grey text. This makes their text lighter on a dark page and darker on a
// light one, and fits it to a phone.
(function () {
  "use strict";
  function colour() {
    return document.documentElement.dataset.theme === "dark" ? "#c8c8c8" : "#404040";
  }
  function broken(text, length) {
    // A title that is longer than its axis, in two lines.
    if (text.indexOf("<br>") >= 0 || text.length * 5.8 <= length) return text;
    var middle = text.length / 2;
    var after = text.indexOf(" ", middle);
    var before = text.lastIndexOf(" ", middle);
    var at = after < 0 || middle - before < after - middle ? before : after;
    return at < 0 ? text : text.slice(0, at) + "<br>" + text.slice(at + 1);
  }
  function fit(plot, change) {
    var drawn = plot._fullLayout;
    if (!drawn || plot.clientWidth >= 480) return;
    change["font.size"] = 10;
    if (plot.layout.legend && plot.layout.legend.y < 0) {
      change["legend.y"] = 1.12; // below the plot it would meet slanted words and a title in two lines
      change["legend.yanchor"] = "bottom";
    }
    (plot.layout.annotations || []).forEach(function (note, at) {
      change["annotations[" + at + "].font.size"] = Math.min(10, (note.font && note.font.size) || 10);
    });
    Object.keys(plot.layout).forEach(function (name) {
      var title = /^[xy]axis\d*$/.test(name) && plot.layout[name].title;
      if (!title || !title.text || !drawn[name]._length) return;
      change[name + ".title.text"] = broken(title.text, drawn[name]._length);
    });
  }
  function restyle() {
    if (!window.Plotly) return;
    document.querySelectorAll(".plotly-graph-div").forEach(function (plot) {
      if (!plot.layout) return;
      var ink = colour();
      var change = { "font.color": ink };
      fit(plot, change);
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
    // Beside many columns of numbers a sentence would become a column of words.
    document.querySelectorAll(".bd-article td").forEach(function (cell) {
      if (cell.textContent.length > 40) cell.classList.add("cu-sentence");
    });
  });
  document.addEventListener("toggle", function (event) {
    // A plot inside a folded solution has no width until it opens.
    event.target.querySelectorAll(".plotly-graph-div").forEach(function (plot) {
      if (window.Plotly && plot.layout) window.Plotly.Plots.resize(plot);
    });
  }, true);
})();
