/** <example-list>: solved examples for a model to learn from while it reads. Each holds the parts that the task names: sounds and texts. */

import { make, newId } from "./dom.js";
import "./sound-input.js";

const stem = (file) => file.name.replace(/\.[^.]*$/, "");

export class ExampleList extends HTMLElement {
  shape = { parts: [], names: [], least: 0, most: 0 };

  connectedCallback() {
    if (this.childElementCount) return;
    this.help = make("p", { className: "soft" });
    this.rows = make("ol", { className: "examples" });
    this.addButton = make("button", { type: "button" }, "Add an example");
    this.append(this.help, this.rows, make("p", {}, this.addButton));
    this.addButton.addEventListener("click", () => this.add().querySelector("button, input, textarea").focus());
    this.addEventListener("dragover", (event) => { event.preventDefault(); this.classList.add("over"); });
    this.addEventListener("dragleave", () => this.classList.remove("over"));
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      this.classList.remove("over");
      this.drop([...event.dataTransfer.files]);
    });
  }

  /** What an example of the chosen task holds. Examples of another shape are gone. */
  fit(shape) {
    if (JSON.stringify(shape) === JSON.stringify(this.shape)) return;
    this.shape = shape;
    this.rows.replaceChildren();
    const sounds = shape.parts.filter((part) => part === "audio").length;
    const drop = sounds === 1 ? " Dropped sounds become examples; a text file of the same name is its text, else the sound's own name."
      : sounds > 1 ? ` Drop ${sounds} sounds an example: they are taken in order of name.` : "";
    this.help.textContent = `An example holds ${this.names.join(", then ")}. ${shape.least ? `This task needs ${shape.least} to ${shape.most}.` : `At most ${shape.most}.`}${drop}`;
    for (let number = 0; number < shape.least; number += 1) this.add();
    this.tell();
  }

  /** An example's sound that is called `example` alone is one of no special kind. */
  get names() { return this.shape.names.map((name) => (name === "example" ? "sound" : name)); }

  get count() { return this.rows.childElementCount; }

  tell() {
    this.addButton.disabled = this.count >= this.shape.most;
    this.dispatchEvent(new Event("change", { bubbles: true }));
  }

  add() {
    const row = make("li");
    const remove = make("button", { type: "button" }, "Remove this example");
    const parts = this.shape.parts.map((kind, at) => this.part(kind, this.names[at]));
    row.append(...parts, remove);
    remove.addEventListener("click", () => { row.remove(); this.tell(); this.addButton.focus(); });
    this.rows.append(row);
    this.tell();
    return row;
  }

  part(kind, name) {
    if (kind === "audio") {
      const sound = make("sound-input");
      sound.setAttribute("label", `${name} of the example`);
      return make("div", { className: "part" }, make("span", {}, name), sound);
    }
    const id = newId("part");
    return make("p", { className: "field part" }, make("label", { htmlFor: id }, name), make("input", { type: "text", id }));
  }

  /** Sounds fill examples in order of name, those first that are still empty. */
  async drop(files) {
    const texts = new Map();
    for (const file of files) if (file.name.endsWith(".txt")) texts.set(stem(file), (await file.text()).trim());
    const isSound = (file) => !file.name.endsWith(".txt");
    const sounds = files.filter(isSound).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    const size = this.shape.parts.filter((part) => part === "audio").length;
    while (size && sounds.length) {
      const empty = [...this.rows.children].find((row) => [...row.querySelectorAll("sound-input")].every((sound) => !sound.file));
      if (!empty && this.count >= this.shape.most) break;
      const row = empty ?? this.add(), taken = sounds.splice(0, size);
      row.querySelectorAll("sound-input").forEach((sound, at) => taken[at] && sound.take(taken[at]));
      const text = row.querySelector("input[type=text]");
      if (text && !text.value) text.value = texts.get(stem(taken[0])) ?? stem(taken[0]).replaceAll(/[_-]+/g, " ");
    }
    this.tell();
  }

  /** [[part, …], …]: a part is {text} or {file: File or null}. */
  get values() {
    return [...this.rows.children].map((row) => [...row.querySelectorAll("sound-input, input[type=text]")].map((part) =>
      part instanceof HTMLInputElement ? { text: part.value } : { file: part.file }));
  }

  set texts(lines) {
    this.rows.replaceChildren();
    for (const line of lines.slice(0, this.shape.most))
      this.add().querySelectorAll("input[type=text]").forEach((input, at) => { input.value = line[at] ?? ""; });
  }

  get texts() {
    return this.values.map((parts) => parts.filter((part) => "text" in part).map((part) => part.text));
  }
}
customElements.define("example-list", ExampleList);
