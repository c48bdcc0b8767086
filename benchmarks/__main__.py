"""`python -m benchmarks [NAME …]`: runs all benchmarks, or those named, and ends with one table of what they judged.

What each prints is kept in .local/bench/NAME.txt, the table in .local/bench/summary.txt.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

FOLDER = Path(__file__).parent
REPORTS = FOLDER.parent / ".local" / "bench"
JUDGED = re.compile(r"\b(reached|MISSED)\b")


@dataclass(frozen=True)
class Outcome:
    """How a benchmark went. `judged`: its lines that hold a figure against a goal."""

    name: str
    exit_code: int
    duration: timedelta
    judged: tuple[str, ...]

    @property
    def missed(self) -> int:
        return sum("MISSED" in line for line in self.judged)


def main() -> int:
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args().name or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [run(name) for name in names]
    table = summary(outcomes)
    (REPORTS / "summary.txt").write_text(table, encoding="utf-8")
    print(table)
    return 1 if any(outcome.exit_code for outcome in outcomes) else 0


def run(name: str) -> Outcome:
    """Shows and keeps what it prints, as it prints it."""
    print(f"== {name} ==", flush=True)
    began, judged = time.monotonic(), list[str]()
    command = [sys.executable, "-u", "-m", f"benchmarks.bench_{name}"]
    with (
        (REPORTS / f"{name}.txt").open("w", encoding="utf-8") as report,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            report.write(line)
            if JUDGED.search(line):
                judged.append(" ".join(line.split()))
    print(flush=True)
    return Outcome(name, process.returncode, timedelta(seconds=round(time.monotonic() - began)), tuple(judged))


def summary(outcomes: list[Outcome]) -> str:
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    lines = [
        f"{machine}, load {os.getloadavg()[0]:.1f} at the end",
        f"{'benchmark':<18}{'time':>9}{'goals':>7}{'missed':>8}",
    ]
    for outcome in outcomes:
        failed = f"  FAILED with exit code {outcome.exit_code}" if outcome.exit_code else ""
        lines.append(f"{outcome.name:<18}{outcome.duration!s:>9}{len(outcome.judged):>7}{outcome.missed:>8}{failed}")
        lines += [f"    {line}" for line in outcome.judged]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
