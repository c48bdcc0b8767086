"""The packages of requirements-bench.txt, installed into a folder of their own and importable from here on.

They stay out of the project's environment: nothing of the app may come to depend on them.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements-bench.txt"


def make_importable() -> None:
    """Installs the peers, the first time, and puts them behind everything else on the path."""
    version = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".local" / f"bench-peers-{version}"
    if not folder.exists():
        print("Installing the peers of requirements-bench.txt", file=sys.stderr)
        unfinished = folder.with_name(f"{folder.name}-unfinished")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--upgrade", "--target", str(unfinished), "-r", str(REQUIREMENTS)], check=True)
        unfinished.rename(folder)
    sys.path.append(str(folder))
