"""Find files and versions of installed packages without importing them: some change torch's settings when imported,
some need more packages."""

from importlib import metadata, util
from pathlib import Path

from uniaudio_schemas.errors import UsageError


def package_file(package: str, file: str, annotator: str) -> Path:
    """A data file inside an installed package."""
    spec = util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UsageError(
            f"Annotator `{annotator}` needs the package {package} with {file}: install `uniaudio[annotate]`, "
            f"or leave `{annotator}` out of `annotators`."
        )
    return path


def require_package(package: str, annotator: str) -> None:
    if util.find_spec(package) is None:
        raise UsageError(
            f"Annotator `{annotator}` needs the package {package}: install `uniaudio[annotate]`, "
            f"or leave `{annotator}` out of `annotators`."
        )


def package_version(distribution: str) -> str:
    try:
        return metadata.version(distribution).split("+")[0]
    except metadata.PackageNotFoundError:
        return "0"


def onnx_session(path: Path, device: str = "cpu") -> "object":
    """One thread: a worker has one core, and sums of several threads differ. On `cuda` where this onnxruntime has it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    preferred_providers = ["CUDAExecutionProvider"] if device == "cuda" else []
    there = set(onnxruntime.get_available_providers())
    providers = [name for name in [*preferred_providers, "CPUExecutionProvider"] if name in there]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)
