/** Sounds as WAV bytes and as samples. A sound is {samples: Float32Array [N] mono, rate: Hz}. */

/** WAV, 16 bits, mono (RIFF, Microsoft 1991). */
export function encodeWav({ samples, rate }) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  letters(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, value))), true));
  return new Blob([view], { type: "audio/wav" });
}

/** What a browser can decode, as mono at `rate`; null for other formats, which the service may know all the same. */
export async function decode(blob, rate) {
  try {
    const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
    const samples = new Float32Array(buffer.length);
    for (let channel = 0; channel < buffer.numberOfChannels; channel += 1)
      buffer.getChannelData(channel).forEach((value, i) => { samples[i] += value / buffer.numberOfChannels; });
    return { samples, rate: buffer.sampleRate };
  } catch {
    return null;
  }
}

export const fromBase64 = (text, type) =>
  new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type });

/** Hexadecimal SHA-256, its first 12 digits; empty where the page is neither on this machine nor behind https, as browsers want it. */
export async function fingerprint(blob) {
  if (!globalThis.crypto?.subtle) return "";
  const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, 12);
}
