// The model card: what the metadata says, in words where these are true of every such model.

import { make, number, percent, plain, table, time, told } from "./dom.js";

// How a metric is called, and whether it is a share.
const METRICS = {
  accuracy: ["Accuracy", true],
  precision: ["Precision", true],
  recall: ["Recall", true],
  f1: ["F1", true],
  macro_f1: ["Macro F1", true],
  micro_f1: ["Micro F1", true],
  exact_match: ["Exact match", true],
  roc_auc: ["Area under the ROC curve", false],
  pr_auc: ["Area under precision and recall", false],
  log_loss: ["Log loss", false],
  ece: ["Expected calibration error", true],
  mae: ["Mean absolute error", false],
  median_absolute_error: ["Median absolute error", false],
  rmse: ["Root mean squared error", false],
  r2: ["R²", false],
  interval_coverage: ["True values within the interval", true],
  interval_width: ["Width of the interval", false],
};
const ANSWERS = { label: "one of the labels", number: "a number", labels: "any number of labels" };

/** Return what a model card has; `metadata` is null where it is not shown. */
export function showCard(metadata, state) {
  if (!metadata) return [make("p", { class: "quiet" }, "The metadata of models is switched off here (SHOW_MODEL).")];
  return [make("div", { class: "card-grid" }, about(metadata, state), measured(metadata), data(metadata), limits(metadata)), environment(metadata)];
}

function part(heading, ...elements) {
  return make("section", {}, make("h3", {}, heading), ...elements);
}

function list(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return make("dl", {}, ...known.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, ...[value].flat())]));
}

function about(metadata, state) {
  const [output] = metadata.outputs;
  const kind = ANSWERS[output.type];
  return part(
    "The model",
    list([
      ["Artefact", told(metadata.name)],
      ["Trained", time(metadata.created_at)],
      ["Answers here since", state?.loaded_at && time(state.loaded_at)],
      ["Before it", state?.previous && told(state.previous)],
      ["Task", `${metadata.task}: ${kind}`],
      ["Answers", told(output.name)],
      ["Reads", names(metadata.inputs.map((input) => input.name))],
      ["Labels", output.labels?.length ? names(output.labels) : undefined],
      ["Kind", metadata.model?.family && told(metadata.model.family)],
      ["Shadow", state?.shadow && shadow(state.shadow)],
    ]),
  );
}

function shadow(counts) {
  const shown = Object.entries(counts).filter(([, value]) => ["string", "number"].includes(typeof value));
  return shown.flatMap(([name, value], at) => [at ? ", " : "", `${name} `, told(value)]);
}

function names(all, first = 24) {
  const box = make("span", { class: "names" }, ...all.slice(0, first).map(told));
  if (all.length <= first) return box;
  const more = make("button", { type: "button", class: "link" }, `Show all ${number(all.length)}`);
  more.addEventListener("click", () => box.replaceChildren(...all.map(told)));
  box.append(more);
  return box;
}

function measured(metadata) {
  const rows = Object.entries(metadata.metrics).map(([name, value]) => {
    const [shown, isShare] = Object.hasOwn(METRICS, name) ? METRICS[name] : [name.replaceAll("_", " "), false];
    return make("tr", {}, make("th", { scope: "row" }, told(shown)), make("td", { class: "figure" }, isShare ? percent(value) : number(value)));
  });
  const tested = metadata.dataset?.split?.test;
  const on = tested ? `On ${number(tested)} test rows that training did not see` : "On the test rows";
  return part("How well it does", ...table({ class: "bars" }, on, rows, 12));
}

function data(metadata) {
  const { name, source, rows_read: read, rows_kept: kept, split, label_counts: counts } = metadata.dataset ?? {};
  const sizes = split && ["train", "validation", "test"].filter((each) => split[each]).map((each) => `${number(split[each])} to ${each === "train" ? "train" : each === "test" ? "test" : "validate"}`);
  const numbers = counts ? Object.values(counts).filter((count) => typeof count === "number") : [];
  const pairs = [
    ["Dataset", name && told(name)],
    ["From", source && told(source)],
    ["Rows", kept && (read && read !== kept ? `${number(kept)} of ${number(read)} read` : number(kept))],
    ["Split", sizes?.join(", ")],
    ["Rows a label", numbers.length > 1 ? `${number(Math.min(...numbers))} to ${number(Math.max(...numbers))}` : undefined],
  ];
  if (!pairs.some(([, value]) => value)) return part("The data", make("p", { class: "quiet" }, "The metadata says nothing about it."));
  return part("The data", list(pairs));
}

function limits(metadata) {
  const [output] = metadata.outputs;
  const columns = metadata.inputs;
  const sentences = [];
  const accuracy = metadata.metrics.accuracy;
  if (output.type === "label") {
    if (accuracy < 1) sentences.push(`About one answer in ${number(Math.max(2, Math.round(1 / (1 - accuracy))))} was wrong on the test rows.`);
    const unsure = typeof output.unsure_below === "number" || typeof output.familiar_from === "number";
    sentences.push(
      unsure
        ? "It answers one of its labels whatever is asked, and says where it is unsure."
        : "It answers one of its labels whatever is asked. It does not say when none of them fits.",
    );
  }
  if (output.type === "labels") sentences.push("A label is given only above its threshold. No label at all is an answer too.");
  if (output.type === "number" && output.interval) sentences.push("All its intervals are equally wide, however easy a row is.");
  sentences.push(`It knows the world as it was in its data, before ${time(metadata.created_at).slice(0, 10)}.`);
  if (columns.some((column) => column.type === "text")) sentences.push("Words that training did not see are judged by their spelling, if at all.");
  if (columns.some((column) => ["number", "category"].includes(column.type))) {
    sentences.push("Values outside what training saw are scored, with a warning.");
  }
  sentences.push("A contribution says what the model went by. It does not say what causes what.");
  return part("Its limits", make("ul", {}, ...sentences.map((sentence) => make("li", {}, sentence))));
}

function environment(metadata) {
  const pairs = Object.entries(metadata.versions ?? {}).map(([name, version]) => [plain(name), told(version)]);
  const { commit, dirty } = metadata.git ?? {};
  if (commit) pairs.push(["Commit", told(`${commit}${dirty ? " with changes" : ""}`)]);
  for (const [name, seed] of Object.entries(metadata.seeds ?? {})) pairs.push([`Seed: ${plain(name)}`, told(seed)]);
  if (!pairs.length) return "";
  return make("details", {}, make("summary", {}, "Environment it was trained in"), list(pairs));
}
