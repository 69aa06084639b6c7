// An answer of a model, and what mattered for it.

import { bar, make, number, percent, plain, seen, signed, signedBar, table, told } from "./dom.js";

const FIRST = 6;
// Contributions that are smaller than this share of the largest are not marked in a text.
const LEAST_MARKED = 0.04;

/** Return a sentence about a prediction, and the elements that show it. */
export function showPrediction(prediction, output, truth) {
  const show = "value" in prediction ? showNumber : "labels" in prediction ? showLabels : showLabel;
  const { sentence, elements } = show(prediction, output ?? {});
  const warnings = prediction.warnings ?? [];
  if (warnings.length) {
    const lines = warnings.map(({ field, message }) => make("p", { class: "warning" }, told(field), ": ", told(message)));
    elements.splice(1, 0, make("div", {}, ...lines));
  }
  if (truth !== undefined) {
    elements.splice(1, 0, make("p", { class: "quiet" }, "True for this held-out row: ", ...truthOf(truth, output)));
  }
  return { sentence, elements };
}

function truthOf(truth, output) {
  if (Array.isArray(truth)) return truth.length ? truth.flatMap((one, at) => [at ? ", " : "", told(one)]) : ["none of the labels"];
  return [typeof truth === "number" ? withUnit(truth, output) : told(truth)];
}

function withUnit(value, output) {
  return output?.unit ? `${number(value)} ${plain(output.unit)}` : number(value);
}

function showLabel(prediction, output) {
  const { label, score } = prediction;
  const elements = [make("p", { class: "lead" }, told(label), " ", make("small", {}, percent(score)))];
  let unsure = "";
  if (prediction.unsure) {
    const low = typeof output.unsure_below === "number" && score < output.unsure_below;
    unsure = low
      ? `Unsure: the probability is below ${percent(output.unsure_below)}.`
      : "Unsure: this is unlike what the model was trained on.";
    elements.push(make("p", { class: "notice" }, `${unsure} Ask a person, or ask in other words.`));
  }
  const thresholds = output.thresholds ?? {};
  const given = Object.entries(thresholds);
  const [best] = Object.keys(prediction.probabilities);
  if (given.length === 1) {
    const [name, least] = given[0];
    elements.push(make("p", { class: "small quiet" }, told(name), ` is answered from a probability of ${percent(least)} on.`));
  } else if (given.length && best !== label) {
    elements.push(make("p", { class: "small quiet" }, "Each label has a threshold; the answer is the one that is furthest above its own."));
  }
  elements.push(...probabilities(prediction.probabilities, new Set([label]), thresholds));
  return { sentence: `Answer: ${plain(label)}, ${percent(score)}. ${unsure}`, elements };
}

function showLabels(prediction, output) {
  const names = prediction.labels.map(({ label }) => label);
  const lead = make("p", { class: "lead" });
  if (names.length) lead.append(...names.flatMap((name, at) => [at ? ", " : "", told(name)]));
  else lead.append("None of the labels");
  const elements = [lead];
  elements.push(make("p", { class: "small quiet" }, "Every label is given whose probability reaches its threshold, the mark on its bar."));
  elements.push(...probabilities(prediction.probabilities, new Set(names), output.thresholds ?? {}));
  const told_ = names.length ? names.map(plain).join(", ") : "none of the labels";
  return { sentence: `Answer: ${told_}.`, elements };
}

function showNumber(prediction, output) {
  const value = withUnit(prediction.value, output);
  const elements = [make("p", { class: "lead" }, value, " ", make("small", {}, output.name ? told(output.name) : ""))];
  let sentence = `Answer: ${value}.`;
  if (prediction.interval) {
    const [low, high] = prediction.interval;
    const share = output.interval?.coverage;
    const meaning = share ? `, made to hold ${number(100 * share)} % of the true values` : "";
    const between = `${withUnit(low, output)} to ${withUnit(high, output)}`;
    elements.push(make("p", {}, make("strong", {}, between), meaning, "."));
    sentence += ` Between ${between}.`;
  }
  return { sentence, elements };
}

function probabilities(shares, chosen, thresholds) {
  const rows = Object.entries(shares).map(([label, share]) => {
    const name = make("th", { scope: "row" }, told(label));
    if (chosen.has(label)) name.append(make("span", { class: "unseen" }, " (the answer)"));
    const least = Object.hasOwn(thresholds, label) ? thresholds[label] : undefined;
    const figure = make("td", { class: "figure" }, percent(share));
    if (least !== undefined) figure.append(make("span", { class: "unseen" }, `, threshold ${percent(least)}`));
    return make("tr", { class: chosen.has(label) ? "chosen" : null }, name, make("td", {}, bar(share, least)), figure);
  });
  return table({ class: "bars" }, "Probabilities", rows, FIRST);
}

// ------------------------------------------------------------ explanations

/** Return the elements of what mattered, for an instance with the inputs of its model. */
export function showExplanation(explanation, instance, inputs) {
  const isLabel = explanation.of !== undefined;
  const of = isLabel ? ["for ", told(explanation.of)] : ["for this number"];
  const elements = [make("h3", {}, "What mattered ", ...of)];
  const contributions = explanation.contributions ?? [];
  if (!contributions.length) {
    elements.push(make("p", { class: "quiet" }, "Nothing that was asked made a difference."));
  }
  const largest = Math.max(...contributions.map((one) => Math.abs(one.contribution)), 1e-12);
  const words = contributions.filter((one) => "start" in one);
  for (const [field, text] of textsOf(words, instance, inputs)) {
    const own = words.filter((one) => one.field === field);
    if (inputs.length > 1) elements.push(make("p", { class: "small quiet" }, told(field)));
    elements.push(markedText(text, own, largest));
  }
  if (words.length) elements.push(legend(isLabel));
  elements.push(...bars(contributions, largest, instance, isLabel));
  elements.push(make("p", { class: "small quiet" }, sentenceOf(explanation, words.length > 0)));
  return elements;
}

/** Yield each explained field with its text, as it was sent. */
function* textsOf(words, instance, inputs) {
  for (const field of new Set(words.map((one) => one.field))) {
    let text = instance;
    if (typeof instance === "object") {
      const only = inputs.length === 1 ? inputs[0].name : field;
      text = instance[field] ?? instance[only];
    }
    if (typeof text === "string") yield [field, text];
  }
}

function markedText(text, words, largest) {
  const characters = Array.from(text); // places count code points
  const parts = [];
  let done = 0;
  for (const { start, end, contribution } of [...words].sort((a, b) => a.start - b.start)) {
    if (start < done || end > characters.length) continue;
    parts.push(...seen(characters.slice(done, start).join("")));
    const share = Math.abs(contribution) / largest;
    const nodes = seen(characters.slice(start, end).join(""));
    if (share < LEAST_MARKED) parts.push(...nodes);
    else {
      const level = 1 + Math.min(3, Math.floor(share * 4));
      const sign = contribution < 0 ? "minus" : "plus";
      parts.push(make("mark", { class: `${sign} s${level}`, title: signed(contribution) }, ...nodes));
    }
    done = end;
  }
  parts.push(...seen(characters.slice(done).join("")));
  return make("p", { class: "explained", dir: "auto", tabindex: "0", role: "group", "aria-label": "The text with its words marked" }, ...parts);
}

function legend(isLabel) {
  const [up, down] = isLabel ? ["speaks for it", "speaks against it"] : ["makes it larger", "makes it smaller"];
  return make(
    "p",
    { class: "legend" },
    make("span", {}, make("mark", { class: "plus s3" }, "word"), ` ${up}`),
    make("span", {}, make("mark", { class: "minus s3" }, "word"), ` ${down}`),
    make("span", {}, "stronger is darker"),
  );
}

function bars(contributions, largest, instance, isLabel) {
  const sorted = [...contributions].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const rows = sorted.map((one) => {
    const name = make("th", { scope: "row" });
    if ("word" in one) name.append(told(one.word));
    else {
      const value = typeof instance === "object" ? instance[one.field] : undefined;
      name.append(told(one.field), ...valueOf(value));
      if ("reference" in one) name.append(make("span", { class: "quiet small" }, ...typical(one.reference)));
    }
    const share = one.contribution / largest;
    return make("tr", {}, name, make("td", {}, signedBar(share)), make("td", { class: "figure" }, signed(one.contribution)));
  });
  const caption = isLabel ? "To the right: for it. To the left: against it." : "To the right: larger. To the left: smaller.";
  return rows.length ? table({ class: "bars" }, caption, rows, FIRST) : [];
}

function valueOf(value) {
  if (value === undefined) return [];
  if (value === null || value === "") return [" is empty"];
  const text = String(value);
  return [" = ", told(text.length > 30 ? `${text.slice(0, 29)}…` : text)];
}

function typical(reference) {
  if (reference === null || reference === "") return [" (typical: empty)"];
  return [" (typical: ", told(typeof reference === "number" ? number(reference) : reference), ")"];
}

const UNITS = {
  log_odds: "log-odds (0.7 doubles the odds)",
  one_vs_rest_log_odds: "log-odds of this label against the rest (0.7 doubles the odds)",
  centred_log_ratio: "logarithms of the probability, less their mean over all labels (0.7 doubles it)",
  value: "units of the answer",
};

function sentenceOf({ method, unit, base, total, complete, evaluations }, ofWords) {
  const left = ofWords ? "without any of the words" : "with typical values";
  const counts = `In ${UNITS[unit] ?? plain(unit)}`;
  const known = typeof base === "number" && typeof total === "number";
  const ends = known ? `: ${signed(base)} ${left}, ${signed(total)} as asked.` : ".";
  let how = "";
  if (method === "linear") how = " The contributions add up to the difference: the explanation is exact.";
  if (method === "occlusion") {
    const what = ofWords ? "the word is left out" : "the column has its typical value";
    how = ` Each says what changes where ${what}; together they need not add up.`;
    if (evaluations) how += ` The model was asked ${number(evaluations)} times.`;
  }
  const partial = complete === false ? " Time ran out: these are the ones that were found until then." : "";
  return counts + ends + how + partial;
}
