"""Getting one file: resumed, checked and then renamed; nothing is ever unpacked or run.

Standard library only. ``http(s)://`` goes on where an interrupted download stopped (RFC 9110, section 14), ``ftp://``
starts over, ``file://`` copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from emotion_core.errors import EmotionError
from emotion_core.store.files import cannot_write, put_in_place

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, None where the server does not say."""

BACKOFF_S = 0.5
"""Pause before the second attempt; it doubles with every further one."""

_CHUNK = 1 << 16
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that may pass


class _InterruptedError(Exception):
    """What another attempt may mend."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = scheme_of(req.full_url), scheme_of(newurl)
        if after not in ("http", "https") or (before == "https" and after != "https"):
            raise EmotionError(f"{req.full_url} redirects to {newurl}: expected {before}, refused; use another mirror")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Part:
    """What has arrived so far, in ``<name>.part``, and in ``<name>.part.json`` which version of which URL it is."""

    def __init__(self, path: Path, url: str, checked: bool) -> None:
        self.path, self._note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
        self._url, self.version = url, ""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            note = json.loads(self._note.read_text())
            self.version = str(note.get("version", "")) if note.get("url") == url else ""
        # Without a hash to check at the end, only the same version of the same file may be continued.
        if not checked and not self.version:
            self.clear()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def clear(self) -> None:
        self.version = ""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def begin(self, headers: Any) -> None:
        """Start over, remembering which version the server sends."""
        self.clear()
        tag = headers.get("ETag") or ""
        self.version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
        self._note.write_text(json.dumps({"url": self._url, "version": self.version}))

    def finish(self, path: Path) -> None:
        put_in_place(self.path, path)
        self._note.unlink(missing_ok=True)


class _Transfer:
    """One file from one URL, in several attempts."""

    def __init__(self, url: str, part: _Part, size: int | None, timeout_s: float, on_progress: Progress | None) -> None:
        self._url, self._part, self._size, self._timeout_s = url, part, size, timeout_s
        self._on_progress = on_progress or (lambda done, total: None)
        self._opener = urllib.request.build_opener(_Redirects())

    def attempt(self) -> None:
        """Get what is missing; raises _InterruptedError, or EmotionError where trying again is in vain."""
        scheme = scheme_of(self._url)
        if scheme == "file":
            self._file()
        elif self._size is None or self._part.size != self._size:  # else only its hash is left to check
            self._http() if scheme in ("http", "https") else self._ftp()

    def _file(self) -> None:
        parts = urlsplit(self._url)
        source = Path(urllib.request.url2pathname(parts.path))
        if parts.netloc not in ("", "localhost") or not source.is_file():
            raise EmotionError(f"{self._url}: there is no such file")
        try:
            stream = source.open("rb")
        except OSError as error:
            raise EmotionError(f"{self._url} cannot be read: {error.strerror}") from None
        with stream:
            self._part.begin({})
            self._copy(stream.read1, 0, source.stat().st_size)

    def _ftp(self) -> None:
        with self._open({}) as response:
            length = response.headers.get("Content-Length")
            self._part.begin({})
            self._copy(response.read1, 0, int(length) if length else None)

    def _http(self) -> None:
        offset = self._part.size
        headers = {"User-Agent": "emotion-perception"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._part.version:
                headers["If-Range"] = self._part.version
        with self._open(headers) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            if response.status == 206:
                total = self._continued(response.headers.get("Content-Range") or "", offset)
            elif response.status == 200:
                offset = 0
                self._part.begin(response.headers)
            else:
                raise EmotionError(f"{self._url}: expected the file, got HTTP status {response.status}")
            self._copy(response.read1, offset, total)

    def _continued(self, span: str, offset: int) -> int | None:
        """The total size by a Content-Range that must begin where the part ends."""
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span.strip())
        if match is None or int(match[1]) != offset:
            self._part.clear()
            raise _InterruptedError(f"asked for the bytes from {offset}, the server sent {span or 'others'!r}")
        return None if match[2] == "*" else int(match[2])

    def _open(self, headers: dict[str, str]) -> Any:
        try:
            return self._opener.open(urllib.request.Request(self._url, headers=headers), timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:
                self._part.clear()
                raise _InterruptedError("the part that was here does not belong to the file") from None
            if error.code in _AGAIN:
                raise _InterruptedError(f"HTTP status {error.code}") from None
            reason = str(error.reason).partition("\n")[0]
            raise EmotionError(f"{self._url}: expected the file, got HTTP status {error.code} ({reason})") from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise EmotionError(f"{self._url}: the server's certificate is not valid: {cause}") from None
            raise _InterruptedError(_words(cause, self._timeout_s)) from None
        except ValueError as error:  # a URL that is none
            raise EmotionError(f"{self._url} is not a usable URL: {error}") from None

    def _copy(self, read: Callable[[int], bytes], done: int, total: int | None) -> None:
        expected = total if self._size is None else self._size
        if total is not None and total != expected:
            self._part.clear()
            raise EmotionError(f"{self._url}: expected {expected} bytes, the server has {total}; use another mirror")
        with self._part.path.open("ab") as file:
            self._on_progress(done, expected)
            while True:
                try:
                    chunk = read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise _InterruptedError(_words(error, self._timeout_s)) from None
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                if expected is not None and done > expected:
                    break
                self._on_progress(done, expected)
        if expected is not None and done > expected:
            self._part.clear()
            raise EmotionError(f"{self._url}: expected {expected} bytes, more came; use another mirror")
        if expected is not None and done < expected:
            raise _InterruptedError(f"only {done} of {expected} bytes came")


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    git_blob: str | None = None,
    size: int | None = None,
    timeout_s: float = 30.0,
    retries: int = 3,
    on_progress: Progress | None = None,
) -> Path:
    """Get one file; it is whole and checked, or absent.

    What has arrived waits in ``<path>.part``, from where the next attempt or call continues: when a hash is known
    that will be checked, or when the server says (If-Range) that the file is still the same.

    Args:
        url: http, https, ftp or file.
        path: the file to write, in place of an older one; its folder is made.
        sha256, git_blob: hexadecimal hashes, where known; the second is what git calls the file.
        size: in bytes, where known.
        timeout_s: longest silence of the server in seconds.
        retries: further attempts after an interruption, with short pauses.

    Returns:
        The path.

    Raises:
        EmotionError: the file is not there, is another one, was interrupted too often, or cannot be written.
    """
    path = Path(path)
    if scheme_of(url) not in ("http", "https", "ftp", "file"):
        raise EmotionError(f"expected a URL of http, https, ftp or file, got {url!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(path, url, checked=bool(sha256 or git_blob))
        if size is not None and part.size > size:
            part.clear()
        transfer = _Transfer(url, part, size, timeout_s, on_progress)
        for attempt in range(retries + 1):
            try:
                transfer.attempt()
                break
            except _InterruptedError as error:
                if attempt == retries:
                    raise EmotionError(
                        f"{url} did not come in {retries + 1} attempts ({error}): try again, or use a mirror"
                    ) from None
                time.sleep(BACKOFF_S * 2**attempt)
        if problem := mismatch(part.path, sha256, git_blob):
            part.clear()
            raise EmotionError(f"{url} is damaged or another file: {problem}")
        part.finish(path)
    except OSError as error:
        raise EmotionError(cannot_write(path, error)) from error
    return path


def digest(path: str | Path, algorithm: str = "sha256", head: bytes = b"") -> str:
    """Hexadecimal hash of ``head`` and a file of any size."""
    result = hashlib.new(algorithm, head)
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            result.update(chunk)
    return result.hexdigest()


def mismatch(path: Path, sha256: str | None, git_blob: str | None) -> str:
    """What was expected and what a file holds, by the hashes that are known; empty where all is well.

    Args:
        path: a file.
        sha256, git_blob: hexadecimal, None where not known; the second is what git calls the file.
    """
    if sha256 and (found := digest(path)) != sha256.lower():
        return f"expected sha256 {sha256}, found {found}"
    if git_blob and (found := digest(path, "sha1", b"blob %d\0" % path.stat().st_size)) != git_blob.lower():
        return f"expected git blob {git_blob}, found {found}"
    return ""


def scheme_of(url: str) -> str:
    """The scheme of a URL, such as ``https``; empty for what is no URL."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _words(cause: object, timeout_s: float) -> str:
    silent = isinstance(cause, TimeoutError)
    return f"no answer for {timeout_s:g} s" if silent else str(cause) or type(cause).__name__
