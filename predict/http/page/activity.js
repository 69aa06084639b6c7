// What the server has been doing: the numbers of /metrics, seen again and again, and the report of /drift.

import { ask } from "./asking.js";
import { bar, byId, draw, duration, make, number, percent, plain, table, told } from "./dom.js";

const EVERY_MS = 5000;
const DRIFT_EVERY = 6; // as often as that, in looks at the metrics
const SHOWN_S = 300;
const PSI_OF_DRIFT = 0.2;
const FIRST = 8;
// Routes that answer with predictions, whichever platform's they are.
const PREDICTS = /[/:](predict|infer|invoke|invocations|score|classify|regress|batch)$/;

let model; // of which answers and drift are shown: { name, path, artefact, texts }
let samples = []; // what was counted, and when
let paused = false;
let looks = 0;
const opened = new Set(); // the tables of which somebody wanted to see all rows
let timer;

/** Begin to look, or look at another model. */
export function watch(chosen) {
  model = chosen;
  looks = 0;
  look();
}

export function begin() {
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    byId("pause").textContent = paused ? "Go on" : "Pause";
    look();
  });
  document.addEventListener("visibilitychange", look);
}

async function look() {
  clearTimeout(timer);
  if (paused || document.hidden || !model) {
    byId("activity-state").textContent = paused ? "Paused." : "";
    return;
  }
  const asked = model;
  const answers = [ask("metrics")];
  if (looks++ % DRIFT_EVERY === 0 && document.documentElement.dataset.model === "true") answers.push(ask(`${asked.path}drift`));
  const [metrics, drift] = await Promise.all(answers);
  if (asked !== model || paused || document.hidden) return;
  clearTimeout(timer);
  timer = setTimeout(look, EVERY_MS);
  if (!metrics.ok) {
    byId("activity-state").textContent = metrics.content.detail;
    return;
  }
  byId("activity-state").textContent = `As of ${new Date().toLocaleTimeString("en-GB")}, every 5 seconds.`;
  const counted = readMetrics(metrics.content);
  remember(counted);
  showRates();
  showLatencies();
  showLabels(counted);
  if (drift?.ok) showDrift(drift.content);
  else if (looks === 1 || drift) byId("drift-chart").replaceChildren(quiet(drift?.content.detail ?? "The metadata of models is switched off here (SHOW_MODEL)."));
  if (drift?.ok) showLive(drift.content.feedback);
  else if (looks === 1) byId("live-chart").replaceChildren(quiet("It is told where drift is told."));
}

const quiet = (text) => make("p", { class: "quiet" }, text);

// ------------------------------------------------------------ reading

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** Read the text format of Prometheus: name -> a list of { labels, value }. */
function readMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = line[0] === "#" ? null : LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\[n"\\]/g, (one) => ESCAPES[one]);
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return found;
}

/** Keep what charts need of a look; after a restart of the server, begin anew. */
function remember(metrics) {
  const of = (name) => metrics.get(name) ?? [];
  const total = (name) => of(name).reduce((sum, one) => sum + one.value, 0);
  const sample = { at: performance.now() / 1000, answered: 0, refused: total("capstone_refused_total") + total("capstone_rejected_total"), buckets: new Map() };
  for (const { labels, value } of of("capstone_requests_total")) {
    if (!PREDICTS.test(labels.route)) continue;
    if (labels.status[0] === "2") sample.answered += value;
    else sample.refused += value;
  }
  for (const { labels, value } of of("capstone_request_duration_seconds_bucket")) {
    if (!PREDICTS.test(labels.route)) continue;
    const edge = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sample.buckets.set(edge, (sample.buckets.get(edge) ?? 0) + value);
  }
  const last = samples.at(-1);
  if (last && (sample.answered < last.answered || sample.refused < last.refused)) samples = [];
  samples.push(sample);
  samples = samples.filter((one) => sample.at - one.at <= SHOWN_S + EVERY_MS / 1000);
}

/** Return [time, value] of each look but the first, by a function of it and the one before. */
const differences = (of) => samples.slice(1).map((sample, index) => [sample.at, of(sample, samples[index])]);

/** Return the second below which a share of what was counted between two looks lies; null if nothing was. */
function quantile(share, buckets, before = new Map()) {
  const edges = [...buckets.keys()].sort((a, b) => a - b);
  const counts = edges.map((edge) => buckets.get(edge) - (before.get(edge) ?? 0));
  const all = counts.at(-1) ?? 0;
  if (all <= 0) return null;
  const place = counts.findIndex((count) => count >= share * all);
  const [low, below] = place ? [edges[place - 1], counts[place - 1]] : [0, 0];
  if (edges[place] === Infinity) return low;
  return low + ((edges[place] - low) * (share * all - below)) / (counts[place] - below || 1);
}

// ------------------------------------------------------------ showing

function showRates() {
  const answered = differences((now, before) => (now.answered - before.answered) / (now.at - before.at));
  const refused = differences((now, before) => (now.refused - before.refused) / (now.at - before.at));
  const last = samples.at(-1);
  const since = `Since the server started: ${number(last.answered)} answered, ${number(last.refused)} refused or failed.`;
  const now = answered.length ? `Now ${rate(answered)} answered, ${rate(refused)} refused or failed. ` : "";
  byId("rate-text").replaceChildren(...lines("answered", "refused or failed"), make("br"), now + since);
  plot(byId("rate-chart"), [answered, refused], 1, (value) => number(Number(value.toPrecision(2))), now + since);
}

const rate = (points) => `${number(Number(points.at(-1)[1].toPrecision(2)))} a second`;

function showLatencies() {
  const middle = differences((now, before) => quantile(0.5, now.buckets, before.buckets));
  const most = differences((now, before) => quantile(0.95, now.buckets, before.buckets));
  const { buckets } = samples.at(-1);
  const [all, tail] = [quantile(0.5, buckets), quantile(0.95, buckets)];
  const since = all === null ? "Nothing was answered yet." : `Since the server started: half within ${duration(all)}, 95 % within ${duration(tail)}.`;
  const recent = middle.at(-1)?.[1];
  const now = typeof recent === "number" ? `Now half within ${duration(recent)}, 95 % within ${duration(most.at(-1)[1])}. ` : "";
  byId("latency-text").replaceChildren(...lines("median", "95th percentile"), make("br"), now + since);
  plot(byId("latency-chart"), [middle, most], 0.001, duration, now + since);
}

function lines(first, second) {
  const one = (name, kind) => make("span", {}, make("span", { class: `key-line ${kind}`, "aria-hidden": "true" }), `${name} `);
  return [one(first, ""), " ", one(second, "second")];
}

// Of a chart, in pixels.
const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 126;
const TOP = 10;

/** Draw two series over the last minutes: points are [second, value], null where there is none. */
function plot(element, series, least, write, text) {
  const values = series.flat().map(([, value]) => value).filter((value) => value !== null);
  if (!series[0].length) {
    element.replaceChildren(quiet("The first value comes in 5 seconds."));
    return;
  }
  const width = Math.max(200, element.clientWidth);
  const top = roundUp(Math.max(least, ...values));
  const last = samples.at(-1).at;
  const x = (at) => width - 6 - ((last - at) / SHOWN_S) * (width - LEFT - 6);
  const y = (value) => BOTTOM - (value / top) * (BOTTOM - TOP);
  const picture = draw("svg", { class: "plot", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `Chart of the last five minutes. ${text}` });
  for (const value of [0, top / 2, top]) {
    picture.append(draw("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    picture.append(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, write(value)));
  }
  picture.append(draw("text", { x: LEFT, y: HEIGHT - 3 }, "5 minutes ago"), draw("text", { x: width, y: HEIGHT - 3, "text-anchor": "end" }, "now"));
  series.forEach((points, index) => {
    const kind = index ? "second" : "first";
    let path = "";
    let drawing = false;
    points.forEach(([at, value], place) => {
      if (value === null || at < last - SHOWN_S) {
        drawing = false;
        return;
      }
      path += `${drawing ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      drawing = true;
      const alone = (points[place - 1]?.[1] ?? null) === null && (points[place + 1]?.[1] ?? null) === null;
      if (alone) picture.append(draw("circle", { class: kind, cx: x(at), cy: y(value), r: 2.5 }));
    });
    picture.append(draw("path", { class: kind, d: path }));
  });
  element.replaceChildren(picture);
}

function roundUp(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * size).find((edge) => edge >= value * 0.999999);
}

function showLabels(metrics) {
  const counted = (metrics.get("capstone_predictions_total") ?? []).filter(({ labels }) => labels.model === model.name && (!model.artefact || labels.artefact === model.artefact));
  const all = counted.reduce((sum, one) => sum + one.value, 0);
  const instances = (metrics.get("capstone_instances_total") ?? []).filter(({ labels }) => labels.model === model.name);
  const element = byId("labels-chart");
  if (!all) {
    const answered = instances.reduce((sum, one) => sum + one.value, 0);
    element.replaceChildren(quiet(answered && !counted.length ? `${number(answered)} answers since the server started. They are numbers, so there are no labels to count.` : "Nothing was answered yet."));
    return;
  }
  const rows = counted
    .filter((one) => one.value)
    .sort((a, b) => b.value - a.value)
    .map(({ labels, value }) => {
      const name = labels.label === " other " ? "all other labels" : told(labels.label);
      return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, bar(value / all)), make("td", { class: "figure" }, number(value)));
    });
  showTable(element, { class: "bars" }, `Answers: ${number(all)}`, rows);
}

function showDrift({ verdict, dimensions, reference_rows: rows }) {
  const element = byId("drift-chart");
  if (!dimensions.length) {
    element.replaceChildren(quiet("This artefact has no profile of its test rows, so there is nothing to compare with."));
    return;
  }
  const most = Math.max(3 * PSI_OF_DRIFT, ...dimensions.flatMap((one) => [one.recent.psi, one.since_loaded.psi]));
  const scale = Math.min(most, 1);
  const shown = dimensions.map((one) => {
    const window = one.recent.answers ? one.recent : one.since_loaded;
    const psi = window.answers ? number(Number(window.psi.toPrecision(2))) : "–";
    return make(
      "tr",
      { class: one.verdict === "drift" ? "drifts" : null },
      make("th", { scope: "row" }, ...nameOf(one)),
      make("td", {}, bar(window.answers ? window.psi / scale : 0, PSI_OF_DRIFT / scale)),
      make("td", { class: "figure" }, psi),
      make("td", {}, one.verdict, ...movedMost(one, window)),
    );
  });
  const head = make("thead", {}, make("tr", {}, ...["Dimension", "", "PSI", "Verdict"].map((name) => (name ? make("th", { scope: "col" }, name) : make("td")))));
  const caption = `${verdict === "drift" ? "Something drifts" : `Verdict: ${verdict}`}. The last hour beside ${number(rows)} test rows: the population stability index, with a mark at ${PSI_OF_DRIFT}.`;
  showTable(element, { class: "bars drift" }, caption, shown, head);
}

function nameOf({ of, name }) {
  if (of === "texts" && name === "unknown_share") return ["unknown words"];
  if (of === "input" && model.texts.includes(name)) return ["length of ", told(name)];
  return [told(name), make("span", { class: "quiet small" }, ` ${plain(of)}`)];
}

/** Return which bin moved most, where something drifts. */
function movedMost({ verdict }, { moved }) {
  if (verdict !== "drift" || !moved.length) return [];
  const [{ bin, reference, live }] = moved;
  return [": ", told(bin), ` from ${percent(reference)} to ${percent(live)}`];
}

const LIVE = { accuracy: "Accuracy", micro_f1: "Micro F1", exact_match: "Exact match", mean_absolute_error: "Mean absolute error" };

function showLive({ since_loaded: known, share_with_feedback: share }) {
  if (!known.answers) {
    byId("live-chart").replaceChildren(quiet("Nobody has told what was true. A client does so with POST /feedback."));
    return;
  }
  const found = Object.entries(LIVE).filter(([name]) => typeof known[name] === "number");
  const write = (name, value) => (name === "mean_absolute_error" ? number(value) : percent(value));
  const rows = found.map(([name, shown]) => {
    const ends = known[`${name}_interval`];
    const between = ends ? `${write(name, ends[0])} to ${write(name, ends[1])}` : "";
    return make("tr", {}, make("th", { scope: "row" }, shown), make("td", {}, make("strong", {}, write(name, known[name]))), make("td", { class: "figure" }, between));
  });
  const told_ = `${number(known.answers)} answers, ${percent(share ?? 0)} of all since the model was loaded, with intervals of 95 %`;
  byId("live-chart").replaceChildren(...table({ class: "bars" }, told_, rows, FIRST));
}

/** Show a table anew, and all of it where somebody has asked for that. */
function showTable(element, attributes, caption, rows, head) {
  if (element.contains(document.activeElement)) return; // somebody is about to press its button
  const [shown, more] = table(attributes, caption, rows, opened.has(element.id) ? rows.length : FIRST, head);
  element.replaceChildren(shown);
  if (!more) return;
  element.append(more);
  more.addEventListener("click", () => {
    opened.add(element.id);
    const heading = element.parentElement.querySelector("h3");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  });
}
