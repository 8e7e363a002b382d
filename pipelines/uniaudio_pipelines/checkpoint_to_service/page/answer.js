/** One answer: its text, its sound with tokens and words, the settings it was written with. */

import { make, seconds } from "./dom.js";
import { fromBase64 } from "./wav.js";

/** What `settings` asked for comes first, so that two answers are told apart. */
function settingLine(answer, settings) {
  const asked = { ...settings, model: answer.model ?? settings.model, seed: answer.seed ?? settings.seed };
  return Object.entries(asked).filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(" · ");
}

const download = (blob, name, words) => make("a", { href: URL.createObjectURL(blob), download: name, className: "button" }, words);

/** A column for the answer of a setting, empty until `showAnswer` or `showProblem`. */
export function answerColumn(name, title) {
  const column = make("article", { className: "answer", data: { setting: name } }, make("h3", {}, title));
  column.append(make("p", { className: "waiting soft" }, "Waiting …"));
  return column;
}

function empty(column) {
  column.querySelectorAll("sound-picture").forEach((picture) => picture.clear());
  column.querySelectorAll("a[download]").forEach((link) => URL.revokeObjectURL(link.href));
  while (column.childElementCount > 1) column.lastElementChild.remove();
}

export function showProblem(column, sentence) {
  empty(column);
  column.append(make("p", { className: "message problem" }, sentence));
}

export async function showAnswer(column, answer, { task, settings, rate, rates }) {
  empty(column);
  const title = column.querySelector("h3").textContent;
  if (answer.text) column.append(make("blockquote", { className: "text" }, answer.text));
  const tokens = answer.tokens ?? {};
  const links = make("p", { className: "actions" });
  if (answer.audio) {
    const blob = fromBase64(answer.audio, "audio/wav");
    const picture = make("sound-picture");
    column.append(picture);
    await picture.show({ blob, title, rate, tokens, rates, words: answer.words ?? [] });
    links.append(download(blob, `${task}-${answer.seed}.wav`, "Save sound"));
  }
  if (!answer.text && !answer.audio) column.append(make("p", { className: "message" }, "The answer is empty: the model ended at once. Try another seed."));
  const record = new Blob([JSON.stringify({ task, ...answer }, null, 1)], { type: "application/json" });
  links.append(download(record, `${task}-${answer.seed}.json`, "Save as JSON"));
  column.append(make("p", { className: "soft" }, `${settingLine(answer, settings)} · answered in ${seconds(answer.seconds)}`), links);
}
