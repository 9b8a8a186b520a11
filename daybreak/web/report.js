// Report: the facts of a run as a page; show(facts) may be called again with newer facts.
"use strict";

const counts = (f) => (f.plan?.shape?.family || f.request?.family) === "ngram"; // counting has no steps, and no curves

// Sections in their order: what each reads of the facts (it is filled again when that changes), how it is filled, and
// when it is left out, also of the menu.
const SECTIONS = [
  ["loss", (f) => [f.curves.loss, f.validations, f.samples, f.result, f.plan?.predicted, f.budget.seconds, f.training?.begin, f.training ? null : f.now], fillLoss, counts],
  ["comparison", (f) => [f.comparison, f.state], fillComparison],
  ["time", (f) => [f.phases, f.budget, f.state], fillTime],
  ["rates", (f) => [f.curves.rates, f.curves.gradient], fillRates, counts],
  ["decisions", (f) => [f.techniques, f.reasons, f.state], fillDecisions],
  ["gains", (f) => f.measured, fillGains, (f) => !f.measured],
  ["tasks", (f) => f.tasks, fillTasks, (f) => !f.tasks?.length],
  ["samples", (f) => f.samples, fillSamples, (f) => !f.samples.length && (counts(f) || f.state === "finished")],
  ["data", (f) => [f.corpus, f.plan?.tokenizer], fillData],
  ["machine", (f) => [f.machine, f.versions], fillMachine],
  ["events", (f) => [f.events, f.amendments, f.unreadable], fillEvents],
  ["commands", (f) => f.commands, fillCommands],
];
const shown = new Map(); // section -> the JSON that it shows
const view = { logTime: false, logLoss: false };
let newest = null;

function show(facts) {
  newest = facts;
  const page = document.getElementById("page");
  if (!page.firstChild) frame(page);
  refill("headline", [facts.state, facts.budget, facts.result, facts.validations.at(-1), facts.training, facts.plan?.shape, facts.headline, facts.now], fillHeadline);
  for (const [id, slice, fill, leftOut] of SECTIONS) {
    const gone = Boolean(leftOut?.(facts));
    document.getElementById(id).hidden = gone;
    document.querySelector(`nav a[href="#${id}"]`).hidden = gone;
    if (!gone) refill(id, slice(facts) ?? null, fill);
  }
  document.getElementById("written").textContent = say("page.written", { when: new Date(facts.written_at * 1000).toLocaleString(parts.language) });
}

function refill(id, slice, fill) {
  const key = JSON.stringify(slice);
  const body = document.querySelector(`#${id} > .body`);
  // What has the keyboard's focus is not taken away; charts and their controls stay when they are filled again.
  const focused = body.contains(document.activeElement) && !document.activeElement.closest(".controls, .chart, summary");
  if (shown.get(id) === key || focused) return;
  shown.set(id, key);
  fill(body, newest);
}

function frame(page) {
  document.body.prepend(parts.header(SECTIONS.map(([id]) => [id, say(`section.${id}.short`)])));
  page.append(make("section", { id: "headline" }, make("div", { class: "body" })));
  for (const [id] of SECTIONS) {
    page.append(make("section", { id, "aria-labelledby": `${id}-title` }, make("h2", { id: `${id}-title` }, say(`section.${id}`)), make("div", { class: "body" })));
  }
  document.body.append(make("footer", {}, make("p", { id: "written" }), make("p", { id: "connection", role: "status" })));
}

// The headline

function fillHeadline(body, facts) {
  const { budget, state } = facts;
  const badge = make("p", { class: `state ${state}` }, say(`state.${state}`));
  const lede = make("p", { class: "lede" }, ledeOf(facts));
  const told = ["crashed", "interrupted", "planned", "prepared", "empty"].includes(state) ? make("p", { class: "note" }, say(`told.${state}`, { used: seconds(budget.used) })) : null;
  body.replaceChildren(badge, make("h1", {}, facts.name), lede, ...[told, verdict(facts), figures(facts), compared(facts), spent(budget)].filter(Boolean));
}

function ledeOf(facts) {
  const { plan, corpus, request, machine, budget } = facts;
  const shape = plan?.shape;
  const what = !shape ? say(facts.request?.family === "ngram" ? "lede.counts" : "lede.network")
    : shape.family === "ngram" ? say("lede.ngram", { order: shape.order, unit: named("unit_of_counts", shape.unit) })
      : say(`lede.${shape.family}`, { parameters: count(facts.parameters), layers: shape.layers, width: shape.width });
  const names = (request?.sources || []).map((path) => path.replace(/\/+$/, "").split("/").pop());
  const source = names.length === 0 ? say("lede.builtin") : names.slice(0, 3).join(", ") + (names.length > 3 ? ` … (${names.length})` : "");
  const values = {
    what, source, text: corpus ? say("lede.text", { size: size(corpus.bytes), source }) : source,
    used: seconds(budget.used), budget: seconds(budget.seconds), machine: machine ? machineName(machine) : "",
  };
  return say(facts.state === "finished" ? "lede.finished" : "lede.going", values) + say(machine ? "lede.machine" : "lede.end", values);
}

// The run's own figures, while it trains its last score, and those that it is compared with, the best first.
function ranked({ result, validations, headline }) {
  const last = validations.at(-1);
  const own = [result.model && { ...result.model, name: say("bar.model"), kind: "own" }, ...result.more.map((more) => ({ ...more, name: say("bar.more", { needs: named("needs", more.needs) }), kind: "own" }))];
  if (!result.model && last && !headline.higher) own.push({ value: last.figure, name: say("bar.so_far", { progress: percent(last.progress) }), kind: "own" });
  // The run's own counts are of all of the text, Kneser-Ney as a baseline of a part.
  const counted = known(result.counts) && { value: result.counts, name: say("bar.counts"), kind: "other" };
  const baseline = (name) => result[name] && { ...result[name], name: say(`bar.${name}`), kind: "other" };
  const others = [counted || baseline("kneser_ney"), baseline("xz")];
  if (!own.some(Boolean)) return []; // nothing of the run's own to compare yet
  const found = [...own, ...others].filter((entry) => entry && known(entry.value));
  return found.sort((a, b) => a.value - b.value);
}

const ALIKE = 1.005; // figures that are closer are told as equal

// What the figures mean, in words: the run's own where it has said it, which is in English.
function verdict(facts) {
  const { result, headline } = facts;
  if (result.verdict && !isEnglish(result.verdict)) return make("p", { class: "verdict-line" }, result.verdict);
  const entries = ranked(facts);
  if (!result.model || headline.higher || entries.length < 2) return null;
  const [best, ...rest] = entries;
  const alike = rest.some((entry) => entry.kind === "own" && entry.value <= best.value * ALIKE);
  const key = best.kind === "other" ? best.name === say("bar.xz") ? "xz" : alike ? "alike" : "counting" : counts(facts) ? "ngram" : best.needs === "model/" ? "model" : "mixture";
  const values = { best: bits(best.value), name: best.name, unit: named("unit", headline.name), rest: rest.map((entry) => `${entry.kind === "own" ? say(entry.needs === "model/" ? "verdict.alone" : "verdict.mixed") : entry.name} ${bits(entry.value)}`).join(say("list.join")) };
  return make("p", { class: "verdict-line" }, say(`verdict.${key}`, values));
}

function figures(facts) {
  const { result, validations, training, headline, now } = facts;
  const list = [];
  const told = (value) => measured(value, headline.unit);
  const name = named("unit", headline.name);
  if (result.model) {
    const own = [result.model, ...result.more];
    if (!headline.higher) own.sort((a, b) => a.value - b.value);
    const share = known(result.scored_share) ? say(result.scored_share > 0.999 ? "figure.all" : "figure.share", { size: size(result.model.bytes), share: percent(result.scored_share) }) : "";
    for (const [i, one] of own.entries()) {
      const label = one === result.model ? say("figure.model", { figure: name }) : say("figure.more", { figure: name, needs: named("needs", one.needs) });
      const interval = one.interval ? say("figure.interval", { low: told(one.interval[0]), high: told(one.interval[1]) }) : "";
      list.push(figure(told(one.value), label, [i === 0 ? share : "", interval].filter(Boolean).join(say("figure.join")), i === 0));
    }
  } else if (validations.length) {
    const last = validations.at(-1);
    list.push(figure(told(last.figure), say("figure.on_the_way", { figure: name, progress: percent(last.progress) }), say("figure.scored", { size: size(last.bytes) }), true));
  }
  if (training) list.push(figure(count(training.tokens), say("figure.tokens"), say("figure.rate", { rate: count(training.tokens_per_second) })));
  return list.length ? make("dl", { class: "figures" }, list) : now ? make("p", { class: "now" }, doing(facts)) : nothing("figure.none");
}

// What a run that has no figure yet is doing, and how long that takes.
function doing(facts) {
  const { now } = facts;
  const phase = phaseName(facts, now.phase);
  if (known(now.left) && now.left >= 1) return say("now.left", { phase, left: seconds(Math.round(now.left)) });
  return say(known(now.left) ? "now.soon" : "now.since", { phase, spent: seconds(Math.round(now.seconds)) });
}

const figure = (value, name, note, main) => make("div", { class: main ? "main" : null }, make("dt", {}, name, note ? make("small", {}, note) : null), make("dd", {}, value));

// Bits per byte of the model beside those of the baselines, as places on one axis: a line joins each to the best.
function compared(facts) {
  const { result } = facts;
  const entries = ranked(facts);
  if (entries.length < 2) return null;
  const [best, worst] = [entries[0].value, entries.at(-1).value];
  const room = (worst - best || worst) * 0.12;
  const [low, high] = [Math.max(0, best - room), worst + room];
  const at = (value) => (100 * (value - low)) / (high - low);
  const rows = entries.map(({ name, value, kind }, i) => {
    const line = make("span", { class: "gap" });
    line.style.left = `${at(best)}%`;
    line.style.width = `${at(value) - at(best)}%`;
    const dot = make("span", { class: `dot ${kind}${i ? "" : " best"}` });
    dot.style.left = `${at(value)}%`;
    const more = i === 0 ? say("bar.best") : `+${percent(value / best - 1, value / best < 1.1 ? 1 : 0)}`;
    return make("li", { class: i ? null : "best" }, make("span", { class: "name" }, name), make("span", { class: "track" }, line, dot), make("span", { class: "number" }, bits(value)), make("span", { class: "number more" }, more));
  });
  const axis = make("p", { class: "axis", "aria-hidden": "true" }, make("span", {}, bits(low)), make("span", {}, bits(high)));
  const remark = make("p", { class: "quiet" }, say(known(result.counts) ? "bar.sample_xz" : "bar.sample"));
  return make("div", { class: "compared" }, make("p", { class: "caption" }, say("bar.caption", { low: bits(low) })), make("ul", { class: "bars places" }, rows), axis, remark);
}

function spent(budget) {
  if (!budget.seconds) return null;
  const share = Math.min(1, budget.used / budget.seconds);
  const text = say(budget.over > 0 ? "budget.over" : "budget.used", { used: seconds(budget.used), budget: seconds(budget.seconds), over: seconds(budget.over), unused: seconds(budget.unused) });
  return make("div", { class: "spent" }, make("span", { class: "track", role: "img", "aria-label": text }, bar(budget.over > 0 ? "over" : "accent", share)), make("p", { class: "quiet" }, text));
}

// Loss over seconds

function fillLoss(body, facts) {
  if (!facts.curves.loss.seconds.length) {
    charts.drop(body.querySelector(".chart"));
    body.replaceChildren(facts.now ? make("p", { class: "quiet" }, doing(facts)) : nothing("loss.none"));
    return;
  }
  let chart = body.querySelector(".chart");
  if (!chart) {
    chart = make("div");
    const again = (name) => (on) => { view[name] = on; charts.lines(chart, lossSpec(newest)); };
    const controls = make("div", { class: "controls" }, toggle(say("loss.log_time"), false, again("logTime")), toggle(say("loss.log_loss"), false, again("logLoss")));
    const numbers = make("details", {}, make("summary", {}, say("loss.table")), make("div"));
    body.replaceChildren(make("p", { class: "quiet" }, say("loss.told", { unit: lossUnit(facts) })), controls, chart, numbers);
  }
  charts.lines(chart, lossSpec(facts));
  body.querySelector("details > div").replaceChildren(lossTable(facts));
}

// Losses are told in the unit of the headline; where that is no loss, in nats.
const lossUnit = (facts) => named("unit.loss", facts.headline.name);

function lossSpec(facts) {
  const { curves, validations, samples, result, plan, budget, training } = facts;
  const begin = view.logTime ? training.begin : 0;
  const end = Math.max(budget.seconds || 0, training.used_seconds);
  const [unit, scale] = end < 600 ? ["seconds", 1] : end < 7200 ? ["minutes", 60] : ["hours", 3600];
  const moment = (used) => (used - begin) / scale;
  const late = !view.logTime && training.begin > 0.08 * end; // then the axis begins shortly before the first step
  const at = (list) => list.map(moment);
  const predicted = facts.headline.higher ? null : plan?.predicted;
  const weights = [...new Set(validations.map((v) => v.weights))];
  const series = [
    { name: say("loss.raw"), x: at(curves.loss.seconds), y: curves.loss.values, color: "muted", width: 1, opacity: 0.5, hover: false },
    { name: say("loss.smooth"), x: at(curves.smooth.seconds), y: curves.smooth.values, color: "accent", width: 2.5 },
    ...weights.map((name, i) => {
      const those = validations.filter((v) => v.weights === name);
      return { name: say(name === "current" ? "loss.validation" : "loss.validation_of", { weights: named("weights", name) }), x: at(those.map((v) => v.used_seconds)), y: those.map((v) => v.loss), color: `series-${2 + (i % 4)}`, points: true };
    }),
  ];
  // A share of tokens has no place among losses.
  const ends = facts.headline.higher ? [] : [[result.model, "loss.final", "star", "accent"], ...result.more.map((m) => [m, "loss.final_more", "star-open", "accent"])];
  for (const [figure, key, symbol, color] of ends) {
    if (figure) series.push({ name: say(key, { needs: named("needs", figure.needs) }), x: [moment(training.used_seconds)], y: [figure.value], color, points: true, symbol, size: 14 });
  }
  const rules = [
    known(result.xz?.value) && { y: result.xz.value, label: `${say("bar.xz")} ${bits(result.xz.value)}` },
    known(result.kneser_ney?.value) && { y: result.kneser_ney.value, label: `${say("bar.kneser_ney")} ${bits(result.kneser_ney.value)}` },
    predicted && { y: predicted.figure, label: `${say("loss.predicted")} ${bits(predicted.figure)}`, color: "accent-text", dash: "dot" },
    !view.logTime && !late && { x: moment(training.begin), label: say("loss.begin"), dash: "dot" },
  ].filter(Boolean);
  return {
    label: say("loss.label", { unit: lossUnit(facts) }), series, rules, logX: view.logTime, logY: view.logLoss, height: 440,
    xUnit: say(`loss.${unit}`), xTitle: say(view.logTime ? "loss.x_log" : late ? "loss.x_late" : "loss.x", { unit: say(`loss.${unit}`), begin: seconds(training.begin) }), yTitle: lossUnit(facts),
    xRange: [view.logTime ? Math.max(1e-6, moment(curves.loss.seconds[0])) / 1.1 : late ? moment(training.begin - 0.02 * (end - training.begin)) : 0, moment(1.01 * end)],
    yRange: lossRange(facts, rules),
    bands: predicted ? [{ from: predicted.figure_low, to: predicted.figure_high }] : [],
    marks: samples.filter((s) => known(s.loss)).map((s) => ({ x: moment(s.used_seconds), y: s.loss, label: say("sample.at", { progress: percent(s.progress), used: seconds(s.used_seconds) }), text: s.prompt + s.text })),
  };
}

// All that is told, without the very first steps of a long run: they would press the rest flat.
function lossRange(facts, rules) {
  const { curves, validations, result } = facts;
  const line = curves.smooth.values;
  const higher = facts.headline.higher;
  const ends = higher ? [] : [result.model, ...result.more].filter(Boolean).map((m) => m.value);
  const others = [...validations.map((v) => v.loss), ...rules.filter((r) => r.y).map((r) => r.y), ...ends];
  const top = view.logLoss || line.length < 12 ? Math.max(...line) : line[Math.floor(line.length * 0.03)];
  const low = Math.min(...others, ...curves.loss.values, higher ? Infinity : (facts.plan?.predicted.figure_low ?? Infinity));
  const high = Math.max(...others, top);
  return view.logLoss ? [low * 0.95, high * 1.05] : [Math.max(0, low - 0.06 * (high - low)), high + 0.06 * (high - low)];
}

function lossTable(facts) {
  const { smooth } = facts.curves;
  const every = Math.max(1, Math.ceil(smooth.seconds.length / 12));
  const picked = smooth.seconds.map((at, i) => [at, say("loss.smooth"), smooth.values[i]]).filter((_, i) => i % every === 0 || i === smooth.seconds.length - 1);
  const scored = facts.validations.map((v) => [v.used_seconds, say(v.weights === "current" ? "loss.validation" : "loss.validation_of", { weights: named("weights", v.weights) }), v.loss]);
  const rows = [...picked, ...scored].sort((a, b) => a[0] - b[0]).map(([at, what, value]) => [seconds(at, 1), what, bits(value)]);
  return table(say("loss.table"), [say("column.seconds"), say("column.figure"), lossUnit(facts)], rows, { numeric: [0, 2] });
}

// Plan against fact

function fillComparison(body, facts) {
  if (!facts.comparison.length) return body.replaceChildren(nothing("plan.none"));
  const rows = facts.comparison.map((row) => [named("fact", row.name), planned(row), [measured(row.fact, row.unit), make("small", {}, verdictOf(row))], known(row.ratio) ? say("plan.times", { n: fixed(row.ratio, 2) }) : "–"]);
  body.replaceChildren(
    table(say("section.comparison"), [say("column.figure"), say("column.plan"), say("column.fact"), say("column.ratio")], rows, { numeric: [1, 2, 3] }),
    make("p", { class: "quiet" }, say("plan.told")),
  );
}

const planned = (row) => [measured(row.plan, row.unit), known(row.low) ? make("small", {}, `${measured(row.low, row.unit)} – ${measured(row.high, row.unit)}`) : null];

function verdictOf(row) {
  if (!known(row.low) || !known(row.fact)) return "";
  if (row.fact >= row.low && row.fact <= row.high) return say("plan.inside");
  return say((row.fact > row.high) === row.higher ? "plan.better" : "plan.worse");
}

// From here on the page lives

show(parts.read("facts"));
