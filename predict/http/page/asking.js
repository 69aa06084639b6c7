// Asking the server: relative addresses, so that a proxy may put the page below a prefix, and the key if one is needed.

const KEPT = "capstone-key";
let key = "";
try {
  key = sessionStorage.getItem(KEPT) ?? "";
} catch {
  // Where a browser keeps nothing, the key is here until the page is closed.
}

/** Keep a key for as long as this tab is open; an empty one forgets it. */
export function keep(given) {
  key = given;
  try {
    if (given) sessionStorage.setItem(KEPT, given);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // As above.
  }
}

export const hasKey = () => key !== "";

/** Ask for an address below this page; return status, content, and whether all is well. Status 0: nobody answers. */
export async function ask(path, body) {
  const headers = { Accept: path === "metrics" ? "text/plain" : "application/json" };
  // A header has bytes, and the server's keys are UTF-8.
  if (key) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}`;
  const options = { headers, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    options.method = "POST";
    options.body = JSON.stringify(body);
  }
  let answer;
  let text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
  } catch {
    return { status: 0, ok: false, content: { detail: "The server does not answer." } };
  }
  let content = text;
  if (/json/.test(answer.headers.get("Content-Type") ?? "")) {
    content = JSON.parse(text);
  } else if (!answer.ok) {
    content = { detail: `The server answered with status ${answer.status}.` };
  }
  return { status: answer.status, ok: answer.ok, content };
}
