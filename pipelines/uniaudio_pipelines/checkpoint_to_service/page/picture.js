/** <sound-picture>: a sound to play and to see. Waveform, spectrogram, tokens and words lie over one axis of time. */

import { make, newId, seconds } from "./dom.js";
import { FLOOR_DB, inferno, spectrogram } from "./spectrum.js";
import { decode } from "./wav.js";

const PIXELS_A_SECOND = 84, MAX_COLUMNS = 1500, MAX_WIDTH = 8000;
const TIME_STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];

/** A code's colour: neighbours in the codebook have nothing in common, so hues are spread by the golden angle. */
const colour = (code) => `hsl(${(code * 137.508) % 360} ${55 + (code % 3) * 12}% ${38 + (code % 5) * 7}%)`;

const signed = (value, digits) => value.toFixed(digits).replace("-", "−");
const dBFS = (value) => (value > 0 ? `${signed(20 * Math.log10(value), 1)} dBFS` : "none: silence");

export class SoundPicture extends HTMLElement {
  /**
   * Draws `blob`. `title`: its name. `tokens`: {reasoning: [[8 codes], …], reconstruction: […]}. `rates`: frames a second of both.
   * `words`: [{word, start, end}, …] in seconds. Resolves when all is drawn.
   */
  async show({ blob, title, rate, tokens = {}, rates = {}, words = [] }) {
    this.clear();
    this.address = URL.createObjectURL(blob);
    this.player = make("audio", { controls: true, src: this.address, preload: "auto", aria: { label: `Play: ${title}` } });
    this.player.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== this.player) other.pause();
    });
    this.append(this.player);
    const { player } = this;
    const sound = await decode(blob, rate);
    if (!player.isConnected) return null; // another sound was chosen meanwhile
    if (!sound) {
      this.append(make("p", { className: "soft" }, "This browser cannot draw this format; the sound is sent as it is."));
      return null;
    }
    this.sound = sound;
    this.duration = sound.samples.length / sound.rate;
    const strips = Object.entries(tokens).filter(([name, codes]) => codes?.length && rates[name]);
    this.span = Math.max(this.duration, 0.1, ...strips.map(([name, codes]) => codes.length / rates[name]));
    this.build(title, strips, rates, words);
    this.draw();
    return sound;
  }

  clear() {
    if (this.address) URL.revokeObjectURL(this.address);
    this.observer?.disconnect();
    this.replaceChildren();
  }

  build(title, strips, rates, words) {
    const peak = this.sound.samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const spoken = `${title}: ${seconds(this.duration)}, peak ${dBFS(peak)}`;
    this.playhead = make("div", { className: "playhead", hidden: true });
    this.reading = make("p", { className: "reading soft" }, `${seconds(this.duration)} · peak ${dBFS(peak)}`);
    this.rest = this.reading.textContent;
    this.lanes = [];
    const scales = make("div", { className: "scales", aria: { hidden: "true" } });
    const lanes = make("div", { className: "lanes" });
    const add = (kind, label, drawn, read, ...marks) => {
      scales.append(make("div", { className: kind }, ...marks));
      const canvas = make("canvas", { className: kind, aria: { role: "img", label } });
      lanes.append(canvas);
      this.lanes.push({ canvas, drawn, read });
    };
    const kHz = this.sound.rate / 2000;
    const mark = (place, text) => make("span", { className: place }, text);
    add("wave", `Waveform of ${spoken}`, (...canvas) => this.wave(...canvas, peak), () => "", mark("middle", "level"));
    this.spectrum = spectrogram(this.sound.samples, MAX_COLUMNS);
    add("spectrum", `Spectrogram of ${title}, 0 to ${kHz} kHz, ${FLOOR_DB} to 0 dB`, (...canvas) => this.levels(...canvas),
      (x, y) => this.level(x, y), mark("top", `${kHz} kHz`), mark("middle", `${kHz / 2}`), mark("bottom", "0"));
    for (const [name, codes] of strips) {
      const label = `${codes.length} ${name} tokens at ${rates[name]} Hz, ${codes[0].length} rows`;
      this.heading(scales, lanes, `${name} tokens, ${rates[name]} Hz`);
      add("strip", label, (...canvas) => this.strip(...canvas, codes, rates[name]), (x, y) => this.token(x, y, name, codes, rates[name]));
    }
    if (words.length) {
      this.heading(scales, lanes, "words");
      scales.append(make("div", { className: "words" }));
      lanes.append(make("div", { className: "words" }, ...words.map((word) => this.placed(make("span", { title: word.word }, word.word), word.start, word.end))));
    }
    scales.append(make("div", { className: "times" }, mark("middle", "s")));
    this.times = make("div", { className: "times", aria: { hidden: "true" } });
    lanes.append(this.times, this.playhead);
    lanes.style.minWidth = `${Math.min(MAX_WIDTH, this.span * PIXELS_A_SECOND)}px`;
    const scroll = make("div", { className: "scroll", tabIndex: 0, aria: { role: "region", label: `Picture of ${title}` } }, lanes);
    const ramp = make("span", { className: "ramp", aria: { hidden: "true" } });
    const legend = make("p", { className: "legend soft" }, `${signed(FLOOR_DB, 0)} dB `, ramp, " 0 dB");
    this.append(make("div", { className: "plot" }, scales, scroll), make("div", { className: "under" }, this.reading, legend));
    if (strips.length) this.append(this.numbers(strips, rates));
    this.listen(lanes);
  }

  heading(scales, lanes, text) {
    scales.append(make("div", { className: "heading" }));
    lanes.append(make("div", { className: "heading soft" }, make("span", {}, text)));
  }

  placed(element, start, end) {
    element.style.left = `${(100 * start) / this.span}%`;
    element.style.width = `${(100 * (end - start)) / this.span}%`;
    return element;
  }

  listen(lanes) {
    lanes.addEventListener("click", (event) => {
      const place = lanes.getBoundingClientRect();
      this.player.currentTime = Math.min(this.duration, ((event.clientX - place.left) / place.width) * this.span);
      this.player.play().catch(() => {}); // a browser may refuse; the player stands at the place all the same
    });
    lanes.addEventListener("mousemove", ({ target, offsetX, offsetY }) => {
      const lane = this.lanes.find(({ canvas }) => canvas === target);
      const at = lane && lane.read(offsetX / target.clientWidth, offsetY / target.clientHeight);
      this.reading.textContent = at || this.rest;
    });
    lanes.addEventListener("mouseleave", () => { this.reading.textContent = this.rest; });
    const follow = () => {
      this.playhead.hidden = false;
      this.playhead.style.left = `${Math.min(100, (100 * this.player.currentTime) / this.span)}%`;
      if (!this.player.paused) requestAnimationFrame(follow);
    };
    for (const name of ["play", "seeked", "pause"]) this.player.addEventListener(name, follow);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(lanes);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.isConnected && this.draw());
  }

  draw() {
    for (const { canvas, drawn } of this.lanes) {
      const scale = Math.min(devicePixelRatio, MAX_WIDTH / Math.max(1, canvas.clientWidth));
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
      drawn(canvas.getContext("2d"), canvas.width, canvas.height);
    }
    const most = Math.max(2, this.times.clientWidth / 56);
    const step = TIME_STEPS_S.find((one) => this.span / one < most) ?? this.span;
    const marks = Array.from({ length: Math.floor((0.97 * this.span) / step) + 1 }, (_, i) => i * step);
    this.times.replaceChildren(...marks.map((at) => {
      const mark = make("span", {}, `${Number(at.toFixed(2))}`);
      mark.style.left = `${(100 * at) / this.span}%`;
      return mark;
    }));
  }

  wave(context, width, height, peak) {
    const { samples, rate } = this.sound, style = getComputedStyle(this);
    const perPixel = (this.span * rate) / width, scale = (0.47 * height) / Math.max(peak, 1e-4);
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, Math.floor(height / 2), width, 1);
    context.fillStyle = style.getPropertyValue("--accent");
    for (let x = 0; x < width; x += 1) {
      let low = 0, high = 0;
      for (let i = Math.floor(x * perPixel); i < (x + 1) * perPixel && i < samples.length; i += 1) {
        low = Math.min(low, samples[i]); high = Math.max(high, samples[i]);
      }
      context.fillRect(x, height / 2 - high * scale, 1, Math.max(1, (high - low) * scale));
    }
  }

  levels(context, width, height) {
    const { levels, columns, rows } = this.spectrum;
    const image = new ImageData(columns, rows);
    for (let column = 0; column < columns; column += 1)
      for (let row = 0; row < rows; row += 1) {
        const shade = inferno(1 - levels[column * rows + row] / FLOOR_DB);
        image.data.set([...shade, 255], 4 * ((rows - 1 - row) * columns + column));
      }
    const small = make("canvas", { width: columns, height: rows });
    small.getContext("2d").putImageData(image, 0, 0);
    context.fillStyle = "rgb(0 0 4)";
    context.fillRect(0, 0, width, height);
    context.drawImage(small, 0, 0, (width * this.duration) / this.span, height);
  }

  level(x, y) {
    const { levels, columns, rows } = this.spectrum;
    const column = Math.floor((x * this.span * columns) / this.duration), row = Math.min(rows - 1, Math.floor((1 - y) * rows));
    if (column >= columns) return "";
    const kHz = ((row + 0.5) * this.sound.rate) / 2000 / rows;
    return `${(x * this.span).toFixed(2)} s · ${kHz.toFixed(2)} kHz · ${signed(levels[column * rows + row], 0)} dB`;
  }

  strip(context, width, height, codes, rate) {
    const perFrame = width / (this.span * rate), rows = codes[0].length, gap = perFrame > 4 * devicePixelRatio ? 1 : 0;
    codes.forEach((frame, t) => frame.forEach((code, row) => {
      context.fillStyle = colour(code);
      const left = Math.round(t * perFrame), top = Math.round((row * height) / rows);
      context.fillRect(left, top, Math.max(1, Math.round((t + 1) * perFrame) - left - gap), Math.round(((row + 1) * height) / rows) - top - 1);
    }));
  }

  token(x, y, name, codes, rate) {
    const t = Math.floor(x * this.span * rate), row = Math.min(codes[0].length - 1, Math.floor(y * codes[0].length));
    return t < codes.length ? `${name} ${t + 1} of ${codes.length} · row ${row + 1} · token ${codes[t][row]}` : "";
  }

  /** The same for readers who see no colours. */
  numbers(strips, rates) {
    const details = make("details", { className: "numbers" }, make("summary", {}, "Tokens as numbers"));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(...strips.map(([name, codes]) => this.table(name, codes, rates[name])));
    });
    return details;
  }

  table(name, codes, rate) {
    const cell = (tag, value, scope) => make(tag, scope ? { scope } : {}, String(value));
    const head = make("tr", {}, cell("th", "s", "col"), ...codes[0].map((_, row) => cell("th", `row ${row + 1}`, "col")));
    const lines = codes.map((frame, t) => make("tr", {}, cell("th", (t / rate).toFixed(2), "row"), ...frame.map((code) => cell("td", code))));
    const id = newId("table");
    return make("div", { className: "scroll table", tabIndex: 0, aria: { role: "region", labelledby: id } },
      make("table", {}, make("caption", { id }, `${name} tokens, ${rate} Hz`), make("thead", {}, head), make("tbody", {}, ...lines)));
  }
}
customElements.define("sound-picture", SoundPicture);
