# SPDX-License-Identifier: BSD-2-Clause
"""The machines that tests run on, and what is printed when one fails."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import expected  # noqa: E402
import payloads  # noqa: E402
from bochs import Bochs  # noqa: E402
from machine import IMAGE, ROOT, Boot, Machine  # noqa: E402
from qemu import QemuAmd, QemuKvm, kvm_is_nested  # noqa: E402

Machine.forbidden = expected.PANIC
LOGS = ROOT / "build/test-logs"

# name: (class, its arguments)
MACHINES = {
    "qemu-amd": (QemuAmd, {}),
    "bochs-intel": (Bochs, {"model": "corei7_haswell_4770"}),
    "bochs-amd": (Bochs, {"model": "ryzen"}),
}
EMULATED = tuple(MACHINES)
ALL_NAMES = (*EMULATED, "qemu-kvm")
if kvm_is_nested():
    MACHINES["qemu-kvm"] = (QemuKvm, {})
EVERY = tuple(MACHINES)


def pytest_addoption(parser):
    parser.addoption("--machine", action="append", choices=EVERY, help="only on this machine; may be repeated")
    parser.addoption("--everywhere", action="store_true", help="on every machine that a test can run on")
    parser.addoption("--image", type=Path, default=IMAGE, help="the image to boot (default: build/bulkhead.elf)")


def pytest_configure(config):
    config.addinivalue_line("markers", "machines(*names): where a test runs without --everywhere; not given: emulated ones")
    config.addinivalue_line("markers", "cannot(*names, why=words): where a test never runs, and why it cannot")


def names_of(definition, mark, *keys) -> set[str]:
    """The machines that a mark names. One that says more or less than its keys is a mistake, and not passed over."""
    known = set(mark.args) <= set(ALL_NAMES) and set(mark.kwargs) == set(keys) and all(mark.kwargs.values())
    if not known:
        raise pytest.UsageError(f"{definition.nodeid}: @pytest.mark.{mark.name} wants names of machines, {keys}: {mark}")
    return set(mark.args)


def pytest_generate_tests(metafunc):
    """One description of a test, one run for each of its machines, unless it names pairs of its own."""
    definition = metafunc.definition
    own = any("machine_name" in mark.args[0] for mark in definition.iter_markers("parametrize"))
    if "machine_name" in metafunc.fixturenames and not own:
        chosen = definition.get_closest_marker("machines")
        names = names_of(definition, chosen) if chosen else set(EMULATED)
        if metafunc.config.getoption("everywhere"):
            names = set(EVERY)
        names &= set(metafunc.config.getoption("machine") or EVERY)
        for mark in definition.iter_markers("cannot"):
            names -= names_of(definition, mark, "why")
        metafunc.parametrize("machine_name", [name for name in EVERY if name in names], scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that share a running machine stay on one worker."""
    for item in items:
        if "shared_lab" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}-{item.callspec.params['machine_name']}"))


class Lab:
    """Starts machines for a test, keeps their consoles for its report, and ends them all."""

    def __init__(self, image, directory):
        self.image = image
        self.directory = directory
        self.machines = []

    def start(self, machine_name, boot: Boot | None = None, *, limit_s=60, **arguments) -> Machine:
        kind, defaults = MACHINES[machine_name]
        boot = boot or Boot()
        if boot.image == IMAGE:
            boot.image = self.image
        machine = kind(boot, limit_s=limit_s, **{**defaults, **arguments})
        self.machines.append(machine)
        return machine.start()

    def close(self):
        for machine in self.machines:
            machine.close()


@pytest.fixture
def lab(request, tmp_path):
    lab = Lab(request.config.getoption("image").resolve(), tmp_path)
    request.node.machines = lab.machines
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def shared_lab(request, tmp_path_factory):
    """For a machine that several tests use."""
    lab = Lab(request.config.getoption("image").resolve(), tmp_path_factory.mktemp("shared"))
    yield lab
    lab.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    machines = list(getattr(item, "machines", []))
    shared = getattr(item, "funcargs", {}).get("shared_lab")
    machines += shared.machines if shared else []
    if not machines or (report.when != "call" and not report.failed):
        return
    text = "\n".join(f"---- {m.name()}, {m.seconds():.0f} s\n{m.transcript()}" for m in machines)
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / (re.sub(r"[^\w.-]+", "-", item.name) + ".log")).write_text(text)
    if report.failed:
        report.sections.append(("console", text))


@pytest.fixture
def hello_guest():
    """A configuration with our own flat guest, and its modules."""
    return {"test.toml": flat_configuration(), "hello.bin": payloads.HELLO}


def flat_configuration(name="hello", cpu=0, kernel="hello.bin"):
    return f'[guest.{name}]\ncpus = [{cpu}]\nmemory = "16M"\nboot = "flat"\nkernel = "{kernel}"\n'
