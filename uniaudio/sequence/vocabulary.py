"""The id ranges of text, reasoning, reconstruction and special tokens, written out and fingerprinted.

The eight audio streams share one range of combined ids (spec of the language model, 1.2):

    0 … reasoning_codes - 1                               reasoning codes
    reasoning_bos, reasoning_eos, reasoning_pad           below `reconstruction_offset`
    reconstruction_offset + (0 … reconstruction_codes-1)  reconstruction codes
    reconstruction_bos, …_eos, …_pad, audio_prompt_bos, audio_prompt_eos    below `audio_size`

All special ids here are combined ids. A begin or an end of audio is a whole frame: the id in all streams.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from uniaudio_schemas.errors import FingerprintError, UsageError
from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.plain import from_json

from uniaudio.text.tokenizer import ByteTokenizer, TextTokenizer

MAX_ID = 32_767
"""Combined ids are stored as int16."""
REASONING_SPECIALS = ("reasoning_bos", "reasoning_eos", "reasoning_pad")
RECONSTRUCTION_SPECIALS = (
    "reconstruction_bos",
    "reconstruction_eos",
    "reconstruction_pad",
    "audio_prompt_bos",
    "audio_prompt_eos",
)
RELEASED_REASONING_CODES, RELEASED_RECONSTRUCTION_CODES = 4096, 8192
"""Entries of a codebook of the released codec."""
RELEASED_FIELDS = (
    "audio_reason_card", "audio_semantic_card", "parallel_number", "text_pad_token", "reason_bos", "reason_eos",
    "reason_pad_token", "semantic_bos", "semantic_eos", "semantic_pad_token", "audio_prompt_bos", "audio_prompt_eos",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The defaults are a small vocabulary over bytes, for tests."""

    text_size: int = ByteTokenizer.num_ids
    """Text ids are 0 … text_size - 1."""
    text_specials: dict[str, int] = field(default_factory=lambda: dict(ByteTokenizer.specials))
    """Name -> text id."""
    tokenizer_fingerprint: str = ByteTokenizer.fingerprint
    reasoning_codes: int = 64
    """0: no reasoning tokens, neither read nor written (the paper's ablation)."""
    reasoning_bos: int = 64
    reasoning_eos: int = 65
    reasoning_pad: int = 67
    reconstruction_offset: int = 68
    """First reconstruction code; the size of the reasoning range."""
    reconstruction_codes: int = 128
    reconstruction_bos: int = 196
    reconstruction_eos: int = 197
    reconstruction_pad: int = 198
    audio_prompt_bos: int = 199
    audio_prompt_eos: int = 200
    audio_size: int = 204
    """Rows a stream in the embedding table, and columns of its head."""
    num_codebooks: int = 8

    def __post_init__(self) -> None:
        # A copy, in one order: the caller's dictionary may change later, this one must not.
        object.__setattr__(self, "text_specials", dict(sorted(self.text_specials.items())))
        self._check_audio()
        if "pad" not in self.text_specials:
            raise UsageError(f"`text_specials` must hold `pad`, but holds {sorted(self.text_specials)}.")
        for name, token in self.text_specials.items():
            if not 0 <= token < self.text_size:
                raise UsageError(f"`text_specials[{name}]` must lie in 0 … {self.text_size - 1}, but is {token}.")
        if len(set(self.text_specials.values())) != len(self.text_specials):
            raise UsageError(f"`text_specials` must be distinct ids, but are {self.text_specials}.")

    def _check_audio(self) -> None:
        bounds = (
            0,
            self.reasoning_codes,
            self.reconstruction_offset,
            self.reconstruction_offset + self.reconstruction_codes,
            self.audio_size,
        )
        if list(bounds) != sorted(bounds) or self.audio_size > MAX_ID + 1:
            raise UsageError(f"the audio ranges must follow each other below {MAX_ID + 1}, but begin at {bounds}.")
        code_ranges = (
            range(self.reasoning_codes),
            range(self.reconstruction_offset, self.reconstruction_offset + self.reconstruction_codes),
        )
        specials = {name: getattr(self, name) for name in REASONING_SPECIALS + RECONSTRUCTION_SPECIALS}
        for name, token in specials.items():
            if not 0 <= token < self.audio_size or any(token in codes for codes in code_ranges):
                raise UsageError(f"`{name}` must be an id below {self.audio_size} outside the codes, but is {token}.")
        for name in ("bos", "eos", "pad"):
            # Decoding and condition dropout tell the kinds apart by this border.
            if (
                not getattr(self, f"reasoning_{name}")
                < self.reconstruction_offset
                <= getattr(self, f"reconstruction_{name}")
            ):
                raise UsageError(
                    f"`reasoning_{name}` must lie below `reconstruction_offset` ({self.reconstruction_offset}) and "
                    f"`reconstruction_{name}` must not, but they are {specials[f'reasoning_{name}']} and "
                    f"{specials[f'reconstruction_{name}']}."
                )
        if len(set(specials.values())) != len(specials):
            raise UsageError(f"special audio ids must be distinct, but are {specials}.")

    @classmethod
    def build(
        cls, tokenizer: TextTokenizer, reasoning_codebook_size: int, reconstruction_codebook_size: int
    ) -> "Vocabulary":
        """Ranges one behind the other; four ids are set aside after the reasoning codes, eight after the reconstruction
        codes, as released. A `reasoning_codebook_size` of 0 leaves reasoning tokens out.
        """
        offset = reasoning_codebook_size + 4
        end = offset + reconstruction_codebook_size
        return cls(
            text_size=tokenizer.num_ids,
            text_specials=dict(tokenizer.specials),
            tokenizer_fingerprint=tokenizer.fingerprint,
            reasoning_codes=reasoning_codebook_size,
            reasoning_bos=reasoning_codebook_size,
            reasoning_eos=reasoning_codebook_size + 1,
            reasoning_pad=reasoning_codebook_size + 3,
            reconstruction_offset=offset,
            reconstruction_codes=reconstruction_codebook_size,
            reconstruction_bos=end,
            reconstruction_eos=end + 1,
            reconstruction_pad=end + 2,
            audio_prompt_bos=end + 3,
            audio_prompt_eos=end + 4,
            audio_size=end + 8,
        )

    @classmethod
    def released(cls, tokenizer: TextTokenizer, llm_config: Mapping[str, int]) -> "Vocabulary":
        """The released model's, from the values of its `llm_config.yaml`, in the authors' names.

        Reconstruction ("semantic") specials are stored there without their offset `audio_reason_card`, the audio
        prompt's with it.
        """
        missing_fields = [name for name in RELEASED_FIELDS if name not in llm_config]
        if missing_fields:
            raise UsageError(
                f"`llm_config` must hold {', '.join(RELEASED_FIELDS)}, but lacks {', '.join(missing_fields)}."
            )
        offset = llm_config["audio_reason_card"]
        return cls(
            text_size=tokenizer.num_ids,
            text_specials={**tokenizer.specials, "pad": llm_config["text_pad_token"]},
            tokenizer_fingerprint=tokenizer.fingerprint,
            reasoning_codes=RELEASED_REASONING_CODES,
            reasoning_bos=llm_config["reason_bos"],
            reasoning_eos=llm_config["reason_eos"],
            reasoning_pad=llm_config["reason_pad_token"],
            reconstruction_offset=offset,
            reconstruction_codes=RELEASED_RECONSTRUCTION_CODES,
            reconstruction_bos=llm_config["semantic_bos"] + offset,
            reconstruction_eos=llm_config["semantic_eos"] + offset,
            reconstruction_pad=llm_config["semantic_pad_token"] + offset,
            audio_prompt_bos=llm_config["audio_prompt_bos"],
            audio_prompt_eos=llm_config["audio_prompt_eos"],
            audio_size=offset + llm_config["audio_semantic_card"],
            num_codebooks=llm_config["parallel_number"] - 1,
        )

    @property
    def has_reasoning(self) -> bool:
        return self.reasoning_codes > 0

    @property
    def text_pad(self) -> int:
        return self.text_specials["pad"]

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def fingerprint(self) -> str:
        return short(hash_json(asdict(self)))

    def to_json(self) -> str:
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "vocabulary") -> "Vocabulary":
        """The inverse of `to_json`. DataError that begins with `name` where a field is missing or unknown: a vocabulary is never guessed."""
        return from_json(cls, text, name, is_whole=True)

    def require(self, fingerprint: str, what: str) -> None:
        """FingerprintError unless `what` was made with this vocabulary."""
        if fingerprint != self.fingerprint:
            raise FingerprintError(
                f"{what} must be made with vocabulary {self.fingerprint[:8]}, but was made with {fingerprint[:8]}."
            )
