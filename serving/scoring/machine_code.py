"""The kernels' machine code, loaded from a file next to this package's bytecode, or else compiled by numba.

The first model of a process needs the kernels. numba's import and compiler take about 3 s for them; LLVM's linker takes
3 ms for a file of 5 KB. ``python -m serving.scoring.compile_kernels`` writes the files into `__pycache__`, as
``python -m compileall`` writes bytecode: a step of the installation, by the account that may write the package. Nothing
writes there afterwards, so that a server needs no folder for executable code. A file is found by its processor, the
versions of numba and LLVM and the kernels' source; without one that fits, numba compiles in memory. numba's own cache
is not used, because it is pickle.

Each kernel takes one address and raises nothing: its code refers to no function but the C library's.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from serving.storage.durable import replacing

_SOURCES: Final = ("machine_code.py", "vectors.py", "margin/kernel.py", "shap/kernel.py")
_DIGEST_SIZE: Final = 32
_C_LIBRARY: Final = {"memset", "memcpy", "memmove"}

Prototype = Callable[[int], Callable[..., Any]]
_logger = logging.getLogger(__name__)
_lock = threading.Lock()
_loaded: Final[dict[str, Callable[..., Any]]] = {}
_kept: Final[list[Any]] = []
"""Owns the memory of the loaded code."""


def kernel(name: str, compiled: Callable[[], Any], prototype: Prototype) -> Callable[..., Any]:
    """The function of a kernel, loaded once in a process.

    Parameters
    ----------
    name
        The kernel's name, unique among all.
    compiled
        Compiles the kernel with `numba.cfunc`; called only if no file fits.
    prototype
        The ctypes type of the function.

    Raises
    ------
    ImportError
        If no file fits and numba is not installed.
    RuntimeError
        As `object_code`, and if LLVM cannot compile or link the code.
    """
    with _lock:
        if name not in _loaded:
            code = _stored(name)
            if code is None:
                _logger.info("numba compiles the kernel %s in memory, since there is no %s", name, stored_file(name))
                code = object_code(name, compiled)
            _loaded[name] = prototype(_linked(name, code))
        return _loaded[name]


def stored_file(name: str) -> Path:
    """The file that holds a kernel's code for this processor and these versions, whether it exists or not."""
    return Path(importlib.util.cache_from_source(__file__)).parent / f"{name}.{_key()}.o"


def store(name: str, compiled: Callable[[], Any]) -> Path:
    """Write the file of a kernel if no file fits, or if it is damaged.

    Raises
    ------
    OSError
        If this account may not write into the package's folder.
    """
    path = stored_file(name)
    if _stored(name) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        code = object_code(name, compiled)
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)  # for every account, as bytecode is
    return path


def object_code(name: str, compiled: Callable[[], Any]) -> bytes:
    """The object file of a kernel that `numba.cfunc` compiled: one function with the kernel's name.

    numba's function reports errors through Python's C interface. With everything else internal, LLVM finds that a
    kernel has none and removes those calls.

    Raises
    ------
    RuntimeError
        If the code still refers to a function outside the C library.
    """
    import llvmlite.binding as llvm

    made = compiled()
    module = llvm.parse_assembly(made.inspect_llvm())
    for value in (*module.functions, *module.global_variables):
        if value.name == made.native_name:
            value.name = name
        elif not value.is_declaration:
            value.linkage = "internal"
    machine = _target_machine()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    outside = {each.name for each in module.functions if each.is_declaration and not each.name.startswith("llvm.")}
    if outside - _C_LIBRARY:
        raise RuntimeError(
            f"Expected the kernel {name} to call nothing outside the C library, got {', '.join(sorted(outside))}"
        )
    code: bytes = machine.emit_object(module)
    return code


def _stored(name: str) -> bytes | None:
    """The code in the file that fits; ``None`` without one, or if it is damaged."""
    path = stored_file(name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # Not installed, or for another processor or version: the name holds both.
        return None
    except OSError as error:
        _logger.warning("The machine code cannot be read; numba compiles it in memory: %s", error)
        return None
    digest, code = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    if hashlib.sha256(code).digest() == digest:
        return code
    _logger.warning(
        "The machine code in %s is damaged; numba compiles it in memory. Write it again: "
        "python -m serving.scoring.compile_kernels", path,
    )  # fmt: skip
    return None


def _linked(name: str, code: bytes) -> int:
    """The address of the function in an object file."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _kept.append(engine)
    address: int = engine.get_function_address(name)
    return address


def _processor() -> tuple[str, str]:
    """LLVM's name of this processor and its features."""
    import llvmlite.binding as llvm

    try:
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM cannot name the features of every processor; the name is enough to compile for.
        return llvm.get_host_cpu_name(), ""


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _processor()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic", codemodel="jitdefault", jit=True
    )


@functools.cache
def _key() -> str:
    """Digest of all that the code depends on."""
    import llvmlite.binding as llvm

    folder = Path(__file__).parent
    parts: Sequence[object] = (
        importlib.metadata.version("numba"), importlib.metadata.version("llvmlite"), llvm.llvm_version_info,
        llvm.get_process_triple(), *_processor(),
    )  # fmt: skip
    digest = hashlib.sha256(repr(parts).encode())
    for source in _SOURCES:
        digest.update(hashlib.sha256((folder / source).read_bytes()).digest())
    return digest.hexdigest()[:16]
