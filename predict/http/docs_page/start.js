// Shows the document of this server, which may ask for a key, and every text in it as it is written.
"use strict";

const form = document.getElementById("ask");
const problem = document.getElementById("problem");
// What turns the reading direction, moves the cursor or is not seen; see `printable` in predict/wording.py.
const UNPRINTABLE =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function asEscape(character) {
  return "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0");
}

function printable(text) {
  return text.replace(UNPRINTABLE, asEscape);
}

function makePrintable(node) {
  if (node.nodeType === Node.TEXT_NODE) {
    const text = printable(node.data);
    if (text !== node.data) node.data = text;
  } else if (node instanceof HTMLTextAreaElement) {
    // In JSON an escape is the same text, so what is sent stays the same.
    const text = printable(node.value);
    if (text !== node.value) {
      Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(node, text);
      node.dispatchEvent(new Event("input", { bubbles: true }));
    }
  } else {
    node.childNodes.forEach(makePrintable);
  }
}

function keepPrintable(root) {
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") makePrintable(change.target);
      change.addedNodes.forEach(makePrintable);
    }
  }).observe(root, { childList: true, characterData: true, subtree: true });
}

function show(spec, key) {
  // The document says where the routes are from where it stands itself.
  spec.servers = [{ url: new URL(".", document.baseURI).href.replace(/\/$/, "") }];
  const root = document.getElementById("routes");
  keepPrintable(root);
  const ui = window.SwaggerUIBundle({
    spec,
    domNode: root,
    validatorUrl: null,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    supportedSubmitMethods: ["get", "post"],
    onComplete: () => {
      if (key) ui.preauthorizeApiKey("key", key);
    },
  });
}

async function read(key) {
  problem.textContent = "";
  let response;
  try {
    response = await fetch("openapi.json", { headers: key ? { "X-API-Key": key } : {} });
  } catch {
    problem.textContent = "The server does not answer.";
    return;
  }
  form.hidden = response.status !== 401;
  if (response.ok) show(await response.json(), key);
  else if (response.status !== 401) problem.textContent = `The server answers ${response.status}.`;
  else if (key) problem.textContent = "This is not a key of this server.";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  read(document.getElementById("key").value);
});
read(null);
