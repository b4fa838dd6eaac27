"""What the package needs of JAX: a version that computes right, products in full precision, and a private cache of
compiled programs."""

import contextlib
import os
import platform
import stat
import zlib
from importlib.metadata import version
from pathlib import Path

BROKEN_JAXLIB = ("0.10.2",)


def refuse_broken_version() -> None:
    """Raise ImportError if the jaxlib installed is known to compute wrong results (jax issue 39103)."""
    installed = version("jaxlib")
    if installed in BROKEN_JAXLIB:
        raise ImportError(
            f"jaxlib {installed} computes wrong results on CPU (jax issue 39103): "
            "install another one, for example: pip install 'jax==0.10.1' 'jaxlib==0.10.1'"
        )


def cache_folder() -> Path:
    """Where compiled programs are kept, under the user's cache folder: one folder for each version of jaxlib and kind
    of processor, since a program may use what another processor lacks."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "axonic" / f"jaxlib-{version('jaxlib')}-{_processor():08x}"


def set_up() -> None:
    """Both of what follows; to be called before anything is compiled."""
    use_compilation_cache()
    use_full_precision()


def use_full_precision() -> None:
    """Let an accelerator multiply float32 as float32, unless the user has chosen otherwise. JAX lets NVIDIA's round the
    factors to 10 bits (TF32), after which a line search or a sign of the gradient goes another way than on a processor
    (`docs/scaling.md` has figures). `JAX_DEFAULT_MATMUL_PRECISION=tensorfloat32` takes the rounding back."""
    import jax

    if jax.config.values["jax_default_matmul_precision"] is None and jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "float32")


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, unless the user has chosen a cache of their own.

    A cached program is code that will run, so the folder must belong to this user and be writable by nobody else;
    where that can't be had, nothing is cached and only time is lost.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        status = folder.stat()
        private = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    except (OSError, RuntimeError):
        return
    if not private:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    jax.config.update("jax_raise_persistent_cache_errors", False)  # a bad entry must cost time only
    _quiet_loader()


def use_processors() -> None:
    """Give JAX every processor as a device of its own, for what shares its rows among devices. It can only be done
    before JAX has begun to compute; later it is left as it is."""
    import jax

    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)


def _processor() -> int:
    """A number for the kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    return zlib.crc32(f"{platform.machine()} {platform.processor()} {flags}".encode())


def _quiet_loader() -> None:
    """Keep XLA from printing pages about cached programs that were compiled for "another" processor: it compares the
    hints it compiles with against the features of the machine, and never finds them equal on some (jax issue 38445).
    The folder above is for one kind of processor, so what is left of the warning is noise.

    Setting JAX's logging level sets the threshold of its native part as well; setting it back leaves that in place.
    """
    import jax

    level = jax.config.values["jax_logging_level"]
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1" and level in (None, "NOTSET"):  # 1 is what JAX sets by itself
        jax.config.update("jax_logging_level", "CRITICAL")
        jax.config.update("jax_logging_level", level)
