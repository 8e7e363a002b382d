/** How answers are written: one or two columns of fields. Names are those of the API. */

import { make, newId } from "./dom.js";

const FIELDS = [
  { name: "temperature", label: "Temperature", min: 0, step: "any", help: "0: always the likeliest; 1: as the model thinks" },
  { name: "top_k", label: "Choices (top-k)", min: 0, step: 1, help: "how many of the likeliest may be drawn; 0: all" },
  { name: "guidance", label: "Guidance", min: 0, step: "any", help: "above 1: closer to the request" },
  { name: "seed", label: "Seed", min: 0, step: 1, help: "the same seed gives the same answer", unset: "drawn" },
  { name: "max_seconds", label: "Longest answer (s)", min: 0, step: "any", help: "of sound" },
];

export class Settings {
  constructor(name, models) {
    this.name = name;
    this.fields = new Map();
    this.element = make("fieldset", {}, make("legend", {}, `Setting ${name}`));
    const model = make("select", {}, ...models.map((one) => make("option", { value: one.id }, one.id)));
    this.add("model", "Model", model, "");
    for (const { name: field, label, help, min, step, unset = "the task’s own" } of FIELDS)
      this.add(field, label, make("input", { type: "number", min, step, placeholder: unset }), help);
  }

  add(name, label, input, help) {
    input.id = newId(name);
    const told = make("small", { id: newId("help"), className: "soft" }, help);
    if (help) input.setAttribute("aria-describedby", told.id);
    this.fields.set(name, input);
    this.element.append(make("p", { className: "field" }, make("label", { htmlFor: input.id }, label), input, ...(help ? [told] : [])));
  }

  /** {name: text} of what is filled in. */
  get values() {
    return Object.fromEntries([...this.fields].map(([name, input]) => [name, input.value]).filter(([, value]) => value !== ""));
  }

  set values(given) {
    for (const [name, input] of this.fields) if (name in given) input.value = given[name];
  }

  /** A sentence about the first field that holds no fitting number; it gets the focus. */
  problem() {
    for (const [name, input] of this.fields) {
      if (input.validity.valid) continue;
      input.closest("details").open = true;
      input.focus();
      return `${input.labels[0].textContent} of setting ${this.name} must be a number of ${input.min} or more${input.step === "1" ? " without a fraction" : ""} (\`${name}\`).`;
    }
    return "";
  }
}

export const drawSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0] >>> 1);
