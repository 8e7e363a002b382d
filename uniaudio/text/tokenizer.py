"""Text tokenizers behind one protocol: plain ids without specials, specials by name.

`ByteTokenizer` needs nothing and serves the debug size: ids 0 … 255 are UTF-8 bytes, specials follow.
`HuggingFaceTokenizer` loads any folder with a `tokenizer.json`; specials that it lacks are added by name.
"""

import json
from pathlib import Path
from typing import Protocol

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages
from uniaudio_schemas.fingerprint import hash_file, hash_json, short

SPECIALS = (
    "bos",
    "eos",
    "pad",
    "transcription_start",
    "transcription_end",
    "lyric_start",
    "lyric_end",
    "caption_start",
    "caption_end",
    "think_start",
    "think_end",
    "answer_start",
    "answer_end",
)
"""Names of the special text tokens of the released vocabulary (spec of the language model, 1.3)."""
SPELLINGS = {
    "bos": ("<|begin_of_text|>", "<s>", "<|im_start|>"),
    "eos": ("<|end_of_text|>", "</s>", "<|im_end|>", "<|endoftext|>"),
    "pad": ("<text_pad_token>",),
    **{f"{name}_start": (f"<{name}>",) for name in ("transcription", "lyric", "caption", "think", "answer")},
    **{f"{name}_end": (f"</{name}>",) for name in ("transcription", "lyric", "caption", "think", "answer")},
}
"""Name -> the ways tokenizers spell it; the first is the one that is added."""


class TextTokenizer(Protocol):
    @property
    def num_ids(self) -> int:
        """Ids are 0 … num_ids - 1, specials included."""
        ...

    @property
    def specials(self) -> dict[str, int]:
        """Name in `SPECIALS` -> id."""
        ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, text: str) -> list[int]:
        """Plain ids, no special among them."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text; specials and ids out of range are left out."""
        ...


class ByteTokenizer:
    """UTF-8 bytes, then the specials in the order of `SPECIALS`."""

    num_ids = 256 + len(SPECIALS)
    specials = {name: 256 + index for index, name in enumerate(SPECIALS)}  # noqa: RUF012 - a constant of the class
    fingerprint = short(hash_json(["bytes", *SPECIALS]))

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", errors="replace"))

    def decode(self, ids: list[int]) -> str:
        return bytes(token for token in ids if 0 <= token < 256).decode("utf-8", errors="replace")


class HuggingFaceTokenizer:
    """A folder's `tokenizer.json` through the library `tokenizers`."""

    def __init__(self, folder: str | Path) -> None:
        with optional_packages():
            from tokenizers import Tokenizer
        self.folder = Path(folder)
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise UsageError(f"`folder` must hold a tokenizer.json, but {folder} does not.")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
            named, renamed = _named_specials(self.folder), _renamed_tokens(self.folder)
        except Exception as error:  # `tokenizers` raises nothing narrower
            raise DataError(f"{folder}: must hold a tokenizer, but cannot be read as such ({error}).") from error
        # Text of a corpus may spell a special token; it must stay text. And all of it is read, whatever the file says.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.specials = self._find_specials(named, renamed)
        ids = list(self._tokenizer.get_vocab(with_added_tokens=True).values())
        if len(set(ids)) < len(ids):
            raise DataError(f"{path}: ids must follow each other without a gap, for specials come behind them.")
        self.num_ids = max(*ids, *self.specials.values()) + 1
        self.fingerprint = short(hash_json([hash_file(path), self.specials]))

    @classmethod
    def from_folder(cls, folder: str | Path) -> "HuggingFaceTokenizer":
        return cls(folder)

    def _find_specials(self, named: dict[str, str], renamed: dict[str, int]) -> dict[str, int]:
        if named.get("bos") == named.get("eos"):
            # One token for both ends (SmolLM2, GPT-2) cannot tell them apart: it stays the end.
            named = {name: spelling for name, spelling in named.items() if name != "bos"}
        used_texts = set(named.values())
        specials: dict[str, int] = {}
        for name in SPECIALS:
            if ids := [renamed[text] for text in SPELLINGS[name] if text in renamed and name not in named]:
                specials[name] = ids[0]
                continue
            spellings = [named[name]] if name in named else [text for text in SPELLINGS[name] if text not in used_texts]
            if not spellings:
                raise DataError(
                    f"`bos` and `eos` must be tokens of their own, but one of them is {SPELLINGS[name][0]}."
                )
            in_vocabulary = [spelling for spelling in spellings if self._tokenizer.token_to_id(spelling) is not None]
            spelling_used = in_vocabulary[0] if in_vocabulary else spellings[0]
            if not in_vocabulary:
                self._tokenizer.add_special_tokens([spelling_used])
            used_texts.add(spelling_used)
            token = self._tokenizer.token_to_id(spelling_used)
            assert token is not None, f"{spelling_used} was just added"
            specials[name] = token
        return specials

    def encode(self, text: str) -> list[int]:
        special = set(self.specials.values())
        # A command line hands over bytes that are no text as surrogates, which no tokenizer takes.
        plain = text.encode("utf-8", errors="replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(plain, add_special_tokens=False).ids
        return [token for token in ids if token not in special]

    def decode(self, ids: list[int]) -> str:
        special = set(self.specials.values())
        plain = [token for token in ids if 0 <= token < self.num_ids and token not in special]
        return str(self._tokenizer.decode(plain, skip_special_tokens=True))


def _named_specials(folder: Path) -> dict[str, str]:
    """`bos` and `eos` as the folder's configuration names them."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    config = json.loads(path.read_text(encoding="utf-8"))
    entries = {name: config.get(f"{name}_token") for name in ("bos", "eos")}
    contents = {name: value.get("content") if isinstance(value, dict) else value for name, value in entries.items()}
    return {name: value for name, value in contents.items() if isinstance(value, str) and value}


def _renamed_tokens(folder: Path) -> dict[str, int]:
    """Text -> id of tokens that the folder's configuration gives another text than its tokenizer.json: reserved ones that a
    model was trained to use, as the released model's `<transcription>`.
    """
    config, tokenizer = folder / "tokenizer_config.json", folder / "tokenizer.json"
    if not config.is_file():
        return {}
    decoder = json.loads(config.read_text(encoding="utf-8")).get("added_tokens_decoder", {})
    entries = json.loads(tokenizer.read_text(encoding="utf-8")).get("added_tokens", [])
    texts = {token["id"]: token["content"] for token in entries}
    return {
        token["content"]: int(key)
        for key, token in decoder.items()
        if int(key) in texts and texts[int(key)] != token["content"]
    }
