"""Look up known vulnerabilities of everything that the requirements*.txt list: `make audit`.

pip-audit asks the database OSV, which needs the network; where packages are installed from does not matter. This ends
with status 0 if nothing is known, 1 if something is, and 2 if the database could not be asked.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--vulnerability-service=osv", "--timeout=15", "--disable-pip", "--progress-spinner=off", "--format=json")


def report(lock: Path, *options: str) -> dict:
    """Return pip-audit's report on what a lock lists; exit with a sentence if there is none.

    Each lock is asked about alone, since pip-audit refuses two versions of one package, and two environments may have
    them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", *OPTIONS, *options, f"--output={path}", f"--requirement={lock}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
    last = next(reversed(done.stdout.split("\n\n")[-1].strip().splitlines()), "it printed nothing")
    what = f"the database of known vulnerabilities, OSV, cannot be asked about {lock.name}"
    print(f"tfmeta: {what}: check the network (pip-audit: {last}).", file=sys.stderr)
    sys.exit(2)


def known(of_lock: dict) -> list[str]:
    """Return a line for each vulnerability in a report."""
    lines = []
    for package in of_lock["dependencies"]:
        for one in package.get("vulns", ()):
            names = " ".join(dict.fromkeys([one["id"], *one.get("aliases", ())]))
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            lines.append(f"{package['name']} {package['version']}: {names}, fixed in {fixed}")
    return lines


def main(*options: str) -> None:
    """Print what is known of each lock; `options` are more options of pip-audit."""
    locks = sorted(ROOT.glob("requirements*.txt"))
    lines = {lock.name: known(report(lock, *options)) for lock in locks}
    for name, of_lock in lines.items():
        print(f"{name}: {len(of_lock) or 'no'} known vulnerabilities", *of_lock, sep="\n  ")
    sys.exit(1 if any(lines.values()) else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
