/** `make("p", {className: "soft"}, "text", child)`: an element with its properties and children. */
export function make(tag, properties = {}, ...children) {
  const { aria = {}, data = {}, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === "role" ? name : `aria-${name}`, value);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

let last = 0;
export const newId = (word) => `${word}-${(last += 1)}`;

export function seconds(value) {
  return value < 60 ? `${value.toFixed(value < 10 ? 1 : 0)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

/** Shows a sentence, or hides the element where there is none. */
export function tell(element, sentence) {
  element.textContent = sentence;
  element.hidden = !sentence;
}
