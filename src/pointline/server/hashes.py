"""Hashes of passwords and tokens, as the configuration file holds them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets

_COST, _BLOCK, _PARALLEL = 2**14, 8, 1  # 16 MB and some 50 ms for each guess
_SALT_BYTES, _HASH_BYTES = 16, 32
_PASSWORD = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([A-Za-z0-9+/=]{16,}):([A-Za-z0-9+/=]{40,})")
_TOKEN = re.compile(r"sha256:[0-9a-f]{64}")


def hash_password(password: str) -> str:
    """A password's salted hash, for the configuration file."""
    salt = os.urandom(_SALT_BYTES)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=_HASH_BYTES)
    return f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"


def new_token() -> tuple[str, str]:
    """A random token of 256 bits and its hash, for its owner and for the configuration file."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> str:
    """A token's hash; a token is random and long, so it needs no salt and no work."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def is_password_hash(text: object) -> bool:
    """Whether this is what `hash_password` gives."""
    return isinstance(text, str) and _PASSWORD.fullmatch(text) is not None


def is_token_hash(text: object) -> bool:
    """Whether this is what `hash_token` gives."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed; takes as long for a wrong one as for the right one."""
    found = _PASSWORD.fullmatch(stored)
    if found is None:
        return False
    cost, block, parallel = (int(text) for text in found.groups()[:3])
    salt, digest = base64.b64decode(found[4]), base64.b64decode(found[5])
    memory = 256 * cost * block * parallel
    given = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, dklen=len(digest), maxmem=memory)
    return hmac.compare_digest(given, digest)
