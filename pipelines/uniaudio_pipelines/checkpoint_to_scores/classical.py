"""What one would do without the model: classical systems that answer the items of an evaluation set.

logistic_regression(heard, answers, recordings, choices)  -> ["snare", "tom", …], each from items of other recordings
pocketsphinx(heard, …, choices)                           -> ["hello", …]; among choices, of these words alone
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.resample import resample
from uniaudio_pipelines.checkpoint_to_scores.embeddings import embed

# Shapes: N items, D features, C choices

_NUM_FOLDS = 5
_NUM_CEPSTRA = 20
_PENALTY = 1.0
_SPHINX_RATE = 16_000
Classical = Callable[[Iterable[np.ndarray], Sequence[str], Sequence[str], Sequence[str]], list[str]]
"""Classical system: audio, answers, recordings and choices -> what it answers to each."""


class NotInstalledError(Exception):
    """A package is missing; the message names it."""


def logistic_regression(
    heard: Iterable[np.ndarray], answers: Sequence[str], recordings: Sequence[str], choices: Sequence[str]
) -> list[str]:
    """Multinomial, on mean and standard deviation of 20 cepstra; five folds of whole recordings, so that none is asked of itself."""
    features_ND = np.stack([cepstra(samples) for samples in heard])
    labels_N = np.array([list(choices).index(answer) for answer in answers])
    folds_N = np.array([int(hash_bytes(name.encode())[:8], 16) % _NUM_FOLDS for name in recordings])
    said = np.zeros(len(labels_N), int)
    for fold in range(_NUM_FOLDS):
        asked, known = folds_N == fold, folds_N != fold
        if asked.any() and known.any():
            mean, spread = features_ND[known].mean(axis=0), features_ND[known].std(axis=0) + 1e-6
            weights_DC = _fit((features_ND[known] - mean) / spread, labels_N[known], len(choices))
            said[asked] = _scores((features_ND[asked] - mean) / spread, weights_DC).argmax(axis=1)
    return [choices[place] for place in said]


def cepstra(samples: np.ndarray) -> np.ndarray:
    """`[N]` at 24 kHz -> `[40]`: mean and standard deviation over time of 20 mel-frequency cepstra's worth of the log mel bands."""
    from scipy.fft import dct

    statistics = embed(samples).reshape(2, -1)
    return np.asarray(dct(statistics, norm="ortho")[:, :_NUM_CEPSTRA]).ravel()


def _scores(features_ND: np.ndarray, weights_DC: np.ndarray) -> np.ndarray:
    scores_NC: np.ndarray = features_ND @ weights_DC[:-1] + weights_DC[-1]
    return scores_NC


def _fit(features_ND: np.ndarray, labels_N: np.ndarray, num_choices: int) -> np.ndarray:
    """`[D + 1, C]` weights, the last row the bias: maximum likelihood with a penalty on the weights."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    shape = (features_ND.shape[1] + 1, num_choices)
    wanted_NC = np.eye(num_choices)[labels_N]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights_DC = flat.reshape(shape)
        scores_NC = _scores(features_ND, weights_DC)
        logs_NC = scores_NC - logsumexp(scores_NC, axis=1, keepdims=True)
        error_NC = np.exp(logs_NC) - wanted_NC
        slope = np.vstack([features_ND.T @ error_NC + _PENALTY * weights_DC[:-1], error_NC.sum(axis=0)])
        value = -(wanted_NC * logs_NC).sum() + 0.5 * _PENALTY * np.square(weights_DC[:-1]).sum()
        return float(value), slope.ravel()

    solution = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return np.asarray(solution.x).reshape(shape)


def pocketsphinx(
    heard: Iterable[np.ndarray], answers: Sequence[str], recordings: Sequence[str], choices: Sequence[str]
) -> list[str]:
    """What the English recognizer hears; where there are choices, the likeliest of them by a grammar of theirs."""
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError as error:
        raise NotInstalledError("pocketsphinx must be installed: `pip install pocketsphinx`") from error
    options = {} if not choices else {"lm": None}
    decoder = Decoder(samprate=_SPHINX_RATE, loglevel="FATAL", **options)
    if choices:
        grammar = f"#JSGF V1.0; grammar choices; public <choice> = {' | '.join(choices)};"
        decoder.add_jsgf_string("choices", grammar)
        decoder.activate_search("choices")
    return [_heard(decoder, samples) for samples in heard]


def _heard(decoder: object, samples: np.ndarray) -> str:
    """Words that PocketSphinx hears in `[N]` samples at 24 kHz, with half a second of silence on either side."""
    speech = np.pad(resample(samples, SAMPLE_RATE, _SPHINX_RATE), _SPHINX_RATE // 2)
    data = (np.clip(speech, -1, 1) * 32_767).astype(np.int16).tobytes()
    decoder.start_utt()  # type: ignore[attr-defined]
    decoder.process_raw(data, full_utt=True)  # type: ignore[attr-defined]
    decoder.end_utt()  # type: ignore[attr-defined]
    hypothesis = decoder.hyp()  # type: ignore[attr-defined]
    return hypothesis.hypstr if hypothesis else ""


CLASSICAL: dict[str, Classical] = {"logistic_regression": logistic_regression, "pocketsphinx": pocketsphinx}
