"""Objects of a bucket below one prefix: read, write with a condition, list; every failure is one error that names the bucket and no secret.

Endpoint and credentials come from the environment that other S3 programs read, then from the profile in ``~/.aws``.
"""

from __future__ import annotations

import bisect
import configparser
import contextlib
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from pointline.errors import ConfigError, LakeError, MissingExtraError
from pointline.lake.places import SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from types import ModuleType

    from obstore.store import S3Store

MOST_RETRIES = 6
RETRY_SECONDS = 90
PART_BYTES = 8 * 1024 * 1024
"""How much of a large object is in memory while it is downloaded."""
_SENT_BYTES = 8 * 1024 * 1024  # likewise while it is uploaded; 5 MiB is the least that stores take
COALESCED_BYTES = 64 * 1024
"""Ranges that lie closer together are read as one: a request costs more than these bytes."""
PROBE = ".probe-"
"""What the key of an object begins with by which the store's conditional writes are looked at."""
_QUOTES: dict[tuple[str, str], bool] = {}  # by endpoint and bucket: whether the store takes an etag in quotes
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")
_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]+)")
_THREADS = 8
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class WriteConflict(Exception):  # noqa: N818 - an answer that callers expect, not a failure
    """A conditional write found another state than it asked for; nothing was written."""


@dataclass(frozen=True)
class Stored:
    """An object as it was read.

    Attributes:
        content: its bytes.
        etag: what a later write can ask for.
        modified: when it was written, by the store's clock.
    """

    content: bytes
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Listed:
    """An object as a listing names it.

    Attributes:
        size: its bytes.
        etag: of its content.
        modified: when it was written, by the store's clock.
    """

    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Bucket:
    """The objects below a prefix of a bucket.

    Args:
        url: ``s3://bucket/prefix``.
        expected_endpoint: what the environment must say; anything if None.

    Raises:
        ConfigError: the URL names no bucket. The first request says so where the environment names an endpoint or credentials that cannot
            be used.
    """

    url: str
    expected_endpoint: str | None = None
    _made: list[S3Store] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        _check_url(self.url)

    @cached_property
    def _config(self) -> dict[str, str]:
        found = _environment()
        endpoint = found.get("aws_endpoint_url", "")
        if self.expected_endpoint not in {None, endpoint}:
            raise ConfigError(
                "this folder mirrors a lake of another store", where="AWS_ENDPOINT_URL", value=endpoint, expected=self.expected_endpoint
            )
        return found

    @property
    def name(self) -> str:
        """The bucket."""
        return self.url.removeprefix(SCHEME).partition("/")[0]

    @property
    def prefix(self) -> str:
        """What every key begins with, without slashes at its ends."""
        return self.url.removeprefix(SCHEME).partition("/")[2]

    @property
    def endpoint(self) -> str:
        """Where the store answers; empty for that of the provider."""
        return self._config.get("aws_endpoint_url", "")

    @property
    def storage_options(self) -> dict[str, str]:
        """What other libraries need to read the same objects; it holds the secret key."""
        return dict(self._config)

    @property
    def _store(self) -> S3Store:
        if not self._made:
            from obstore.store import S3Store

            retry: Any = {
                "max_retries": MOST_RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=10), "base": 2},
            }
            config: Any = {**self._config, "aws_conditional_put": "etag"}
            options: Any = {"connect_timeout": "5s", "timeout": "120s"}
            self._made.append(S3Store(self.name, prefix=self.prefix or None, config=config, retry_config=retry, client_options=options))
        return self._made[0]

    def address(self, key: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{key}"

    def get(self, key: str) -> Stored | None:
        """An object; None where there is none.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(key):
            try:
                found = obstore.get(self._store, key)
                content = bytes(found.bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            return Stored(content, found.meta["e_tag"] or "", found.meta["last_modified"])

    def download(self, key: str, path: Path) -> bool:
        """Writes an object into a file, some of it at a time; whether there is one.

        Raises:
            LakeError: the store does not answer, or refuses; or it sends less than the object has.
        """
        parts = self._parts(key)
        if parts is None:
            return False
        with path.open("wb") as file:
            file.writelines(parts)
        return True

    def _parts(self, key: str) -> Iterator[bytes] | None:
        obstore = _library()

        with self._failures(key):
            try:
                found = obstore.get(self._store, key)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
        return self._parts_of(key, found.stream(min_chunk_size=PART_BYTES), int(found.meta["size"]))

    def _parts_of(self, key: str, stream: Iterable[Any], size: int) -> Iterator[bytes]:
        """The content of an object; where its transfer ends early, the rest is asked for."""
        obstore = _library()
        done = 0
        with contextlib.suppress(Exception):  # of any class of the library
            for piece in stream:
                done += len(piece)
                yield bytes(piece)
        while done < size:
            with self._failures(key):
                part = bytes(obstore.get_range(self._store, key, start=done, end=min(done + PART_BYTES, size)))
            if not part:
                raise LakeError("the store sends less than the object has", where=self.address(key), value=done, expected=f"{size} bytes")
            done += len(part)
            yield part

    def is_as(self, key: str, etag: str) -> bool:
        """Whether an object still is what its etag says: one request, without its content where it is.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()
        from obstore.exceptions import NotModifiedError

        with self._failures(key):
            try:
                found = obstore.get(self._store, key, options={"if_none_match": etag})
            except NotModifiedError:
                return True
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return False
            return (found.meta["e_tag"] or "").strip('"') == etag.strip('"')  # a store that takes no quotes gives it all the same

    def tail(self, key: str, count: int) -> tuple[bytes, int] | None:
        """The last bytes of an object, all of it where it has fewer, and its size; None where there is none.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(key):
            try:
                found = obstore.get(self._store, key, options={"range": {"suffix": count}})
                return bytes(found.bytes()), found.meta["size"]
            except FileNotFoundError:
                return None
            except Exception:
                if self.size(key) == 0:  # of nothing, stores give no part
                    return b"", 0
                raise

    def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of an object, each from a first byte to a last one (exclusive); spans that lie close together are one request.

        Parts of an object that ends before them are shorter, or empty.

        Raises:
            LakeError: the store does not answer, or refuses; or the object is gone.
        """
        obstore = _library()

        runs: list[list[int]] = []
        for start, end in sorted(spans):
            if runs and start - runs[-1][1] <= COALESCED_BYTES:
                runs[-1][1] = max(runs[-1][1], end)
            else:
                runs.append([start, end])

        def read(run: list[int]) -> bytes:
            with self._failures(key):
                try:
                    return bytes(obstore.get_range(self._store, key, start=run[0], end=run[1]))
                except Exception:
                    if (size := self.size(key)) is not None and size < run[1]:
                        return b""
                    raise

        with ThreadPoolExecutor(_THREADS) if len(runs) > 1 else contextlib.nullcontext() as pool:
            contents = list(pool.map(read, runs)) if pool is not None else [read(run) for run in runs]
        starts = [run[0] for run in runs]
        placed = [(bisect.bisect_right(starts, start) - 1, start, end) for start, end in spans]
        return [contents[number][start - starts[number] : end - starts[number]] for number, start, end in placed]

    def size(self, key: str) -> int | None:
        """Bytes of an object; None where there is none.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(key):
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return None

    def put(self, key: str, content: bytes | Path) -> None:
        """Writes an object, over the one that is there; a large file in parts, one at a time.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(key):
            obstore.put(self._store, key, content, chunk_size=_SENT_BYTES, max_concurrency=1)

    def put_new(self, key: str, content: bytes) -> str:
        """Writes an object that is not there yet, and returns its etag. The same bytes there are taken for this write.

        Raises:
            WriteConflict: there is another one.
            LakeError: the store does not answer, or refuses; or it cannot write on a condition.
        """
        self._takes_quotes()
        return self._write(key, content, "create")

    def put_over(self, key: str, content: bytes, etag: str, *, takes_same: bool = True) -> str:
        """Writes an object over the one with this etag, and returns the new etag.

        Args:
            key, content, etag: of the object.
            takes_same: the same bytes there are taken for this write, whose answer was lost.

        Raises:
            WriteConflict: it has been written meanwhile.
            LakeError: the store does not answer, or refuses; or it cannot write on a condition.
        """
        return self._write(key, content, {"e_tag": etag if self._takes_quotes() else etag.strip('"')}, takes_same=takes_same)

    def _write(self, key: str, content: bytes, mode: Any, *, takes_same: bool = True) -> str:  # noqa: ANN401 - a word or a dictionary
        obstore = _library()
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._failures(key):
            try:
                return obstore.put(self._store, key, content, mode=mode, use_multipart=False)["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                there = self.get(key) if takes_same else None  # the first attempt may have arrived though its answer did not
                if there is None or there.content != content:
                    raise WriteConflict(key) from None
                return there.etag

    def _takes_quotes(self) -> bool:
        """Whether ``If-Match`` is sent with an etag in quotes, as HTTP has it; found out once by each process, with an object of its own.

        Raises:
            LakeError: the store writes although a condition does not hold, so that commits could be lost, or refuses one that holds.
        """
        place = (self.endpoint, self.name)
        if place not in _QUOTES:
            key = f"{PROBE}{secrets.token_hex(8)}"
            try:
                _QUOTES[place] = self._probe(key)
            finally:
                with contextlib.suppress(LakeError):
                    self.remove(key)
        return _QUOTES[place]

    def _probe(self, key: str) -> bool:
        etag = self._write(key, b"first", "create")
        for header, mode in (("If-None-Match", "create"), ("If-Match", {"e_tag": f'"{"0" * 32}"'}), ("If-Match", {"e_tag": "0" * 32})):
            try:
                self._write(key, header.encode(), mode)
            except WriteConflict:
                continue
            raise self._no_conditions(f"it ignores {header}")
        for quoted in (True, False):
            with contextlib.suppress(WriteConflict):
                self._write(key, b"second", {"e_tag": etag if quoted else etag.strip('"')})
                return quoted
        raise self._no_conditions("it refuses If-Match with the right etag")

    def _no_conditions(self, what: str) -> LakeError:
        return LakeError(
            f"the store at {self.endpoint or 'the provider'} cannot write on a condition, so changes of two writers could be lost unseen",
            where=self.url,
            value=what,
            expected="conditional writes: If-None-Match and If-Match",
            hint="nothing was stored; reading works. Write to a lake on a disk, or to a store that has them (Amazon S3, MinIO, R2, Ceph)",
        )

    def remove(self, key: str) -> None:
        """Removes an object, if it is there.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def listed(self, below: str = "") -> dict[str, Listed]:
        """The objects below a folder by their keys, in order of these.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        obstore = _library()

        with self._failures(below):
            found = sorted(obstore.list(self._store, below or None).collect(), key=lambda one: one["path"])
            return {one["path"]: Listed(one["size"], one["e_tag"] or "", one["last_modified"]) for one in found}

    @contextlib.contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        try:
            yield
        except (WriteConflict, LakeError):
            raise
        except Exception as error:  # noqa: BLE001 - the library has a dozen classes and, at times, plain ones
            self._refuse(key, error)

    def _refuse(self, key: str, error: Exception) -> NoReturn:
        """Raises what is wrong in one sentence; the library's own text is long and holds the store's answer."""
        text = str(error)
        status = found[1].strip() if (found := _STATUS.search(text)) else type(error).__name__
        where = self.address(key)
        if "NoSuchBucket" in text:
            raise LakeError("there is no such bucket", where=where, value=self.name, hint="make it, or correct the URL") from None
        if status.startswith(("401", "403")) or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
            hint = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and the rights of this user on the bucket"
            raise LakeError("the store refuses access to the bucket", where=where, value=status, hint=hint) from None
        if "169.254.169.254" in text or "credential" in text.lower():
            raise _no_credentials() from None
        where_at = self.endpoint or "the provider's endpoint"
        if not found:
            hint = "check AWS_ENDPOINT_URL, AWS_REGION and the network, then run the same command again"
            raise LakeError("the store cannot be reached", where=where, value=where_at, hint=hint) from None
        hint = "run the same command again: what was stored before is as it was"
        raise LakeError(f"the store at {where_at} failed", where=where, value=status, hint=hint) from None


def _library() -> ModuleType:
    try:
        import obstore
    except ImportError as error:
        raise MissingExtraError("work with a bucket needs obstore", hint="pip install 'pointline[s3]'") from error
    return obstore


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    path = url.removeprefix(SCHEME).partition("/")[2]
    plain = url == f"{SCHEME}{parts.netloc}/{path}" and _BUCKET.fullmatch(parts.netloc) and all(map(_PART.fullmatch, path.split("/")))
    if not plain:
        raise ConfigError(
            "this is no place for a lake or a dataset in a bucket",
            value=url,
            expected="s3://BUCKET/PREFIX, the prefix of letters, digits and . _ = - in folders",
        )


def _environment() -> dict[str, str]:
    """What the environment and the profile say, in the words of the S3 libraries.

    Raises:
        ConfigError: there are no credentials, or the endpoint is not encrypted and nothing allows that.
    """
    profile = _profile()
    found = {key: text for key in _KEYS if (text := os.environ.get(key.upper(), ""))}
    if not {"aws_access_key_id", "aws_secret_access_key"} <= set(found):
        found = {key: profile[key] for key in _KEYS if key in profile}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url", "")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or profile.get("region", "us-east-1")
    anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true"}
    elsewhere = any(os.environ.get(name) for name in _OTHER_CREDENTIALS)
    if not found and not anonymous and not elsewhere and (endpoint or os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"):
        raise _no_credentials()
    options = {**found, "aws_region": region}
    if anonymous:
        options["aws_skip_signature"] = "true"
    if endpoint:
        options["aws_endpoint_url"] = endpoint
        if endpoint.startswith("http://"):
            host = urlsplit(endpoint).hostname
            if host not in _LOOPBACK and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in {"1", "true"}:
                raise ConfigError(
                    "the endpoint of the store is not encrypted",
                    where="AWS_ENDPOINT_URL",
                    value=endpoint,
                    expected="https://…",
                    hint="set AWS_ALLOW_HTTP=true if that network is your own",
                )
            options["aws_allow_http"] = "true"
    return options


def _no_credentials() -> ConfigError:
    return ConfigError(
        "there are no credentials for the store",
        expected="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with both in ~/.aws/credentials",
    )


def _profile() -> dict[str, str]:
    """The entries of the profile that ``AWS_PROFILE`` names, of both files."""
    name = os.environ.get("AWS_PROFILE") or "default"
    files = {
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"): name,
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"): name if name == "default" else f"profile {name}",
    }
    found: dict[str, str] = {}
    for file, section in files.items():
        parser = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(Path(file).expanduser(), encoding="utf-8")
        if parser.has_section(section):
            found = {**dict(parser.items(section)), **found}
    if not found and os.environ.get("AWS_PROFILE"):
        raise ConfigError(
            "the profile of the store's credentials is not there", where="AWS_PROFILE", value=name, expected=" or ".join(files)
        )
    return found
