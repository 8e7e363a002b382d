/** Records a microphone without loss: no codec, no echo cancelling, no gain control. */

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.AudioWorkletNode);

const SENTENCES = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the browser's settings of this page, or choose a file.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "Another program holds the microphone. Close it, or choose a file.",
};

/** Starts at once; `onLevel` hears the peak (0 … 1) and the seconds so far. Returns a function that stops and gives the sound. */
export async function startRecording(onLevel) {
  let stream;
  try {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  } catch (error) {
    throw new Error(SENTENCES[error.name] ?? `The microphone could not be opened (${error.message}).`);
  }
  const context = new AudioContext();
  const blocks = [];
  let length = 0;
  try {
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    throw new Error(`The recording could not be started (${error.message}).`);
  }
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => {
    blocks.push(data);
    length += data.length;
    onLevel(data.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0), length / context.sampleRate);
  };
  context.createMediaStreamSource(stream).connect(node);
  return async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    const samples = new Float32Array(length);
    let at = 0;
    for (const block of blocks) { samples.set(block, at); at += block.length; }
    return { samples, rate: context.sampleRate };
  };
}
