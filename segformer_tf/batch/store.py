"""Where a job's files lie: a directory, or an object store by its URL. A file is there whole or not at all."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from segformer_tf.storage.read import check_file
from segformer_tf.storage.whole import whole

JOB, MASKS, INDEX = "job.json", "masks", "index"  # what a job writes into its output
PATIENCE = 60.0  # seconds that a store may be away
FIRST_PAUSE = 0.25  # before the second try; each further one is twice as long, up to:
LONGEST_PAUSE = 8.0
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, NotImplementedError)
# Stores in which a name appears when the last byte has arrived. In others a draft is moved to its name.
WHOLE_BY_NATURE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
WEB = re.compile("https?://", re.IGNORECASE)
# What Amazon, Google, Azure and CDNs sign an address with.
SIGNED = re.compile(
    "(x-amz-[^=]*|x-goog-[^=]*|awsaccesskeyid|googleaccessid|key-pair-id|policy|signature|expires|token|"
    "sv|ss|srt|sp|se|st|spr|sr|sip|sig|sdd|skoid|sktid|skt|ske|sks|skv)=",
    re.IGNORECASE,
)
Result = TypeVar("Result")


class StoreError(OSError):
    """A store that takes or gives no more: this ends a job, where a broken picture is one row of it."""


class Store:
    """A place to write to and read from: a directory or a URL that fsspec knows. Workers get it by its name alone."""

    def __init__(self, place: str | os.PathLike, patience: float = PATIENCE):
        typed = str(place).rstrip("/") or "/"
        self.place, self.shown, self.patience = absolute(typed), shown(typed), patience
        self.remote = "://" in self.place

    def __repr__(self) -> str:
        return f"Store({self.shown!r})"

    def put(self, name: str, data: bytes) -> None:
        """Writes a file, or replaces it.

        Raises:
            StoreError: The disk is full, the store stayed away, or it denies access.
        """
        path = f"{self.place}/{name}"
        try:
            if self.remote:
                again(lambda: _put(path, data), self.patience)
            else:
                with whole(path) as draft:
                    draft.write_bytes(data)
        except Exception as error:  # every store has its own
            raise refused("written", path, error) from None

    def get(self, name: str) -> bytes | None:
        """A file's bytes, None where there is none."""
        try:
            return read(f"{self.place}/{name}", self.patience, "a file of the job")
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> set[str]:
        """Names of the files in a folder; none where there is no folder."""
        if not self.remote:
            directory = Path(self.place, folder)
            return {entry.name for entry in directory.iterdir()} if directory.is_dir() else set()
        fs, path = file_system(f"{self.place}/{folder}")
        try:
            fs.invalidate_cache()
            return {entry.rpartition("/")[2] for entry in again(lambda: fs.ls(path, detail=False), self.patience)}
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise refused("read", f"{self.place}/{folder}", error) from None


def read(path: str, patience: float = PATIENCE, what: str = "a picture") -> bytes:
    """A file's bytes, by its path or URL; `what` says in errors what was expected.

    Raises:
        OSError: It is not there, is no file, or may not be read; `StoreError` where its store stayed away.
    """
    if "://" not in path:
        check_file(Path(path), what)
        return Path(path).read_bytes()
    try:
        fs, inner = file_system(path)
        return again(lambda: fs.cat_file(inner), patience)
    except (FileNotFoundError, PermissionError) as error:
        raise type(error)(f"{shown(path)} cannot be read: {hidden(str(error), path)}") from None
    except Exception as error:
        raise refused("read", path, error) from None


def file_system(path: str) -> tuple[Any, str]:
    """fsspec's file system of a path or URL, and the path in it.

    Raises:
        ImportError: The package for that kind of URL is not installed.
    """
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    if "://" not in path:  # a folder may be called a::b, which is a chain of stores to fsspec
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(path))
    try:
        return url_to_fs(path)
    except ImportError as error:
        raise ImportError(f"{shown(path)} needs a package that is not installed ({error}).") from None


def again(run: Callable[[], Result], patience: float) -> Result:
    """`run()`, tried again with longer and longer pauses while a store is away; the last error is raised."""
    end, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return run()
        except FINAL:
            raise
        except Exception:
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _put(path: str, data: bytes) -> None:
    fs, inner = file_system(path)
    if urlsplit(path).scheme in WHOLE_BY_NATURE:
        fs.pipe_file(inner, data)
        return
    draft = f"{inner}.draft-{os.getpid()}"
    fs.makedirs(inner.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(draft, data)
    fs.mv(draft, inner)


def absolute(path: str) -> str:
    """A path or URL that means the same in workers, whose working directories are others."""
    return path if "://" in path else os.path.abspath(path)


def address(path: str) -> str:
    """A web address without what follows a question mark; names in other stores may hold one."""
    return urlsplit(path)._replace(query="", fragment="").geturl() if WEB.match(path) else path


def unsigned(source: str) -> str:
    """A web address without its signature, which is another at every start."""
    if not WEB.match(source):
        return source
    parts = urlsplit(source)
    return parts._replace(query="&".join(each for each in parts.query.split("&") if not SIGNED.match(each))).geturl()


def shown(path: str) -> str:
    """A path or URL without what may be a secret: name and password before the host, and what follows a question
    mark."""
    if "://" not in path:
        return readable(path)
    parts = urlsplit(path)
    host = parts.netloc.rpartition("@")[2]
    return readable(f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}")


def readable(text: str) -> str:
    """The text, in which bytes of file names that are no UTF-8 are escaped: Parquet takes no others."""
    return text.encode("utf-8", "backslashreplace").decode()


def hidden(text: str, path: str) -> str:
    """The text without the secrets of a URL, and without those that stores take from the environment."""
    parts = urlsplit(path)
    secrets = [*parts.netloc.rpartition("@")[0].split(":"), parts.query]
    secrets += [value for name, value in os.environ.items() if name.startswith(("AWS_SECRET", "AWS_SESSION"))]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return " ".join(text.split())


def refused(done: str, path: str, error: Exception) -> StoreError:
    """The error of a store, in one sentence without secrets."""
    if isinstance(error, StoreError):
        return error
    message = hidden(str(error), path) or type(error).__name__
    if isinstance(error, OSError) and message.startswith("Cannot write"):  # the local disk's own sentence
        return StoreError(message)
    return StoreError(
        f"{shown(path)} could not be {done} ({type(error).__name__}: {message[:300]}): see that the store is "
        "there and lets you in, then start again; what is finished is kept."
    )
