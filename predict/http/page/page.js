// The page: which model is asked, the form, its answer. The other modules make what it shows.

import { begin, watch } from "./activity.js";
import { showExplanation, showPrediction } from "./answer.js";
import { ask, hasKey, keep } from "./asking.js";
import { showCard } from "./card.js";
import { byId, make, plain, seen, told } from "./dom.js";
import { makeFields } from "./fields.js";

// What the server has switched on: whether a key is needed, and whether there are examples, metadata and explanations.
const switches = document.documentElement.dataset;

let models = [];
let model; // { name, path, state, metadata }
let fields;
let example; // { number, instance, truth }, if the form was filled with one
let turn = 0;

start();

async function start() {
  byId("form").addEventListener("submit", predict);
  byId("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
  });
  byId("form").addEventListener("input", () => byId("from-example").replaceChildren());
  byId("another").addEventListener("click", () => fillExample((example?.number ?? -1) + 1));
  byId("model").addEventListener("change", () => choose(models[byId("model").selectedIndex]));
  byId("key-form").addEventListener("submit", useKey);
  byId("explain").checked = switches.explanations === "true";
  byId("explain").parentElement.hidden = switches.explanations !== "true";
  begin();
  if (switches.key === "true" && !hasKey()) askForKey("");
  else await loadModels();
}

// ------------------------------------------------------------ the key

function askForKey(problem) {
  byId("shown").hidden = true;
  byId("key-form").hidden = false;
  byId("key-error").textContent = problem;
  byId("key").setAttribute("aria-invalid", problem ? "true" : "false");
  byId("key").focus();
}

async function useKey(event) {
  event.preventDefault();
  keep(byId("key").value.trim());
  byId("key").value = "";
  byId("key-form").hidden = true;
  if (hasKey()) await loadModels();
  else askForKey("A key has at least one character.");
}

/** Return whether an answer is there; say why, where it is not. */
function isThere(answer) {
  byId("trouble").hidden = answer.ok || answer.status === 401;
  if (answer.ok) return true;
  if (answer.status === 401) {
    askForKey(hasKey() ? "This is none of the server's keys." : "");
    keep("");
  } else {
    byId("trouble").replaceChildren(...seen(answer.content.detail));
  }
  return false;
}

// ------------------------------------------------------------ the model

async function loadModels() {
  const answer = await ask("models");
  if (!isThere(answer)) return;
  models = answer.content.models;
  byId("model").replaceChildren(...models.map(({ name }) => make("option", { value: name }, plain(name))));
  byId("choice").hidden = models.length < 2;
  const first = Math.max(0, models.findIndex((each) => each.default));
  byId("model").selectedIndex = first;
  await choose(models[first]);
}

async function choose(state) {
  const mine = ++turn;
  const short = models.length === 1 || state.default;
  const chosen = { name: state.name, path: short ? "" : `models/${encodeURIComponent(state.name)}/`, state, metadata: null };
  if (switches.model === "true") {
    const answer = await ask(short ? "model" : `models/${encodeURIComponent(state.name)}`);
    if (mine !== turn) return;
    showRefused(state.refused);
    byId("shown").hidden = !answer.ok;
    if (!isThere(answer)) return;
    chosen.metadata = answer.content;
  }
  model = chosen;
  byId("shown").hidden = false;
  showTitle();
  fields = makeFields(byId("fields"), model.metadata);
  clearAnswer();
  byId("card-content").replaceChildren(...showCard(model.metadata, state));
  const texts = fields.inputs.filter((input) => input.type === "text").map((input) => input.name);
  watch({ name: state.name, path: model.path, artefact: state.artefact, texts });
  example = undefined;
  byId("from-example").textContent = "";
  byId("another").hidden = switches.examples !== "true";
  if (switches.examples === "true") await fillExample(0);
}

function showTitle() {
  const { metadata, state } = model;
  const [output] = metadata?.outputs ?? [];
  byId("heading").replaceChildren(...(output ? ["Predict ", told(output.name)] : ["Try the model"]));
  document.title = output ? `Predict ${plain(output.name)} – Capstone` : "Capstone";
  const parts = [];
  if (metadata?.dataset?.name) parts.push(["trained on ", told(metadata.dataset.name)]);
  if (state.artefact) parts.push(["artefact ", told(state.artefact)]);
  if (state.loaded_at) parts.push([`answering since ${state.loaded_at.slice(0, 16).replace("T", " ")} UTC`]);
  byId("subtitle").replaceChildren(...parts.flatMap((part, at) => [at ? " · " : "", ...part]));
}

function showRefused(refused) {
  byId("refused").hidden = !refused;
  if (refused) {
    const when = refused.at.slice(0, 16).replace("T", " ");
    byId("refused").replaceChildren(`An artefact was refused at ${when} UTC, and the one before answers on. `, told(refused.reason));
  }
}

async function fillExample(count) {
  const mine = turn;
  const most = model.metadata?.num_examples;
  const next = most ? count % most : count;
  let answer = await ask(`${model.path}predict/example?number=${next}`);
  // Where nobody tells how many there are, the first follows the last.
  if (answer.status === 422 && next) answer = await ask(`${model.path}predict/example?number=0`);
  if (mine !== turn || !isThere(answer)) return;
  const [instance] = answer.content.instances;
  example = { number: next, instance, truth: answer.content.expected.truth?.[0] };
  clearErrors();
  fields.fill(instance);
  example.filled = JSON.stringify(fields.read().instance);
  byId("from-example").textContent = "This is a held-out row of the model's dataset. Change it as you like.";
}

// ------------------------------------------------------------ asking it

function clearErrors() {
  fields.clear();
  byId("summary").replaceChildren();
}

function clearAnswer() {
  clearErrors();
  byId("announcement").textContent = "";
  byId("answer").replaceChildren(make("p", { class: "quiet" }, "Press Predict, and the answer is shown here."));
}

async function predict(event) {
  event.preventDefault();
  const button = byId("predict");
  if (!model || button.getAttribute("aria-disabled") === "true") return;
  const asked = model;
  clearErrors();
  const { body, instance, problems } = fields.read();
  if (problems) {
    showProblems(problems);
    return;
  }
  button.setAttribute("aria-disabled", "true");
  const { answer, unexplained } = await askModel(asked, body);
  button.removeAttribute("aria-disabled");
  if (asked !== model) return;
  if (answer.ok) showAnswer(answer.content, body, instance, unexplained);
  else if (answer.status === 422 && answer.content.errors) showProblems(answer.content.errors);
  else if (isThere(answer) === false && answer.status !== 401) byId("announcement").textContent = plain(answer.content.detail);
}

/** Ask for a prediction, explained if that is wanted; a prediction alone where it is only the explanation that is refused. */
async function askModel(asked, body) {
  const path = `${asked.path}predict`;
  if (!byId("explain").checked) return { answer: await ask(path, body) };
  const explained = await ask(`${path}?explain=true`, body);
  if (![413, 422].includes(explained.status) || !/expla/i.test(JSON.stringify(explained.content))) return { answer: explained };
  return { answer: await ask(path, body), unexplained: explained.content.detail };
}

function showAnswer(content, body, instance, unexplained) {
  byId("trouble").hidden = true;
  const [prediction] = content.predictions;
  const [output] = model.metadata?.outputs ?? [];
  const truth = example && JSON.stringify(instance) === example.filled ? example.truth : undefined;
  const { sentence, elements } = showPrediction(prediction, output, truth);
  for (const { field, message } of prediction.warnings ?? []) fields.warn(field, message);
  if (prediction.explanation) elements.push(...showExplanation(prediction.explanation, instance, fields.inputs));
  if (unexplained) elements.push(make("p", { class: "quiet" }, "Not explained: ", told(unexplained)));
  elements.push(asCommand(body, content));
  byId("answer").replaceChildren(...elements);
  byId("announcement").textContent = sentence;
  // Below the form on a phone, it may not be seen.
  const { top } = byId("answer-heading").getBoundingClientRect();
  if (top < 0 || top > 0.5 * innerHeight) byId("answer-heading").scrollIntoView({ block: "start" });
}

/** Return the same request for a terminal, and the answer as it came. */
function asCommand(body, content) {
  const asked = content.predictions[0].explanation ? "predict?explain=true" : "predict";
  const address = new URL(model.path + asked, document.baseURI).href;
  const key = hasKey() ? " -H \"Authorization: Bearer $KEY\"" : "";
  const data = JSON.stringify(body).replaceAll("'", "'\\''");
  const command = `curl -s '${address}' -H 'Content-Type: application/json'${key} -d '${data}'`;
  return make(
    "details",
    {},
    make("summary", {}, "As a command and as JSON"),
    make("pre", {}, ...seen(command)),
    make("pre", {}, ...seen(JSON.stringify(content, null, 1))),
  );
}

function showProblems(problems) {
  const items = problems.map(({ place, message }) => {
    const control = fields.refuse(place, message);
    const text = [told(place.replace(/^instances\.0\./, "")), ": ", told(message)];
    if (!control) return make("li", {}, ...text);
    const link = make("a", { href: `#${control.id}` }, ...text);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      control.focus();
    });
    return make("li", {}, link);
  });
  byId("summary").replaceChildren(make("p", {}, "This cannot be answered:"), make("ul", {}, ...items));
  byId("answer").replaceChildren(make("p", { class: "quiet" }, "No answer: what was asked has to be mended first."));
  byId("form").querySelector("[aria-invalid=true]")?.focus();
}
