"""The password of the embedded Neo4j: random, one for each data folder, readable by its owner alone."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from lsec.core.settings import NEO4J_PASSWORD_FILE


def ensure_password(data_dir: Path) -> SecretStr:
    """The data folder's password, made if there is none; the caller holds the lock of the folder."""
    path = data_dir / NEO4J_PASSWORD_FILE
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        # With its mode from the first moment, and complete or not there at all under its name.
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            # In hex: what sets Neo4j's first password takes one that begins with - for an option.
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    return SecretStr(path.read_text())
