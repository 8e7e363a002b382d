"""`rank.py` on pairs of answers."""

import json
import sys
from pathlib import Path

from tests.uniaudio.training.lm import rank
from tests.uniaudio.training.lm.pairs import tiny_pairs

if __name__ == "__main__":
    rank.tiny_sequences = tiny_pairs
    rank.main(Path(sys.argv[1]), json.loads(sys.argv[2]))
