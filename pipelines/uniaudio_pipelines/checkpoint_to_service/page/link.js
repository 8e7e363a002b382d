/** The request as a link: `#task=asr&A.seed=7&audio=clip.wav~3fa9…`. Sounds stay with the user; their names and fingerprints say which they were. */

const FIELDS = ["task", "text", "style"];

/** `state`: {task, text, style, examples: [[text, …], …], settings: {A: {…}, B: {…}}, sounds: {audio: {name, hash}}}. */
export function toFragment(state) {
  const fields = new URLSearchParams();
  for (const field of FIELDS) if (state[field]) fields.set(field, state[field]);
  if (state.examples.length) fields.set("examples", JSON.stringify(state.examples));
  for (const [setting, values] of Object.entries(state.settings))
    for (const [name, value] of Object.entries(values)) fields.set(`${setting}.${name}`, value);
  for (const [name, sound] of Object.entries(state.sounds)) fields.set(name, `${sound.name}~${sound.hash}`);
  return `#${fields}`;
}

/** Null where the fragment is none of these. */
export function fromFragment(fragment) {
  const fields = new URLSearchParams(fragment.slice(1));
  if (!fields.has("task")) return null;
  const state = { ...Object.fromEntries(FIELDS.map((field) => [field, fields.get(field) ?? ""])), examples: [], settings: {}, sounds: {} };
  try {
    const lines = JSON.parse(fields.get("examples") ?? "[]");
    state.examples = lines.map((line) => line.map(String));
  } catch {
    // A link that was cut short still says the rest.
  }
  for (const [key, value] of fields) {
    const setting = /^([AB])\.(\w+)$/.exec(key);
    if (setting) (state.settings[setting[1]] ??= {})[setting[2]] = value;
    if (key === "audio" || key === "voice") {
      const cut = value.lastIndexOf("~");
      state.sounds[key] = { name: value.slice(0, cut), hash: value.slice(cut + 1) };
    }
  }
  return state;
}
