"""JupyterLab as `make lab` starts it, on copies of the notebooks with the smoke profile's parameters, and a browser that is watched."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill.iorw
import papermill.parameterize
import pytest

from mmr_kit.notebooks import tasks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ("00_quickstart", "01_explorer")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip
SECONDS = 300  # to wait for anything: models may have to be trained first, on a machine that is busy with other tests


class Lab:
    """A running JupyterLab. log: what it printed, errors and warnings of its pages and of its kernels among it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.token, self.log = f"http://127.0.0.1:{self.port}", secrets.token_hex(16), folder / "lab.log"
        homes = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        inherited = {name: value for name, value in os.environ.items() if name not in ("MMR_HEADLESS", "MPLBACKEND")}  # of tests without a front end
        environment = {**inherited, **homes, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
        options = f"--no-browser --port={self.port} --IdentityProvider.token={self.token} --ServerApp.root_dir={folder} --LabApp.expose_app_in_browser=True"
        self.command = ["make", "lab", "INSTALL=:", f"BIN={Path(sys.executable).parent}", f"ARGS={options}", f"MMR_CACHE_DIR={os.environ['MMR_CACHE_DIR']}"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/api/status?token={self.token}", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for task in tasks("smoke", NOTEBOOKS):
        notebook = papermill.iorw.load_notebook_node(str(task.path))
        nbformat.write(papermill.parameterize.parameterize_notebook(notebook, task.parameters, kernel_name="python3", language="python"),
                       folder / "notebooks" / task.path.name)  # fmt: skip
    server = Lab(folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Window:
    """A page of JupyterLab; `errors` of its console and `foreign` addresses that it asked for."""

    def __init__(self, browser: Any, lab: Lab, screenshots: Path) -> None:
        self.lab, self.screenshots, self.errors, self.foreign = lab, screenshots, [], []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1000})
        self.page.set_default_timeout(1000 * SECONDS)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._watch)
        self.page.on("websocket", lambda socket: self._watch(socket))

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.lab.address, self.lab.address.replace("http", "ws"), "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str) -> None:
        """Go to an address of JupyterLab and wait until the notebook in front has a kernel."""
        self.page.goto(f"{self.lab.address}/{path}{'&' if '?' in path else '?'}token={self.lab.token}")
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")

    def run_all(self) -> None:
        """Run All, by the menu, and wait until everything has run."""
        self.page.click('.lm-MenuBar-item:has-text("Run")')
        self.page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        cells = "[...jupyterapp.shell.currentWidget.content.widgets].filter(cell => cell.model.type === 'code')"
        self.page.wait_for_function(f"() => {{ const cells = {cells}; return cells.every(cell => cell.model.executionCount && "
                                    "cell.model.executionState !== 'running' && cell.promptNode !== null) && "
                                    "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'; }")  # fmt: skip

    def theme(self, name: str) -> None:
        self.page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
        self.page.wait_for_function("dark => document.body.dataset.jpThemeLight === String(!dark)", arg="Dark" in name)

    def shoot(self, name: str) -> Path:
        path = self.screenshots / f"{name}.png"
        self.page.screenshot(path=path)
        return path


@pytest.fixture
def window(lab: Lab, chromium: Any) -> Iterator[Window]:
    """A page that must not have console errors, nor have asked another host for anything. Screenshots are kept in the cache."""
    screenshots = Path(os.environ["MMR_CACHE_DIR"]) / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    opened = Window(chromium, lab, screenshots)
    yield opened
    opened.page.close()
    assert opened.errors == []
    assert opened.foreign == []
