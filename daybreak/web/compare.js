// The comparison's page: verdicts, the curves of all runs on one chart, figures, and the decisions that differ.
"use strict";

(() => {
  const { make, named, say } = parts;
  const facts = parts.read("facts");
  const COLOURS = 5; // --series-1 to --series-5 of page.css; more runs differ by their dashes
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const view = { over: "seconds", log: false };

  const colourOf = (i) => `series-${(i % COLOURS) + 1}`;
  const dashOf = (i) => DASHES[Math.floor(i / COLOURS) % DASHES.length];

  function verdictCard(verdict) {
    const kind = verdict.verdict.replace(" ", "-");
    return make("li", { class: `verdict ${kind}` },
      make("strong", {}, say(`word ${verdict.verdict}`)),
      make("span", {}, verdict.sentence),
      scale(verdict),
    );
  }

  // Where the interval lies beside zero, drawn; the sentence says the same in numbers.
  function scale(verdict) {
    const widest = Math.max(...facts.verdicts.flatMap((v) => [Math.abs(v.low), Math.abs(v.high)]), 1e-9);
    const at = (value) => 50 + 48 * (value / widest);
    const band = make("i", { class: "band" });
    band.style.left = `${at(verdict.low)}%`;
    band.style.width = `${Math.max(0.6, at(verdict.high) - at(verdict.low))}%`;
    const point = make("i", { class: "point" });
    point.style.left = `${at(verdict.difference)}%`;
    return make("div", { class: "interval", "aria-hidden": "true" },
      make("b", {}, say("word better")), make("div", {}, make("i", { class: "zero" }), band, point), make("b", {}, say("word worse")));
  }

  function verdicts() {
    const lists = ["alone", "kept"].map((figure) => {
      const found = facts.verdicts.filter((verdict) => verdict.figure === figure);
      return found.length ? [make("h3", {}, say(figure)), make("ul", { class: "verdicts" }, found.map(verdictCard))] : [];
    });
    return make("section", {}, make("h2", {}, say("verdicts")), ...lists.flat(), facts.remarks.map((line) => make("p", { class: "quiet" }, line)));
  }

  function series() {
    const found = [];
    facts.runs.forEach((run, i) => {
      const look = { color: colourOf(i), dash: dashOf(i) };
      const { curve } = run;
      const over = (point) => point[view.over];
      if (curve.values.length) found.push({ ...look, name: run.label, x: curve[view.over], y: curve.values });
      const scored = curve.validations.filter((point) => parts.known(over(point)));
      if (scored.length) {
        found.push({ ...look, name: `${run.label}: ${say("validation dots")}`, legend: false, points: true, size: 8, x: scored.map(over), y: scored.map((v) => v.loss) });
      }
      if (curve.end && parts.known(over(curve.end))) {
        const name = curve.values.length ? `${run.label}: ${say("final star")}` : run.label;
        found.push({ ...look, name, legend: !curve.values.length, points: true, size: 15, symbol: "star", x: [over(curve.end)], y: [curve.end.loss] });
      }
    });
    return found;
  }

  // The first steps are far above everything that tells runs apart.
  function range(drawn) {
    const ends = facts.runs.flatMap((run) => (run.curve.end ? [run.curve.end.loss] : []));
    const all = drawn.flatMap((one) => one.y).filter(parts.known);
    if (!all.length) return undefined;
    const low = Math.min(...all);
    const worst = Math.max(...(ends.length ? ends : all));
    if (!(Math.max(...all) > low)) return undefined; // equal figures: the chart leaves room around them
    const high = Math.min(Math.max(...all), worst + 1.5 * Math.max(worst - low, 0.5));
    return [low - 0.06 * (high - low), high + 0.04 * (high - low)];
  }

  function draw(element) {
    const drawn = series();
    charts.lines(element, {
      label: say("chart"),
      series: drawn,
      height: 420,
      xUnit: say(`${view.over} unit`),
      xTitle: say(`${view.over} axis`),
      yTitle: named("unit", facts.headline),
      logX: view.log,
      yRange: range(drawn),
    });
  }

  function curves() {
    const chart = make("div");
    const buttons = ["seconds", "tokens"].map((over) => {
      const button = make("button", { type: "button", class: "toggle", "aria-pressed": String(view.over === over) }, say(`over ${over}`));
      button.addEventListener("click", () => {
        view.over = over;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        draw(chart);
      });
      return button;
    });
    const log = parts.toggle(say("logarithmic"), view.log, (on) => {
      view.log = on;
      draw(chart);
    });
    const section = make("section", {}, make("h2", {}, say("curves")), make("div", { class: "controls" }, ...buttons, log), chart, make("p", { class: "quiet" }, say("curves note")));
    draw(chart);
    return section;
  }

  function figures() {
    const columns = ["run", "alone column", "mixed column", "seconds", "tokens", "tokens per second", "parameters", "vocabulary", "techniques"];
    const bits = (value) => (parts.known(value) ? parts.fixed(value, 4) : parts.whole(value));
    const rows = facts.runs.map((run, i) => [
      make("span", { class: "swatched" }, swatch(i), run.label),
      bits(run.alone),
      bits(run.mixed),
      facts.times[i],
      parts.whole(run.tokens),
      parts.whole(run.tokens_per_second),
      run.parameters === null ? say("counts") : parts.whole(run.parameters),
      parts.whole(run.vocabulary),
      run.techniques.join(", ") || say("none"),
    ]);
    return make("section", {}, make("h2", {}, say("table")), parts.table(say("table"), columns.map((name) => say(name)), rows, { numeric: [1, 2, 3, 4, 5, 6, 7] }));
  }

  function swatch(i) {
    const dot = make("i", { class: "swatch", "aria-hidden": "true" });
    dot.style.background = `var(--${colourOf(i)})`;
    return dot;
  }

  function decisions() {
    const rows = (list) => parts.table(say("differences"), [say("decision"), ...facts.runs.map((run) => run.label)], list);
    const { rows: shared, rows_apart: apart } = facts;
    const more = apart.length ? make("details", {}, make("summary", {}, say("decisions apart", { n: apart.length })), rows(apart)) : null;
    const content = shared.length || more ? [shared.length ? rows(shared) : null, more] : make("p", {}, say("no differences"));
    return make("section", {}, make("h2", {}, say("differences")), content);
  }

  const how = make("details", { class: "quiet" }, make("summary", {}, say("how")), make("p", {}, facts.how));
  const main = document.getElementById("page");
  const sections = [["verdicts", verdicts()], ["curves", curves()], ["table", figures()], ["differences", decisions()]];
  for (const [id, section] of sections) section.id = id;
  document.body.prepend(parts.header(sections.map(([id]) => [id, say(id)])));
  main.append(make("h1", {}, say("title")), ...sections.map(([, section]) => section), how);
})();
