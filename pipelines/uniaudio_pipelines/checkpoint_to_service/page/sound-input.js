/** <sound-input label="…" picture>: a sound to be recorded, chosen or dropped. `.file` is a File or null; tells of a change by `change`. */

import { make, newId, seconds, tell } from "./dom.js";
import "./picture.js";
import { canRecord, startRecording } from "./recorder.js";
import { encodeWav } from "./wav.js";

export const AUDIO_TYPES = "audio/*,.wav,.flac,.mp3,.ogg,.opus,.m4a,.aac,.webm,.mp4";
let recordings = 0;

export class SoundInput extends HTMLElement {
  static rate = 24_000;
  file = null;

  connectedCallback() {
    if (this.childElementCount) return;
    const label = this.getAttribute("label"), id = newId("file");
    this.input = make("input", { type: "file", id, accept: AUDIO_TYPES, className: "unseen" });
    this.recordButton = make("button", { type: "button", aria: { label: `Record: ${label}` } }, "Record");
    this.removeButton = make("button", { type: "button", hidden: true, aria: { label: `Remove: ${label}` } }, "Remove");
    this.chooseLabel = make("label", { htmlFor: id, className: "button" }, "Choose a file", make("span", { className: "unseen" }, `: ${label}`));
    this.meter = make("meter", { min: 0, max: 1, low: 0.02, high: 0.95, hidden: true, aria: { label: "Level of the microphone" } });
    this.note = make("span", { className: "soft" }, "or drop one here");
    this.problem = make("p", { className: "message problem", hidden: true, aria: { role: "alert" } });
    this.shown = make("sound-picture", { className: this.hasAttribute("picture") ? "" : "small" });
    const choice = make("div", { className: "choice" }, this.recordButton, this.input, this.chooseLabel, this.removeButton, this.meter, this.note);
    this.append(choice, this.problem, this.shown);
    this.input.addEventListener("change", () => this.input.files.length && this.take(this.input.files[0]));
    this.recordButton.addEventListener("click", () => this.record());
    this.removeButton.addEventListener("click", () => { this.take(null); this.recordButton.focus(); });
    this.addEventListener("dragover", (event) => { event.preventDefault(); this.classList.add("over"); });
    this.addEventListener("dragleave", () => this.classList.remove("over"));
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.classList.remove("over");
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
  }

  async record() {
    if (this.stop) {
      const stop = this.stop;
      this.stop = null;
      this.recordButton.textContent = "Record";
      this.classList.remove("recording");
      this.meter.hidden = true;
      const sound = await stop();
      if (!sound.samples.length) return tell(this.problem, "Nothing was recorded: the microphone gave no sound.");
      recordings += 1;
      return this.take(new File([encodeWav(sound)], `recording-${recordings}.wav`, { type: "audio/wav" }));
    }
    if (this.isStarting) return; // a second recording could not be stopped
    tell(this.problem, "");
    this.isStarting = true;
    try {
      await this.begin();
    } finally {
      this.isStarting = false;
    }
  }

  async begin() {
    if (!canRecord()) return tell(this.problem, "A browser records only on this machine (localhost) or behind https. Choose a file instead.");
    try {
      this.stop = await startRecording((level, length) => {
        this.meter.value = level;
        this.note.textContent = seconds(length);
      });
    } catch (error) {
      return tell(this.problem, error.message);
    }
    if (!this.isConnected) return this.disconnectedCallback();
    this.recordButton.textContent = "Stop";
    this.classList.add("recording");
    this.meter.hidden = false;
  }

  /** Removed while it records, with its example: the microphone is let go. */
  disconnectedCallback() {
    void this.stop?.();
    this.stop = null;
  }

  /** The file is sent byte by byte as it is; what is drawn is what the model hears of it, mono at its rate. */
  async take(file) {
    this.file = file;
    this.input.value = "";
    this.removeButton.hidden = !file;
    tell(this.problem, "");
    this.note.textContent = file ? file.name : "or drop one here";
    this.shown.clear();
    this.dispatchEvent(new Event("change", { bubbles: true }));
    if (file) await this.shown.show({ blob: file, title: file.name, rate: SoundInput.rate });
  }
}
customElements.define("sound-input", SoundInput);
