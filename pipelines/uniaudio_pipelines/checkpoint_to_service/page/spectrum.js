/** Spectrograms in dB: 0 dB is a sine of full scale. Measured as `uniaudio report` does: Hann windows of about 43 ms, the largest of each band. */

const WINDOW_SAMPLES = 1024, ROWS = 128;
export const FLOOR_DB = -90;

/** In place: radix-2 transform of `re`, `im`, whose length is a power of two (Cooley and Tukey 1965). */
function transform(re, im) {
  const size = re.length;
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let width = 2; width <= size; width <<= 1) {
    const half = width / 2;
    for (let k = 0; k < half; k += 1) {
      const cos = Math.cos((-2 * Math.PI * k) / width), sin = Math.sin((-2 * Math.PI * k) / width);
      for (let a = k; a < size; a += width) {
        const b = a + half, x = re[b] * cos - im[b] * sin, y = re[b] * sin + im[b] * cos;
        re[b] = re[a] - x; im[b] = im[a] - y; re[a] += x; im[a] += y;
      }
    }
  }
}

/** {levels: Float32Array [columns * 128] dB, low frequencies first in each column, columns}. */
export function spectrogram(samples, maxColumns) {
  const hop = Math.max(WINDOW_SAMPLES / 8, Math.ceil(samples.length / maxColumns));
  const columns = Math.max(1, Math.ceil(samples.length / hop));
  const hann = Float64Array.from({ length: WINDOW_SAMPLES }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW_SAMPLES));
  const scale = 4 / WINDOW_SAMPLES, perRow = WINDOW_SAMPLES / 2 / ROWS;
  const levels = new Float32Array(columns * ROWS);
  const re = new Float64Array(WINDOW_SAMPLES), im = new Float64Array(WINDOW_SAMPLES);
  for (let column = 0; column < columns; column += 1) {
    const first = column * hop - WINDOW_SAMPLES / 2;
    for (let i = 0; i < WINDOW_SAMPLES; i += 1) re[i] = (samples[first + i] ?? 0) * hann[i];
    im.fill(0);
    transform(re, im);
    for (let row = 0; row < ROWS; row += 1) {
      let power = 1e-12;
      for (let bin = row * perRow + 1; bin <= (row + 1) * perRow; bin += 1) power = Math.max(power, re[bin] ** 2 + im[bin] ** 2);
      levels[column * ROWS + row] = Math.max(FLOOR_DB, 10 * Math.log10(power * scale ** 2));
    }
  }
  return { levels, columns, rows: ROWS };
}

/** Inferno (Smith and van der Walt 2015) at eighths. */
const STOPS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];

/** 0 … 1 -> [red, green, blue]. */
export function inferno(share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1), low = Math.floor(place);
  return STOPS[low].map((from, i) => from + (place - low) * (STOPS[low + 1][i] - from));
}
