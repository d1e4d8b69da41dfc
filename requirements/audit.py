"""`make audit`: the known vulnerabilities of every pinned package, from PyPI's advisories, or OSV's where those cannot be had.

Exit status 0: every package was looked up and none has a known vulnerability; 1: some have; 2: no source of advisories could be asked, so nothing is known.
pip-audit alone reports success where PyPI knows no package.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.txt"))
SOURCES = ("pypi", "osv")


def ask(source: str) -> list[dict]:
    """What pip-audit tells of each package; [] where the source cannot be asked."""
    requirements = [argument for path in FILES for argument in ("-r", str(path))]
    command = [sys.executable, "-m", "pip_audit", "-s", source, "-f", "json", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "15"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{source}: {(done.stderr.strip().splitlines() or ['no answer'])[-1][:300]}", file=sys.stderr)
        return []


def main() -> int:
    for source in SOURCES:
        told = {(package["name"], package.get("version", "")): package for package in ask(source)}
        known = [package for package in told.values() if "skip_reason" not in package]
        if not known:
            print(f"{source}: not one of the packages could be looked up", file=sys.stderr)
            continue
        for package in known:
            for found in package["vulns"]:
                print(f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version yet'}")
        skipped = [package["name"] for package in told.values() if "skip_reason" in package]
        vulnerable = sum(bool(package["vulns"]) for package in known)
        print(f"{source}: {len(known)} packages looked up, {vulnerable} with known vulnerabilities"
              + (f"; NOT looked up: {', '.join(skipped)}" if skipped else ""))  # fmt: skip
        return 1 if vulnerable else 2 if skipped else 0
    print("no source of advisories is reachable from here: NOTHING WAS AUDITED", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
