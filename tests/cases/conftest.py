"""The source folder that a test fills is the one of the tests of `source_to_raw`."""

from tests.pipelines.source_to_raw.conftest import source as source
