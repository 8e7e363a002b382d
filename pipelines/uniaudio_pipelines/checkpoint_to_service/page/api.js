/** The service's API, with every failure as a sentence that says what to do. */

const KEY = "uniaudio-key";

export const setKey = (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY));

export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function sentence(response) {
  let told = "";
  try {
    const body = await response.json();
    const detail = body.error?.message ?? body.detail ?? body.message;
    told = typeof detail === "string" ? detail : detail.map((one) => `${one.loc?.at(-1)}: ${one.msg}`).join("; ");
  } catch {
    // Not JSON: something between this page and the service has answered.
  }
  const wait = Number(response.headers.get("Retry-After"));
  const again = wait ? `Try again in ${wait} s.` : "Try again in a moment.";
  if (response.status === 401 || response.status === 403) return "This service wants a key. Type it in above and ask again.";
  if (response.status === 429) return `${told || "The service is busy."} ${again}`;
  if (response.status === 413) return told || "The sound is too large for this service. Send a shorter one.";
  if (response.status >= 500) return `${told || `The service failed (${response.status}).`} ${again}`;
  return told || `The service refused the request (${response.status}).`;
}

async function ask(address, options = {}) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(address, { ...options, headers: key ? { Authorization: `Bearer ${key}` } : {} });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Is it still running?", 0);
  }
  if (!response.ok) throw new ServiceError(await sentence(response), response.status);
  return response.json();
}

/** A list as it is, or inside `data` as OpenAI has it. */
const listed = (answer) => (Array.isArray(answer) ? answer : answer.data);

export const getInfo = () => ask("v1/info");
export const getTasks = async () => listed(await ask("v1/tasks"));
export const getModels = async () => listed(await ask("v1/models"));
export const postTask = (task, form, signal) => ask(`v1/tasks/${encodeURIComponent(task)}`, { method: "POST", body: form, signal });
