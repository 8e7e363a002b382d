/** The page: what is asked, sent, cancelled, shown and linked. START HERE. */

import { answerColumn, showAnswer, showProblem } from "./answer.js";
import { getInfo, getModels, getTasks, postTask, setKey } from "./api.js";
import { make, seconds, tell } from "./dom.js";
import "./example-list.js";
import { fromFragment, toFragment } from "./link.js";
import { drawSeed, Settings } from "./settings.js";
import { SoundInput } from "./sound-input.js";
import { fingerprint } from "./wav.js";

const at = (id) => document.getElementById(id);
const service = { info: {}, tasks: new Map(), models: [] };
const settings = {};
let running = null; // the AbortController of what is being answered

// What the service can do

async function meet() {
  try {
    const [info, tasks, models] = await Promise.all([getInfo(), getTasks(), getModels()]);
    Object.assign(service, { info, models, tasks: new Map(tasks.map((task) => [task.name, task])) });
  } catch (error) {
    at("key-part").hidden = error.status !== 401;
    if (error.status === 401) at("key").focus();
    at("about").textContent = "";
    at("send").disabled = true;
    return tell(at("problem"), error.status === 401 ? "This service wants a key. Type it in above." : error.message);
  }
  tell(at("problem"), "");
  at("send").disabled = false;
  at("key-part").hidden = true;
  const { info } = service;
  SoundInput.rate = info.sample_rate;
  at("about").textContent = `Model ${info.model} · ${service.tasks.size} tasks`;
  offerTasks();
  offerSettings();
  restore(fromFragment(location.hash));
}

function offerTasks() {
  const groups = new Map();
  for (const task of service.tasks.values()) {
    const given = task.inputs.filter((input) => input === "audio" || input === "text").join(" and ") || "nothing";
    const title = `From ${given} to ${task.output}`.replaceAll("audio", "sound");
    if (!groups.has(title)) groups.set(title, make("optgroup", { label: title }));
    groups.get(title).append(make("option", { value: task.name }, `${task.name.replaceAll("_", " ")}: ${task.description}`));
  }
  at("task").replaceChildren(...groups.values());
}

function offerSettings() {
  for (const name of ["A", "B"]) settings[name] = new Settings(name, service.models);
  at("settings").replaceChildren(settings.A.element);
  compare(at("compare").checked);
}

function compare(both) {
  at("compare").checked = both;
  settings.A.element.querySelector("legend").textContent = both ? "Setting A" : "Setting";
  if (!both) settings.B.element.remove();
  else if (!settings.B.element.isConnected) {
    settings.B.values = settings.A.values;
    at("settings").append(settings.B.element);
  }
}

// The form

const chosen = () => service.tasks.get(at("task").value);

function fitToTask() {
  const task = chosen();
  if (!task) return;
  at("task-help").textContent = task.description;
  for (const input of ["audio", "text", "style", "voice"]) at(`${input}-part`).hidden = !task.inputs.includes(input);
  const shape = task.examples;
  at("examples-part").hidden = !shape?.most;
  if (shape) at("examples").fit(shape);
  if (shape?.least) at("examples-part").open = true;
}

/** The names of inputs that the task takes and that are filled in. */
const used = () => ["audio", "text", "style", "voice"].filter((input) => chosen().inputs.includes(input));
const valueOf = (input) => (at(input) instanceof SoundInput ? at(input).file : at(input).value.trim());

function whatIsMissing() {
  const names = { audio: "a sound: record, choose or drop one", text: "words in “Text”", style: "words in “How to say it”", voice: "a sound of the voice to speak in" };
  const missing = used().find((input) => !valueOf(input));
  if (missing) {
    (at(missing) instanceof SoundInput ? at(missing).recordButton : at(missing)).focus();
    return `This task needs ${names[missing]}.`;
  }
  const shape = chosen().examples;
  if (shape?.most) {
    const values = at("examples").values;
    if (values.length < shape.least) return `This task needs at least ${shape.least} solved example${shape.least > 1 ? "s" : ""}.`;
    const number = values.findIndex((parts) => parts.some((part) => !(part.text?.trim() || part.file)));
    if (number >= 0) return `Example ${number + 1} is not complete: it needs ${at("examples").names.join(" and ")}.`;
  }
  return Object.values(settings).filter((one) => one.element.isConnected).map((one) => one.problem()).find(Boolean) ?? "";
}

function formOf(values) {
  const form = new FormData();
  for (const input of used()) form.append(input, valueOf(input));
  if (chosen().examples?.most && at("examples").count) {
    const files = [];
    const lines = at("examples").values.map((parts) => parts.map((part) => (part.file ? { file: files.push(part.file) - 1 } : { text: part.text.trim() })));
    form.append("examples", JSON.stringify(lines));
    for (const file of files) form.append("example_audio", file);
  }
  for (const [name, value] of Object.entries(values)) form.append(name, value);
  return form;
}

// Asking

async function send() {
  tell(at("problem"), "");
  const problem = whatIsMissing();
  if (problem) return tell(at("problem"), problem);
  const task = at("task").value, drawn = drawSeed();
  const asked = Object.entries(settings).filter(([, one]) => one.element.isConnected)
    .map(([name, one]) => [name, { seed: drawn, ...one.values }]);
  const stop = busy(); // before anything is waited for, so that two clicks are one request
  try {
    history.replaceState(null, "", toFragment(await stateOf(Object.fromEntries(asked))));
  } catch (error) { // a file that was changed or removed since it was chosen
    stop();
    at("state").textContent = "Not answered.";
    return tell(at("problem"), `A sound cannot be read any more: choose it again (${error.message}).`);
  }
  const columns = asked.map(([name]) => answerColumn(name, `${asked.length > 1 ? `${name} · ` : ""}${task.replaceAll("_", " ")}`));
  at("answer-list").querySelectorAll("sound-picture").forEach((picture) => picture.clear());
  at("answer-list").replaceChildren(...columns);
  at("nothing").hidden = true;
  const done = await Promise.all(asked.map(([, values], number) => answer(task, values, columns[number])));
  stop();
  const told = done.every(Boolean) ? "Answered." : done.some(Boolean) ? "One of two was answered." : "Not answered.";
  at("state").textContent = told;
  at("answers").scrollIntoView({ block: "nearest" });
}

/** Whether there was an answer. */
async function answer(task, values, column) {
  const { signal } = running;
  try {
    const given = await postTask(task, formOf(values), signal);
    await showAnswer(column, given, { task, settings: values, rate: service.info.sample_rate, rates: service.info.codec.frame_rates });
    return true;
  } catch (error) {
    if (error.status === 401) at("key-part").hidden = false;
    showProblem(column, error.name === "AbortError" ? "Cancelled." : error.message);
    return false;
  }
}

/** Until the function that it returns is called, the page says that it waits. */
function busy() {
  running = new AbortController();
  const began = performance.now();
  const count = () => { at("elapsed").textContent = seconds((performance.now() - began) / 1000); };
  const timer = setInterval(count, 100);
  at("state").textContent = "The model is answering …";
  at("progress-part").hidden = false;
  at("send").disabled = true;
  at("cancel").disabled = false;
  return () => {
    clearInterval(timer);
    const lost = document.activeElement === at("cancel");
    at("progress-part").hidden = true;
    at("send").disabled = false;
    at("cancel").disabled = true;
    if (lost) at("send").focus();
    running = null;
  };
}

// The link

async function stateOf(values) {
  const sounds = {};
  for (const input of used()) {
    const file = valueOf(input);
    if (file instanceof File) sounds[input] = { name: file.name, hash: await fingerprint(file) };
  }
  const texts = Object.fromEntries(["text", "style"].map((input) => [input, used().includes(input) ? valueOf(input) : ""]));
  return { task: at("task").value, ...texts, examples: chosen().examples?.most ? at("examples").texts : [], settings: values, sounds };
}

async function copyLink() {
  if (!location.hash) {
    const values = Object.entries(settings).filter(([, one]) => one.element.isConnected).map(([name, one]) => [name, one.values]);
    history.replaceState(null, "", toFragment(await stateOf(Object.fromEntries(values))));
  }
  try {
    await navigator.clipboard.writeText(location.href);
    at("state").textContent = "Link copied. Keep the sounds: the link does not hold them.";
  } catch {
    at("state").textContent = "The browser keeps its clipboard closed: copy the address from its bar.";
  }
}

function restore(state) {
  if (state && service.tasks.has(state.task)) at("task").value = state.task;
  fitToTask();
  if (!state) return;
  if (!service.tasks.has(state.task)) return tell(at("problem"), `The link asks for the task “${state.task}”, which this model was not trained on.`);
  at("text").value = state.text;
  at("style").value = state.style;
  if (state.examples.length) {
    at("examples").texts = state.examples;
    at("examples-part").open = true;
  }
  compare("B" in state.settings);
  for (const [name, values] of Object.entries(state.settings)) settings[name].values = values;
  at("settings-part").open = Object.keys(state.settings).length > 0;
  wanted = state.sounds;
  void checkSounds();
}

let wanted = {}; // the sounds that the link was made with

async function checkSounds() {
  const lines = [];
  for (const [input, sound] of Object.entries(wanted)) {
    const file = at(input).file, hash = file ? await fingerprint(file) : "";
    if (!file) lines.push(`This link was made with the sound “${sound.name}”: add it to get the same answer.`);
    else if (sound.hash && hash && hash !== sound.hash) lines.push(`“${file.name}” is not the sound that the link was made with (“${sound.name}”).`);
  }
  tell(at("link-note"), lines.join(" "));
}

/** A request that has changed is another one: its link is no longer that of the answer. */
function forgetLink() {
  if (location.hash && !running) history.replaceState(null, "", location.pathname);
}

at("task").addEventListener("change", fitToTask);
at("request").addEventListener("input", forgetLink);
at("request").addEventListener("change", () => { forgetLink(); void checkSounds(); });
at("examples").addEventListener("change", () => { at("examples-count").textContent = at("examples").count ? `(${at("examples").count})` : ""; });
at("compare").addEventListener("change", () => compare(at("compare").checked));
at("request").addEventListener("submit", (event) => { event.preventDefault(); if (!running) void send(); });
at("cancel").addEventListener("click", () => running?.abort());
at("copy-link").addEventListener("click", copyLink);
at("use-key").addEventListener("click", () => { setKey(at("key").value); void meet(); });
at("key").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); at("use-key").click(); } });
addEventListener("hashchange", () => restore(fromFragment(location.hash)));
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault()); // a file beside a field must not replace the page
void meet();
