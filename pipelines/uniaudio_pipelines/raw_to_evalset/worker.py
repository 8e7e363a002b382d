"""One shard of raw to the items of an evaluation set, column by column. Memory: the columns that are kept, of one shard."""

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.text.overlap import REFERENCE_BREAK
from uniaudio_pipelines.raw_to_evalset.job import RawToEvalset
from uniaudio_pipelines.running.edge import ShardResult


class EvalsetWorker:
    def __init__(self, store_root: str, job: RawToEvalset, plan: Plan) -> None:
        self._store, self._name = Store(store_root), job.name
        self._raw = self._store.version_with("raw", plan.parents["raw"])

    def process(self, unit: str) -> ShardResult:
        table = self._store.read(self._raw, filter_unit=unit)
        schema = schema_of(EvalsetItem).arrow
        new_columns = {"name": pa.repeat(pa.scalar(self._name), len(table)), "text": _references(table)}
        columns = [new_columns[name] if name in new_columns else table[name] for name in schema.names]
        audio = table.filter(pc.equal(table["medium"], "audio")).select(["num_samples", "sample_rate"])
        seconds = pc.sum(pc.divide(pc.cast(audio["num_samples"], pa.float64()), audio["sample_rate"])).as_py()
        with_text = len(table) - new_columns["text"].null_count
        return ShardResult(
            rows=pa.table(columns, schema=schema),
            statistics={"audio_s": seconds or 0.0, "num_with_text": float(with_text)},
        )


def _references(table: pa.Table) -> pa.Array:
    """What a model is scored against: the document; what is said, and each caption; null where there is none of them."""
    rows = zip(*(table[name].to_pylist() for name in ("text", "given_text", "given_captions")), strict=True)
    texts = (REFERENCE_BREAK.join(filter(None, (text, given, *captions))) for text, given, captions in rows)
    return pa.array([text or None for text in texts], pa.string())
