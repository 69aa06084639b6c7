"use strict";
// Whatever comes from the service is text: it becomes textContent, and never HTML.

const REFRESH_MS = 2000;
const USERS_SHOWN = 3;
let key = "";
let shown = null;
const at = (id) => document.getElementById(id);

function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function tell(text, bad = false) {
  at("status").className = bad ? "bad" : "";
  at("status").textContent = text;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) at("key-form").hidden = false;
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ detail: response.statusText }));
    const errors = problem.errors?.map((error) => `${error.place}: ${error.message}`);
    throw new Error(errors ? errors.join("\n") : problem.detail);
  }
  return response;
}

// Do what a person asked for, and say how it went.
async function act(doing, done) {
  try {
    tell(done(await doing()));
    await fill();
    await refresh();
  } catch (error) {
    tell(error.message, true);
  }
}

const short = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

const when = (time) => `${time.slice(0, 16).replace("T", " ")} UTC`;

function metricsOf(job) {
  return Object.entries(job.metrics ?? {}).slice(0, 3).map(([name, value]) => `${name} ${short(value)}`).join(", ");
}

function actions(job) {
  const ended = !["queued", "running", "cancelling"].includes(job.state);
  const post = (verb) => () => act(() => ask(`jobs/${job.id}/${verb}`, { method: "POST" }), () => `${verb}: ${job.id}`);
  const all = [["Details", () => show(job.id, true), true]];
  all.push(["Cancel", () => act(() => ask(`jobs/${job.id}`, { method: "DELETE" }), () => `cancelled: ${job.id}`), !ended]);
  all.push(["Retry", post("retry"), ended && job.state !== "succeeded"]);
  all.push(["Promote", post("promote"), job.state === "succeeded" && job.gate !== "failed"]);
  all.push(["Report", () => report(job), job.artefact !== null]);
  return all.filter(([, , possible]) => possible).map(([text, action]) => {
    const button = make("button", text, { type: "button", "aria-label": `${text} ${job.name} ${job.id}`, "data-id": `${text} ${job.id}` });
    button.addEventListener("click", action);
    return button;
  });
}

async function row(job) {
  const line = make("tr");
  const name = make("th", job.name, { scope: "row" });
  name.append(make("span", `${job.id}, ${when(job.created_at)}`, { class: "note" }));
  const state = make("td", job.state, { class: job.state });
  if (job.gate) state.append(make("span", `gate ${job.gate}`, { class: "note" }));
  const progress = make("td");
  if (job.state === "running") {
    const { progress: far } = await (await ask(`jobs/${job.id}`)).json();
    progress.textContent = far?.stage ?? "starting";
    if (far?.steps) {
      const { name: what, done, total, left_s: left } = far.steps;
      progress.append(make("br"), make("progress", "", { value: done, max: total, "aria-label": `${what} of ${job.name}` }));
      progress.append(make("span", `${done} of ${total} ${what}${left === null ? "" : `, about ${left} s to go`}`, { class: "note" }));
    }
  }
  const buttons = make("td");
  buttons.append(...actions(job));
  line.append(name, state, progress, make("td", metricsOf(job)), buttons);
  return line;
}

// A report is another's page: without a key it is opened as a page of its own, which its headers shut in; a key cannot
// be part of an address, so with one it is saved as a file.
async function report(job) {
  const path = `jobs/${job.id}/report`;
  if (!key) {
    window.open(path, "_blank", "noopener");
    return;
  }
  await act(async () => (await ask(path)).blob(), (blob) => {
    const link = make("a", "", { href: URL.createObjectURL(blob), download: `${job.artefact}.html` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    return `saved: ${job.artefact}.html`;
  });
}

async function show(id, focus = false) {
  shown = id;
  const job = await (await ask(`jobs/${id}`)).json();
  at("one-heading").textContent = `${job.name}, ${job.state}`;
  at("why").textContent = job.why ?? "";
  at("log").textContent = job.log.join("\n");
  at("trained").textContent = job.configuration;
  at("one").hidden = false;
  if (focus) at("one").focus();
}

async function refresh() {
  const { jobs } = await (await ask("jobs")).json();
  const rows = await Promise.all(jobs.map(row));
  const focused = document.activeElement?.dataset?.id;
  at("jobs").tBodies[0].replaceChildren(...rows);
  // Whoever stands on a button goes on standing on it.
  if (focused) document.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  at("none").hidden = jobs.length > 0;
  if (shown !== null) await show(shown);
}

async function fill() {
  const [{ configurations }, { datasets }] = await Promise.all(
    ["configurations", "datasets"].map(async (path) => (await ask(path)).json()),
  );
  offer("configuration", configurations.map((name) => make("option", name)));
  const own = make("option", "as configured", { value: "" });
  offer("dataset", [own, ...datasets.map(({ dataset }) => make("option", dataset))]);
  at("uploads").tBodies[0].replaceChildren(...datasets.map(uploadRow));
  at("no-uploads").hidden = datasets.length > 0;
}

// What is chosen stays chosen, if it is still there.
function offer(id, options) {
  const chosen = at(id).value;
  at(id).replaceChildren(...options);
  if (options.some((option) => option.value === chosen)) at(id).value = chosen;
}

function uploadRow({ dataset, size_bytes: size, sha256, jobs }) {
  const line = make("tr");
  const name = make("th", dataset, { scope: "row" });
  name.append(make("span", `SHA-256 ${sha256}`, { class: "note" }));
  const newest = jobs.slice(-USERS_SHOWN).reverse().join(", ");
  const users = make("td", jobs.length > USERS_SHOWN ? `${newest} and ${jobs.length - USERS_SHOWN} more` : newest || "none");
  const remove = make("button", "Delete", { type: "button", "aria-label": `Delete ${dataset}` });
  remove.addEventListener("click", () => {
    if (!confirm(`Delete ${dataset}? A job that names it cannot be retried afterwards.`)) return;
    const path = `datasets/${encodeURIComponent(dataset.slice("uploads/".length))}`;
    act(() => ask(path, { method: "DELETE" }), () => `deleted: ${dataset}`);
  });
  const buttons = make("td");
  buttons.append(remove);
  line.append(name, make("td", size.toLocaleString("en")), users, buttons);
  return line;
}

function settings() {
  const set = {};
  for (const line of at("settings").value.split("\n").filter((text) => text.trim())) {
    const [name, ...rest] = line.split("=");
    const value = rest.join("=").trim();
    try {
      set[name.trim()] = JSON.parse(value);
    } catch {
      set[name.trim()] = value;
    }
  }
  if (at("dataset").value) set.dataset = at("dataset").value;
  return set;
}

at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  key = at("key").value;
  await act(fill, () => { at("key-form").hidden = true; return ""; });
});

at("train-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ conf: at("configuration").value, set: settings(), promote: at("promote").checked });
  const headers = { "Content-Type": "application/json" };
  await act(async () => (await ask("train", { method: "POST", body, headers })).json(), (job) => `queued: ${job.name} (${job.id})`);
});

at("upload-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = at("file").files[0];
  tell(`uploading ${file.name}`);
  const headers = { "Content-Type": "application/octet-stream" };
  const path = `datasets?name=${encodeURIComponent(file.name)}`;
  await act(async () => (await ask(path, { method: "POST", body: file, headers })).json(), (upload) => (
    `${upload.dataset}: ${upload.size_bytes} bytes, SHA-256 ${upload.sha256}`
  ));
});

async function follow() {
  try {
    if (at("key-form").hidden) await refresh();
  } catch (error) {
    tell(error.message, true);
  }
  setTimeout(follow, REFRESH_MS);
}

fill().catch(() => {}).finally(follow);
