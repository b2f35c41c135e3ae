"""What stays out of every archive unless `.nasexpignore` takes it back in: secrets and clutter.

Names are compared in lower case: `Server.PEM` is as secret as `server.pem`.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate

SECRET_NAMES = {
    ".env": ".env",
    ".netrc": ".netrc",
    "_netrc": "_netrc",
    ".pypirc": ".pypirc",
    ".npmrc": ".npmrc",
    ".pgpass": ".pgpass",
    ".git-credentials": ".git-credentials",
    "kaggle.json": "kaggle.json",
    "rclone.conf": "rclone.conf",
    ".ssh": ".ssh/",
    ".gnupg": ".gnupg/",
}

# No bare `id_*`: that would drop `id_map.json`.
SECRET_GLOBS = (
    ".env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.ppk",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
)

# By their last name: the ends of paths that are secret, where the name alone says nothing.
SECRET_TAILS = {
    "credentials": (".aws/credentials",),
    "config": (".kube/config",),
    "config.json": (".docker/config.json",),
    "token": ("huggingface/token", ".huggingface/token"),
    "stored_tokens": ("huggingface/stored_tokens",),
    "hosts.yml": (".config/gh/hosts.yml",),
    "gcloud": (".config/gcloud",),
}

CLUTTER_NAMES = {
    ".git": ".git/",
    "__pycache__": "__pycache__/",
    ".venv": ".venv/",
    "@eadir": "@eaDir/",
    ".ipynb_checkpoints": ".ipynb_checkpoints/",
    ".ds_store": ".DS_Store",
    "thumbs.db": "Thumbs.db",
}

CLUTTER_GLOBS = ("*.pyc",)

VENV_MARK = "pyvenv.cfg"
VENV_REASON = f"clutter (virtual environment with {VENV_MARK})"


def default_reason(path: str) -> str | None:
    """Say why a path stays out by default, or None when it goes in."""
    name = path.rpartition("/")[2].lower()
    return _REASONS.get(name) or _glob_reason(name) or _tail_reason(path, name)


def _glob_reason(name: str) -> str | None:
    # One expression says no to nearly every file; which glob it was is asked of the few.
    if not _ANY_GLOB.match(name) or _is_public_key(name):
        return None
    return next(reason for glob, reason in _GLOB_REASONS if fnmatchcase(name, glob))


def _is_public_key(name: str) -> bool:
    return name.startswith("id_") and name.endswith(".pub")


def _tail_reason(path: str, name: str) -> str | None:
    if name not in SECRET_TAILS:
        return None
    whole = "/" + path.lower()
    return next(
        (f"secret ({tail})" for tail in SECRET_TAILS[name] if whole.endswith("/" + tail)), None
    )


_REASONS = {name: f"secret ({text})" for name, text in SECRET_NAMES.items()} | {
    name: f"clutter ({text})" for name, text in CLUTTER_NAMES.items()
}
_GLOB_REASONS = [(glob, f"secret ({glob})") for glob in SECRET_GLOBS] + [
    (glob, f"clutter ({glob})") for glob in CLUTTER_GLOBS
]
_ANY_GLOB = re.compile("|".join(translate(glob) for glob, _ in _GLOB_REASONS))
