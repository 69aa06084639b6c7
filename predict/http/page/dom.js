// Making elements. Whatever a model, a file or a person named is text here, never markup.

export const byId = (id) => document.getElementById(id);

/** Make an element: attributes by name, then children, of which a string becomes text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a part of a picture. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat());
  return element;
}

// What is not seen, or turns what is around it: controls, joiners, marks and overrides of direction.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;
const code = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Return the characters of a text as nodes, with those that are not seen as their codes. */
export function seen(text) {
  return String(text)
    .split(new RegExp(`(${UNSEEN.source})`))
    .filter((part) => part !== "")
    .map((part) => (UNSEEN.test(part) ? make("span", { class: "control" }, code(part)) : document.createTextNode(part)));
}

/** Return a name or a value that somebody else has written, kept apart from the text around it. */
export const told = (text) => make("bdi", { dir: "auto" }, ...seen(text));

/** Return the same as a string, for where no element can be. */
export const plain = (text) => String(text).replace(new RegExp(UNSEEN.source, "g"), (one) => `[${code(one)}]`);

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Return a number as people read it: six digits, or all of a whole number. */
export function number(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return whole.format(value);
  const size = Math.abs(value);
  return size >= 1e15 || size < 1e-6 ? value.toExponential(3) : digits.format(value);
}

export function signed(value) {
  const size = Math.abs(value);
  const shown = size >= 100 ? number(Math.round(size)) : size >= 10 ? size.toFixed(1) : size.toFixed(2);
  if (Number(shown) === 0) return size === 0 ? "0" : value < 0 ? "−0.00" : "+0.00";
  return (value < 0 ? "−" : "+") + shown;
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

export function duration(seconds) {
  return seconds < 1 ? `${Number((1000 * seconds).toPrecision(2))} ms` : `${Number(seconds.toPrecision(2))} s`;
}

export function time(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? String(iso) : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** Return a bar of a share from 0 to 1, perhaps with a mark; what it shows is written beside it. */
export function bar(share, mark) {
  const full = make("i");
  full.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  const parts = [full];
  if (mark !== undefined) {
    const line = make("b");
    line.style.left = `${100 * Math.max(0, Math.min(1, mark))}%`;
    parts.push(line);
  }
  return make("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

/** Return a bar from the middle to the left or to the right, of a share from -1 to 1. */
export function signedBar(share) {
  const full = make("i", { class: share < 0 ? "minus" : "plus" });
  full.style.width = `${50 * Math.min(1, Math.abs(share))}%`;
  full.style[share < 0 ? "right" : "left"] = "50%";
  return make("span", { class: "bar signed", "aria-hidden": "true" }, full, make("b"));
}

/** Return a table of rows, of which the first few are shown at once, and a button for the rest. */
export function table(attributes, caption, rows, first, head) {
  const body = make("tbody", {}, rows.slice(0, first));
  const shown = make("table", attributes, make("caption", {}, caption), head ? [head] : [], body);
  if (rows.length <= first + 1) {
    body.replaceChildren(...rows);
    return [shown];
  }
  const more = make("button", { type: "button", class: "link" }, `Show all ${number(rows.length)}`);
  more.addEventListener("click", () => {
    body.append(...rows.slice(first));
    more.remove();
    rows[first].tabIndex = -1;
    rows[first].focus({ preventScroll: true });
  });
  return [shown, more];
}
