"""What an edge is doing, as metrics of Ray: in its dashboard, and at each node's metrics port as text that Prometheus reads.

    ray_uniaudio_shards_done{edge="instructions_to_tokens",plan="7f3a91c2",…} 41.0
    ray_uniaudio_hours_per_hour{edge="instructions_to_tokens",plan="7f3a91c2",…} 212.4
    ray_uniaudio_dropped_rows{edge="instructions_to_tokens",plan="7f3a91c2",reason="too_short",…} 3.0
    ray_uniaudio_training{edge="sequences_to_checkpoint",plan="80c1d2aa",part="stage3",name="tokens_per_second",…} 5120.0

They are of the run of the edge that is going on, told by its driver whenever a shard is done, by the first rank of a training at each
step that is logged, and end with it. Without Ray nothing is told.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "uniaudio_"
"""Ray adds `ray_` before it."""
HELP = {  # Ray takes ASCII alone
    "shards_total": "Shards of the version.",
    "shards_done": "Shards of it that are staged.",
    "rows": "Rows in them that this run made.",
    "audio_hours": "Hours of audio in those rows.",
    "hours_per_hour": "Hours of audio for each hour that the run has taken.",
    "padding_share": "Of the samples that the codec encoded, those that were filled up.",
    "busy_share": "Of the workers' time, that in which their encoder worked.",
    "dropped_rows": "Rows that this run dropped, by reason.",
    "training": "What a run of training tells of a stage or phase, by name, such as loss or steps_per_second.",
}
_TAGS = ("edge", "plan")


class Gauges:
    """Gauges of one run of an edge."""

    def __init__(self, edge: str, plan_id: str) -> None:
        self._tags = {"edge": edge, "plan": plan_id[:8]}
        self._made: dict[str, Any] = {}

    def tell(self, values: Mapping[str, float], dropped: Mapping[str, int]) -> None:
        """`values`: by the names of `HELP`; `dropped`: rows by reason."""
        if not _has_ray():
            return
        for name, value in values.items():
            self._gauge(name, _TAGS).set(value, self._tags)
        for reason, count in dropped.items():
            self._gauge("dropped_rows", (*_TAGS, "reason")).set(count, {**self._tags, "reason": reason})

    def tell_training(self, part: str, values: Mapping[str, float]) -> None:
        """What `part` of a training tells, by name."""
        if not _has_ray():
            return
        for name, value in values.items():
            self._gauge("training", (*_TAGS, "part", "name")).set(value, {**self._tags, "part": part, "name": name})

    def _gauge(self, name: str, tags: Iterable[str]) -> Any:
        if name not in self._made:
            from ray.util.metrics import Gauge

            self._made[name] = Gauge(PREFIX + name, HELP[name], tuple(tags))
        return self._made[name]


def shares(work: Mapping[str, float]) -> dict[str, float]:
    """Shares that follow from what workers say of their work; those of which they say nothing are left out.

    {"encoded_samples": 105, "given_samples": 100, "encode_seconds": 9, "wall_seconds": 10} -> {"padding_share": 0.048, "busy_share": 0.9}
    """
    share_by_name = {}
    if work.get("encoded_samples") and "given_samples" in work:
        share_by_name["padding_share"] = 1.0 - work["given_samples"] / work["encoded_samples"]
    if work.get("wall_seconds") and "encode_seconds" in work:
        share_by_name["busy_share"] = work["encode_seconds"] / work["wall_seconds"]
    return share_by_name


def _has_ray() -> bool:
    if "ray" not in sys.modules:
        return False
    import ray

    return bool(ray.is_initialized())
