"""Getting published files: resumed, checked and then renamed; nothing is ever unpacked or run.

Standard library only. ``http(s)://`` goes on where an interrupted download stopped (RFC 9110, section 14), ``ftp://``
starts over, ``file://`` copies. ``$EMOTION_MIRROR`` holds URLs of folders, separated by spaces, that are asked first:
``EMOTION_MIRROR=file:///media/usb`` works without a network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import quote, urlsplit

from emotion_core.errors import EmotionError
from emotion_core.runtime.store import KNOWN_FILES, model_dir

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, None where the server does not say."""

BACKOFF_S = 0.5
"""Pause before the second attempt; it doubles with every further one."""

_CHUNK = 1 << 16
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that may pass


@dataclass(frozen=True)
class Artifact:
    """A published file.

    Attributes:
        name: of the file.
        urls: where it is, in the order in which they are tried.
        size: in bytes, None where it is not known.
        sha256: hexadecimal, None where it is not known.
        licence: what its authors allow.
        description: what it is for.
        folder: of the target folder, where it goes.
        git_blob: what git calls the file in the repository that publishes it, a hash by which it is checked too.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    sha256: str | None
    licence: str
    description: str
    folder: str = ""
    git_blob: str | None = None


def _esr9() -> tuple[Artifact, ...]:
    repository = (
        "https://raw.githubusercontent.com/siqueira-hc/"
        "Efficient-Facial-Feature-Learning-with-Wide-Ensemble-based-Convolutional-Neural-Networks"
    )
    blobs = (
        "e5d8b005b556e00db68b0b5d0bcee7102ccd9a3f",
        "c4af83fd0c42e714c67b2ae937506d153f9bbe26",
        "a79d5f10035c2ba76ec8b3bd8bb26b74057e27b7",
        "c1296a8f4eed09b4409ea74a7733fdd4f098e886",
        "5e9060dd4920f25c8222b7758d0774b62d922ffa",
        "e21160368163d0c199ef16efa3a28b452c73d63b",
        "618bd03d599da78cdd75ed58f3eeef0b0a650c48",
        "db56e4b1aa42048f34cf4086593e37a5aabb5fce",
        "280edf9afa2d24b4c81e817c24846c805166faf4",
    )

    def part(name: str, size: int | None, sha256: str | None, git_blob: str) -> Artifact:
        return Artifact(
            name,
            tuple(
                f"{repository}/{version}/model/ml/trained_models/esr_9/{name}"
                for version in ("master", "5980cbf51bd2c4c64b6288d6c708e910479df025")
            ),
            size,
            sha256,
            "not for commercial use (its authors)",
            "ESR-9 trained on AffectNet by its authors, about 81 MB; for `emotion export FOLDER`",
            "esr_9",
            git_blob,
        )

    base = "563215f7ae9487277f2da2f1b48d6d1e3b3de5daa1cf377429dd5368379acb97"
    return (
        part("Net-Base-Shared_Representations.pt", 1506551, base, "b24ff4f0c09969e497f5817b8214561822767be9"),
        *(part(f"Net-Branch_{i}.pt", None, None, blob) for i, blob in enumerate(blobs, 1)),
    )


def _yunet() -> Artifact:
    name = "face_detection_yunet_2023mar.onnx"
    urls = tuple(
        f"https://github.com/opencv/opencv_zoo/raw/{version}/models/face_detection_yunet/{name}"
        for version in ("main", "966be4cb6eefc2a4f586ed0581bf4bbaa2533070")
    )
    known = KNOWN_FILES[name]
    return Artifact(name, urls, 232589, known.sha256, known.licence, "YuNet, the better one of the face detectors")


def _opendr(name: str, licence: str, description: str) -> Artifact:
    # OpenDR has this by FTP only, and publishes no hashes.
    url = f"ftp://opendrdata.csd.auth.gr/perception/facial_emotion_estimation/{name}"
    return Artifact(name.rpartition("/")[2], (url,), None, None, licence, description, "opendr")


ARTIFACTS: Mapping[str, tuple[Artifact, ...]] = MappingProxyType(
    {
        "yunet": (_yunet(),),
        "esr9": _esr9(),
        "opendr-data": (
            _opendr(
                "data/AffectNet_micro.zip",
                "AffectNet: non-commercial research only",
                "OpenDR's few faces of AffectNet in its folders, to try training and evaluation; stays packed",
            ),
        ),
        "opendr-image": (_opendr("demo/sheldon.jpg", "not stated", "OpenDR's demo picture of a face"),),
        "opendr-video": (_opendr("demo/big_bang.mp4", "not stated", "OpenDR's demo video of several faces"),),
    }
)
"""What can be downloaded: the files behind each name."""


class _InterruptedError(Exception):
    """What another attempt may mend."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
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
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


class _Transfer:
    """One file from one URL, in several attempts."""

    def __init__(self, url: str, part: _Part, size: int | None, timeout_s: float, on_progress: Progress | None) -> None:
        self._url, self._part, self._size, self._timeout_s = url, part, size, timeout_s
        self._on_progress = on_progress or (lambda done, total: None)
        self._opener = urllib.request.build_opener(_Redirects())

    def attempt(self) -> None:
        """Get what is missing; raises _InterruptedError, or EmotionError where trying again is in vain."""
        scheme = urlsplit(self._url).scheme
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
            with source.open("rb") as stream:
                self._part.begin({})
                self._copy(stream.read1, 0, source.stat().st_size)
        except PermissionError as error:
            raise EmotionError(f"{self._url} cannot be read: {error.strerror}") from None

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
    if (scheme := urlsplit(url).scheme) not in ("http", "https", "ftp", "file"):
        raise EmotionError(f"{url}: expected a URL of http, https, ftp or file, got {scheme or 'none'}")
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
        if problem := _mismatch(part.path, sha256, git_blob):
            part.clear()
            raise EmotionError(f"{url} is damaged or another file: {problem}")
        part.finish(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full, make room" if full else f"{error.strerror or error}, choose another folder"
        raise EmotionError(f"{path} cannot be written: {reason}") from error
    return path


def mirrors() -> list[str]:
    """The URLs of folders in $EMOTION_MIRROR; raises EmotionError for one that is none."""
    found = os.environ.get("EMOTION_MIRROR", "").split()
    for url in found:
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise EmotionError(f"EMOTION_MIRROR: expected URLs of http, https or file, got {url!r}")
    return found


def target(artifact: Artifact, folder: str | Path | None = None) -> Path:
    """Where the file goes below a folder, by default the model store."""
    return (model_dir() if folder is None else Path(folder).expanduser()) / artifact.folder / artifact.name


def is_here(artifact: Artifact, folder: str | Path | None = None) -> bool:
    """Whether the file is there, and whole as far as its size and hashes are known."""
    path = target(artifact, folder)
    if not path.is_file() or artifact.size not in (None, path.stat().st_size):
        return False
    return not _mismatch(path, artifact.sha256, artifact.git_blob)


def fetch(artifact: Artifact, folder: str | Path | None = None, **how: Any) -> Path:
    """Get a published file from the first of mirrors and publishers that has it, unless it is here.

    Args:
        artifact: which.
        folder: where to, by default the model store.
        how: ``timeout_s``, ``retries`` and ``on_progress`` of ``download``.

    Raises:
        EmotionError: nobody has it; the message says why.
    """
    path = target(artifact, folder)
    if is_here(artifact, folder):
        return path
    problems = []
    for url in (*(f"{mirror.rstrip('/')}/{quote(artifact.name)}" for mirror in mirrors()), *artifact.urls):
        try:
            return download(url, path, sha256=artifact.sha256, git_blob=artifact.git_blob, size=artifact.size, **how)
        except EmotionError as error:
            if isinstance(error.__cause__, OSError):  # the disk is the same for every URL
                raise
            problems.append(str(error))
    raise EmotionError("; ".join(problems))


def digest(path: str | Path, algorithm: str = "sha256", head: bytes = b"") -> str:
    """Hexadecimal hash of ``head`` and a file of any size."""
    result = hashlib.new(algorithm, head)
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            result.update(chunk)
    return result.hexdigest()


def _mismatch(path: Path, sha256: str | None, git_blob: str | None) -> str:
    """What was expected and found; empty where all is well."""
    if sha256 and (found := digest(path)) != sha256.lower():
        return f"expected sha256 {sha256}, found {found}"
    if git_blob and (found := digest(path, "sha1", b"blob %d\0" % path.stat().st_size)) != git_blob.lower():
        return f"expected git blob {git_blob}, found {found}"
    return ""


def _words(cause: object, timeout_s: float) -> str:
    silent = isinstance(cause, TimeoutError)
    return f"no answer for {timeout_s:g} s" if silent else str(cause) or type(cause).__name__
