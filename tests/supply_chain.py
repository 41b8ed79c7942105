"""What this environment is made of, and whether anything in it has a known weakness: `make check` runs this.

    python -m tests.supply_chain [FOLDER]

Leaves sbom.json (CycloneDX) and audit.json (pip-audit) in FOLDER (build). Exit code 1 where a weakness is known. Where
the advisories cannot be reached nothing is known either way: that is said, and is no failure of what is checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE_S = 300.0


def told(audit: Mapping[str, Any] | None, why: str = "") -> tuple[int, str]:
    """Exit code and words for what pip-audit left; None where it left nothing, `why` its last words."""
    if audit is None:
        return 0, f"NOT AUDITED: the advisories could not be reached ({why or 'no answer'})"
    packages = audit["dependencies"]
    looked = [one for one in packages if "skip_reason" not in one]
    if not looked:
        return (
            0,
            f"NOT AUDITED: the package index knows none of {len(packages)} packages (a mirror without advisories?)",
        )
    weak = [(one["name"], one["version"], found) for one in looked for found in one["vulns"]]
    words = [f"{len(looked)} packages audited, {len(packages) - len(looked)} skipped, {len(weak)} known weaknesses"]
    for name, version, found in weak:
        words.append(
            f"{name} {version}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        )
    return int(bool(weak)), "\n".join(words)


def audit(folder: Path) -> tuple[int, str]:
    """Ask pip-audit about this environment."""
    path = folder / "audit.json"
    path.unlink(missing_ok=True)
    asked = ["pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json", "--output", str(path)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *asked], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return told(None, f"no answer within {PATIENCE_S:g} s")
    if not path.is_file() or not path.stat().st_size:
        return told(None, (done.stderr.strip().splitlines() or [""])[-1][:200])
    return told(json.loads(path.read_text(encoding="utf-8")))


def main() -> int:
    """Both, into the folder named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    folder.mkdir(parents=True, exist_ok=True)
    sbom = folder / "sbom.json"
    made = ["cyclonedx_py", "environment", "--pyproject", "pyproject.toml", "--of", "JSON", "-o", str(sbom)]
    subprocess.run([sys.executable, "-m", *made, sys.executable], check=True)
    parts = json.loads(sbom.read_text(encoding="utf-8"))["components"]
    print(f"{sbom}: {len(parts)} components")
    code, words = audit(folder)
    print(words)
    return code


if __name__ == "__main__":
    sys.exit(main())
