// The form: a field for each input of the model, or one for JSON where nobody tells what these are.

import { make, number, plain, told } from "./dom.js";

const MOST_FIELDS = 300;
const MOST_OFFERED = 500;
const ANY = { number: "a number", date: "a date", category: "a category", text: "a text" };

/** Make the fields of a model in an element; `metadata` is null where it is not shown. */
export function makeFields(element, metadata) {
  const inputs = metadata?.inputs ?? [];
  const byColumn = inputs.length > 0 && inputs.length <= MOST_FIELDS;
  const fields = byColumn ? inputs.map((input, index) => column(input, index, inputs.length)) : [whole(inputs)];
  element.replaceChildren(...fields.map((field) => field.element));

  /** Find the field that a place such as `instances.0.age` means. */
  function at(place) {
    const name = place.replace(/^instances\.0\.?/, "");
    return fields.find((field) => field.name === name) ?? (byColumn ? undefined : fields[0]);
  }

  return {
    inputs: byColumn ? inputs : [],
    fill(instance) {
      if (byColumn) fields.forEach((field) => field.set(instance[field.name]));
      else fields[0].set(instance);
    },
    /** Return the body of a request and the instance, or the problems that keep it from being sent. */
    read() {
      if (!byColumn) return { body: { text: fields[0].control.value }, instance: fields[0].control.value };
      const problems = fields.filter((field) => field.control.validity?.badInput);
      if (problems.length) {
        return { problems: problems.map((field) => ({ place: field.name, message: "not finished, or not of this kind" })) };
      }
      const instance = Object.fromEntries(fields.map((field) => [field.name, field.get()]));
      return { body: { instances: [instance] }, instance };
    },
    clear() {
      for (const field of fields) {
        field.control.removeAttribute("aria-invalid");
        field.error.textContent = "";
        field.warning.textContent = "";
      }
    },
    /** Say beside its field what is wrong at a place; return the field's control, or undefined if there is none. */
    refuse(place, message) {
      const field = at(place);
      if (!field) return undefined;
      field.control.setAttribute("aria-invalid", "true");
      field.error.replaceChildren(told(message));
      return field.control;
    },
    warn(name, message) {
      at(name)?.warning.replaceChildren(told(message));
    },
  };
}

function whole(inputs) {
  const field = frame("instance", 0, "A text, or a row as JSON", make("textarea", { rows: 8, spellcheck: "false" }));
  const names = inputs.length ? "All columns of the model are needed." : "A row is an object with all columns of the model.";
  describe(field, [names]);
  field.set = (instance) => {
    const values = Object.values(instance);
    const isText = values.length === 1 && typeof values[0] === "string";
    field.control.value = isText ? values[0] : JSON.stringify(instance, null, 2);
  };
  return field;
}

function column(input, index, count) {
  const control = controlOf(input, count);
  const field = frame(input.name, index, input.name, control);
  describe(field, hintsOf(input, count));
  if (input.type === "text") field.element.classList.add("full");
  if (input.type === "category") {
    const list = make("datalist", { id: `values-${index}` });
    list.append(...(input.categories ?? []).slice(0, MOST_OFFERED).map((value) => make("option", { value })));
    control.setAttribute("list", list.id);
    field.element.append(list);
  }
  const type = control.type;
  field.set = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    if (type === "number" || type === "date") {
      control.type = type;
      control.value = text;
      // What such a field cannot hold, such as a date with a time, is typed as a text.
      if (control.value !== text) control.type = "text";
    }
    control.value = text;
  };
  field.get = () => {
    const text = control.value;
    if (input.type === "text") return text;
    if (text.trim() === "") return null;
    return input.type === "number" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  return field;
}

function controlOf(input, count) {
  if (input.type === "text") return make("textarea", { rows: count === 1 ? 4 : 2, dir: "auto" });
  if (input.type === "number") return make("input", { type: "number", step: "any" });
  if (input.type === "date") {
    return make("input", input.date_format ? { type: "text" } : { type: "date" });
  }
  return make("input", { type: "text", dir: "auto", autocomplete: "off" });
}

function hintsOf(input, count) {
  const hints = [];
  const least = input.seen_minimum ?? input.minimum;
  const most = input.seen_maximum ?? input.maximum;
  if (isNumber(least) && isNumber(most)) hints.push(`${number(least)} to ${number(most)} in training`);
  else if (isNumber(least)) hints.push(`from ${number(least)} in training`);
  else if (isNumber(most)) hints.push(`up to ${number(most)} in training`);
  if (input.unit) hints.push(`in ${input.unit}`);
  const known = input.categories?.length;
  if (known) hints.push(known <= 6 ? input.categories.map(plain).join(", ") : `${number(known)} known values`);
  if (input.date_format) hints.push(`written as ${plain(input.date_format)}, or as 2026-01-31`);
  if (!hints.length) hints.push(input.type === "text" && count === 1 ? "as somebody would write it" : ANY[input.type]);
  if (input.nullable) hints.push("may be empty");
  return hints;
}

const isNumber = (value) => typeof value === "number";

function frame(name, index, shown, control) {
  control.id = `field-${index}`;
  const hint = make("p", { class: "hint", id: `hint-${index}` });
  const error = make("p", { class: "error", id: `error-${index}` });
  const warning = make("p", { class: "warning", id: `warning-${index}` });
  control.setAttribute("aria-describedby", `${hint.id} ${error.id} ${warning.id}`);
  const element = make("div", { class: control.tagName === "TEXTAREA" ? "field full" : "field" });
  element.append(make("label", { for: control.id }, told(shown)), hint, control, error, warning);
  return { name, element, control, hint, error, warning };
}

function describe(field, hints) {
  field.hint.textContent = hints.length ? hints.join(" · ") : "";
  field.hint.hidden = !hints.length;
}
