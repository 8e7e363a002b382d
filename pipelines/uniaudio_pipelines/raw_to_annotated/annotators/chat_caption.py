"""The sentence of `style` or `caption_by_measures` in the words of a chat model, where these say the same and no more.

A model that is asked to reword also embellishes, so its sentence counts only where every word of content and every number of
the template's sentence is in it, and none that was not. Else the template's sentence stays. `<models>/chat` holds any causal
language model and its tokenizer, such as SmolLM2-135M-Instruct.
"""

import re
from typing import Any, ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.transformers_models import Pretrained

_MAX_TOKENS = 96
_REQUEST = "Reword this sentence. Keep every fact and every number, add nothing, and answer with one sentence only:\n"
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’#-][^\W\d_]+)*#?")
_FUNCTION_WORDS = frozenset(
    [
        "a", "an", "the", "this", "that", "these", "those", "it", "its", "he", "she", "they", "his", "her", "their",
        "him", "them", "and", "or", "but", "while", "as", "is", "are", "was", "were", "be", "been", "being", "has",
        "have", "had", "does", "do", "in", "on", "at", "of", "with", "without", "by", "to", "from", "for", "into",
        "over", "under", "during", "about", "around", "there", "who", "which", "whose", "where", "when", "very",
        "somebody", "someone", "person", "speaker", "voice", "speaks", "speaking", "spoken", "speak", "talks",
        "talking", "talk", "heard", "hear", "sound", "sounds", "sounding", "piece", "music", "track", "recording",
        "recorded", "titled", "called", "tagged", "labelled", "features", "featuring", "played", "plays", "playing",
        "set"
    ]
)  # fmt: skip
"""Words that a rewording may add or leave out: they say nothing that was measured."""


class ChatCaption(Pretrained):
    name: ClassVar[str] = "chat_caption"
    folder: ClassVar[str] = "chat"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH, SOUND, MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset({"style", "caption", "evidence"})
    writes: ClassVar[frozenset[str]] = frozenset({"style", "caption"})

    def _load(self) -> tuple[Any, Any]:
        model = self._transformers.AutoModelForCausalLM.from_pretrained(self._path, local_files_only=True)
        return model, self._transformers.AutoTokenizer.from_pretrained(self._path, local_files_only=True)

    def annotate(self, clip: Clip) -> list[Value]:
        column = "style" if clip.domain == SPEECH else "caption"
        sentence = clip.known.get(column)
        # Without evidence the sentence is not composed: it is what people said.
        if not sentence or not clip.known.get("evidence"):
            return []
        reworded = self._reword(sentence)
        if reworded == sentence or not says_the_same(sentence, reworded):
            return []
        return [Value(column=column, value=reworded)]

    def _reword(self, sentence: str) -> str:
        """The first line of the greedy answer."""
        import torch

        request = _REQUEST + sentence
        if self._processor.chat_template:
            messages = [{"role": "user", "content": request}]
            request = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = self._processor(request, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            tokens = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=_MAX_TOKENS,
                do_sample=False,
            )
        answer = self._processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        lines = [" ".join(line.split()) for line in answer.splitlines() if line.strip()]
        return lines[0] if lines else ""


def says_the_same(sentence: str, reworded: str) -> bool:
    """Whether both have the same words of content and the same numbers, in any order and whatever stands between them."""
    first, second = _content(sentence), _content(reworded)
    return first == second and bool(reworded.strip())


def _content(text: str) -> frozenset[str]:
    words = {word.lower() for word in _WORD.findall(text)}
    return frozenset(words - _FUNCTION_WORDS)
